"""The fine-tuning of a decoder from its recipe: frames and audio images cached as they are, the encoder left alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from sonovid.codecs.audio_image import DECIBELS, AudioImage
from sonovid.codecs.mel import LogMel
from sonovid.data import latents
from sonovid.recipes import components as parts
from sonovid.recipes.codec.train import SHOWN, leave_figures, untouched
from sonovid.recipes.fine_tuning import AudioPicture, TuningRecipe
from sonovid.recipes.uniform import Codecs
from sonovid.training.decoder_fine_tuning import DecoderFineTuning, PatchDiscriminator, freeze_all_but_decoder
from sonovid.training.loop import Job, seeded_init, train
from sonovid.training.perceptual import LPIPS
from sonovid.training.reconstruction import psnr

# Held-out clips that the figures are means of, at most.
MEASURED = 64


def run(recipe: TuningRecipe, resolved: dict[str, Any]) -> Path:
    """Train, and return the codec's folder: its encoder as it was, its decoder fine-tuned.

    Raises:
        ValueError: a codec that does not work frame by frame, or sizes that do not fit it.
    """
    out = Path(recipe.out)
    codec = parts.video_codec(Codecs(video=recipe.codec))
    freeze_all_but_decoder(codec)
    codec.latent_shape(recipe.geometry)
    if recipe.sounds < 0:
        raise ValueError(f"sounds={recipe.sounds}: expected how often an audio image counts, 0 or more")
    # What is wrong is said before clips are read.
    perceived = LPIPS.from_file(recipe.perceived) if recipe.perceived else None
    cached = parts.caches(recipe.data, recipe.geometry, out, untouched, "untouched", (True, True))
    training, held_out, _ = cached
    return train(job(recipe, codec, perceived, training, held_out or training, resolved), out, resume=recipe.resume)


def audio_image(picture: AudioPicture, geometry: Any) -> tuple[LogMel, AudioImage]:
    """The spectrogram and the picture that a recipe names, at the size of its frames."""
    rate = picture.rate or geometry.sample_rate
    top = picture.top or rate / 2
    mel = LogMel(rate, picture.bins, picture.n_fft, picture.n_fft, picture.hop, 0.0, top, picture.floor, partial=True)
    return mel, AudioImage(geometry.height, geometry.width, picture.low, picture.high)


@dataclass(frozen=True)
class Pictures:
    """Frames and audio images of cached clips, counted through: each clip's frames, then its audio image `sounds` times."""

    cache: latents.Latents
    log_mel: LogMel
    image: AudioImage
    frames: int
    sounds: int

    def __len__(self) -> int:
        return len(self.cache) * (self.frames + self.sounds)

    def __call__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Pictures [b 3 1 h w] in [-1, 1], and which of them are sound [b]."""
        each = self.frames + self.sounds
        clips = self.cache.batch([index // each for index in indices])
        places = torch.tensor([index % each for index in indices])
        sound = places >= self.frames
        chosen = clips.video[torch.arange(len(places)), places.clamp(max=self.frames - 1)]
        pictures = chosen.movedim(-1, 1).float() / 127.5 - 1
        if sound.any():
            pictures[sound] = self.heard(clips.audio[sound])[1]
        return {"pictures": pictures[:, :, None], "sound": sound}

    def heard(self, waves: Tensor) -> tuple[Tensor, Tensor]:
        """Cached sound as log-mel frames [b f l] and as pictures [b 3 h w]."""
        mel = self.log_mel(waves.float() / 32767)
        return mel, self.image.encode(mel)


def job(
    recipe: TuningRecipe,
    codec: Any,
    perceived: LPIPS | None,
    training: latents.Latents,
    held_out: latents.Latents,
    resolved: dict[str, Any],
) -> Job:
    """The fine-tuning."""
    own = recipe.judge
    pictures, kept = (
        Pictures(cache, *audio_image(recipe.picture, recipe.geometry), recipe.geometry.num_frames, recipe.sounds)
        for cache in (training, held_out)
    )
    with seeded_init(recipe.training.seed):
        judge = PatchDiscriminator(own.width, begins=own.begins * recipe.training.accumulate) if own.on else None
    before = measured(codec, kept)[0]

    def sample(model: Any, folder: Path, step: int) -> None:
        figures, rows = measured(model, kept)
        leave_figures(folder, **figures, **{f"{name}_before": value for name, value in before.items()})
        Image.fromarray(rows).save(folder / "frames.png")

    return Job(
        model=codec,
        objective=DecoderFineTuning(judge, own.weight, perceived, edge=recipe.edge),
        batch=pictures,
        size=len(pictures),
        validation=kept,
        validation_size=len(kept),
        settings=recipe.training,
        adversary=judge,
        sample=sample,
        recipe=resolved,
    )


@torch.no_grad()
@torch.autocast("cpu", enabled=False)
@torch.autocast("cuda", enabled=False)
def measured(codec: Any, pictures: Pictures) -> tuple[dict[str, float], Any]:
    """How near a codec's pictures come: PSNR of frames and of audio images in dB, and the error in dB of the mel through them.

    The last beside the same without a codec, which the picture's own size and levels cost. Also pictures to look at, the true
    ones above: frames and audio images of some clips.
    """
    device = next(codec.parameters()).device
    found: dict[str, list[Tensor]] = {"psnr_frames": [], "psnr_sounds": [], "mel_error_db": [], "mel_error_db_of_picture": []}
    shown: list[Tensor] = []
    for clip in range(min(MEASURED, len(pictures.cache))):
        pair = pictures.cache.batch([clip])
        frames = (pair.video[0].movedim(-1, 1).float() / 127.5 - 1).to(device)
        mel, image = (x.to(device) for x in pictures.heard(pair.audio))
        true = torch.cat([frames, image])
        made = codec.decode(codec.encode(true[:, :, None])).float()[:, :, 0].clamp(-1, 1)
        found["psnr_frames"].append(psnr(made[:-1], frames).mean())
        found["psnr_sounds"].append(psnr(made[-1:], image).mean())
        levels = pictures.image.levels(pictures.image.grey(mel).float())
        for name, picture in (("mel_error_db", made[-1:]), ("mel_error_db_of_picture", image)):
            heard = pictures.image.decode(picture, mel.shape[1], mel.shape[2])
            found[name].append(DECIBELS * (heard - levels).abs().mean())
        if clip < SHOWN:
            shown.append(torch.cat([torch.cat([x[0], x[-1]], dim=-1) for x in (true, made)], dim=-2))
    rows = ((torch.cat(shown, dim=-1) + 1) * 127.5).round().byte().movedim(0, -1).cpu().numpy()
    return {name: float(torch.stack(values).mean()) for name, values in found.items()}, rows
