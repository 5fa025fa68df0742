"""Fine-tune a frame codec's decoder on frames and audio images; the encoder is frozen."""

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
from sonovid.recipes.clip_batches import UNENCODED, stack_clips
from sonovid.recipes.components import build_audio_image, load_video_codec
from sonovid.recipes.configs import CodecConfig
from sonovid.recipes.fine_tuning.config import DecoderFineTuningConfig
from sonovid.recipes.latent_cache import open_latents
from sonovid.recipes.sample_files import NUM_SAMPLES, write_figures
from sonovid.training.decoder_fine_tuning import DecoderFineTuning, PatchDiscriminator, freeze_all_but_decoder
from sonovid.training.job import Job
from sonovid.training.loop import train
from sonovid.training.perceptual import LPIPS
from sonovid.training.reconstruction import psnr
from sonovid.training.seeding import seeded_init

# Maximum number of held-out clips that the figures are averaged over.
MAX_MEASURED_CLIPS = 64


def run(recipe: DecoderFineTuningConfig, recorded: dict[str, Any]) -> Path:
    """Fine-tune a decoder.

    Args:
        recipe: the config.
        recorded: the plain values that are written to recipe.json.

    Returns:
        The folder of the codec, with the same encoder and the fine-tuned decoder.

    Raises:
        ValueError: the codec does not work frame by frame, or sizes do not fit it.
    """
    out = Path(recipe.out)
    codec = load_video_codec(CodecConfig(video=recipe.codec))
    freeze_all_but_decoder(codec)
    codec.latent_shape(recipe.geometry)
    if recipe.sounds < 0:
        raise ValueError(f"sounds={recipe.sounds}: expected how often an audio image counts, 0 or more")
    image = build_audio_image(recipe.picture, recipe.geometry)[1]
    if image.height != recipe.geometry.height or image.width % recipe.geometry.width:
        raise ValueError(
            f"picture: an audio image of {image.height}x{image.width}; expected the height of the frames, "
            f"{recipe.geometry.height}, and a multiple of their width, {recipe.geometry.width}"
        )
    # Loaded before clips are read, so that a wrong file fails at once.
    lpips = LPIPS.from_file(recipe.perceived) if recipe.perceived else None
    training, held_out, _ = open_latents(recipe.data, recipe.geometry, out, stack_clips, UNENCODED, (True, True))
    return train(build_job(recipe, codec, lpips, training, held_out or training, recorded), out, resume=recipe.resume)


@dataclass(frozen=True)
class ImageDataset:
    """Frames and audio images of cached clips, in order: the frames of a clip, then its audio image `repeats` times.

    An audio image that is several times as wide as a frame is cut into pieces of the frames' width, which take turns.

    Attributes:
        cache: the clips, as `clip_batches.stack_clips` stacks them.
        log_mel: the spectrogram.
        audio_image: converts the spectrogram to an image.
        num_frames: number of frames of a clip.
        repeats: how often the audio image counts.
    """

    cache: latents.LatentDataset
    log_mel: LogMel
    audio_image: AudioImage
    num_frames: int
    repeats: int

    def __len__(self) -> int:
        return len(self.cache) * (self.num_frames + self.repeats)

    def __call__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Batch images: "pictures", float [b 3 1 h w] in [-1, 1], and "sound", bool [b], true for audio images."""
        images_per_clip = self.num_frames + self.repeats
        clips = self.cache.batch([index // images_per_clip for index in indices])
        positions = torch.tensor([index % images_per_clip for index in indices])
        is_audio = positions >= self.num_frames
        frames = clips.video[torch.arange(len(positions)), positions.clamp(max=self.num_frames - 1)]
        images = frames.movedim(-1, 1).float() / 127.5 - 1
        if is_audio.any():
            wide = self.encode_audio(clips.audio[is_audio])[1]
            width = images.shape[-1]
            starts = [(int(n) - self.num_frames) * width % wide.shape[-1] for n in positions[is_audio]]
            images[is_audio] = torch.stack([one[..., at : at + width] for one, at in zip(wide, starts, strict=True)])
        return {"pictures": images[:, :, None], "sound": is_audio}

    def encode_audio(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Convert cached audio, int16 [b n], to log-mel frames [b f l] and audio images [b 3 h w]."""
        mel = self.log_mel(waveform.float() / 32767)
        return mel, self.audio_image.encode(mel)


def build_job(
    recipe: DecoderFineTuningConfig,
    codec: Any,
    lpips: LPIPS | None,
    training: latents.LatentDataset,
    held_out: latents.LatentDataset,
    recorded: dict[str, Any],
) -> Job:
    """The fine-tuning."""
    judge = recipe.judge
    images, held_out_images = (
        ImageDataset(cache, *build_audio_image(recipe.picture, recipe.geometry), recipe.geometry.num_frames, recipe.sounds)
        for cache in (training, held_out)
    )
    with seeded_init(recipe.training.seed):
        begins = judge.begins * recipe.training.accumulate
        discriminator = PatchDiscriminator(judge.width, begins=begins) if judge.on else None
    before = measure_decoder(codec, held_out_images)[0]

    def sample(model: Any, folder: Path, step: int) -> None:
        figures, image = measure_decoder(model, held_out_images)
        write_figures(folder, **figures, **{f"{name}_before": value for name, value in before.items()})
        Image.fromarray(image).save(folder / "frames.png")

    return Job(
        model=codec,
        objective=DecoderFineTuning(discriminator, judge.weight, lpips, edge=recipe.edge),
        batch=images,
        size=len(images),
        validation=held_out_images,
        validation_size=len(held_out_images),
        config=recipe.training,
        adversary=discriminator,
        sample=sample,
        recipe=recorded,
    )


@torch.no_grad()
@torch.autocast("cpu", enabled=False)
@torch.autocast("cuda", enabled=False)
def measure_decoder(codec: Any, dataset: ImageDataset) -> tuple[dict[str, float], Any]:
    """Measure how well a codec reconstructs frames and audio images.

    Returns:
        Figures, averaged over up to `MAX_MEASURED_CLIPS` clips: PSNR in dB of frames ("psnr_frames") and of audio images
        ("psnr_sounds"), and the error in dB of the mel from reconstructed audio images ("mel_error_db") and from true ones
        ("mel_error_db_of_picture"), which is the error of the conversion itself.
        An image, uint8 [h w 3], of frames and audio images of some clips, the true ones in the upper row.
    """
    device = next(codec.parameters()).device
    values: dict[str, list[Tensor]] = {"psnr_frames": [], "psnr_sounds": [], "mel_error_db": [], "mel_error_db_of_picture": []}
    columns: list[Tensor] = []
    for clip in range(min(MAX_MEASURED_CLIPS, len(dataset.cache))):
        pair = dataset.cache.batch([clip])
        frames = (pair.video[0].movedim(-1, 1).float() / 127.5 - 1).to(device)
        mel, audio_image = (x.to(device) for x in dataset.encode_audio(pair.audio))
        decoded, decoded_image = (
            codec.decode(codec.encode(true[:, :, None])).float()[:, :, 0].clamp(-1, 1) for true in (frames, audio_image)
        )
        values["psnr_frames"].append(psnr(decoded, frames).mean())
        values["psnr_sounds"].append(psnr(decoded_image, audio_image).mean())
        true_mel = dataset.audio_image.dequantise(dataset.audio_image.quantise(mel).float())
        for name, image in (("mel_error_db", decoded_image), ("mel_error_db_of_picture", audio_image)):
            decoded_mel = dataset.audio_image.decode(image, mel.shape[1], mel.shape[2])
            values[name].append(DECIBELS * (decoded_mel - true_mel).abs().mean())
        if clip < NUM_SAMPLES:
            shown = ((frames, audio_image), (decoded, decoded_image))
            columns.append(torch.cat([torch.cat([x[0], image[0]], dim=-1) for x, image in shown], dim=-2))
    rows = ((torch.cat(columns, dim=-1) + 1) * 127.5).round().byte().movedim(0, -1).cpu().numpy()
    return {name: float(torch.stack(each).mean()) for name, each in values.items()}, rows
