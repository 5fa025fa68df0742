"""The light codecs' trainings from their recipes, on clips that are cached as they are."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sonovid import media
from sonovid.codecs.audio import MelAutoencoder
from sonovid.codecs.mel import LogMel
from sonovid.codecs.spacetime import VideoAutoencoder
from sonovid.codecs.spectrogram import SpectrogramCodec
from sonovid.codecs.video import FrameAutoencoder
from sonovid.codecs.vocoder import SpectralVocoder
from sonovid.core.av import AV
from sonovid.core.clip import Clip
from sonovid.core.geometry import count
from sonovid.data import latents
from sonovid.recipes import components as parts
from sonovid.recipes.codec import FramesRecipe, MelRecipe, VideoRecipe, VocoderRecipe
from sonovid.training.loop import Job, seeded_init, train
from sonovid.training.reconstruction import (
    FrameReconstruction,
    MelReconstruction,
    SpectrogramDiscriminator,
    VideoReconstruction,
    VocoderObjective,
    psnr,
    psnr_moving,
)

Recipe = FramesRecipe | VideoRecipe | MelRecipe | VocoderRecipe
SHOWN = 8


def run(recipe: Recipe, resolved: dict[str, Any]) -> Path:
    """Train, and return the folder of the codec."""
    out = Path(recipe.out)
    streams = AV(True, False) if isinstance(recipe, FramesRecipe | VideoRecipe) else AV(False, True)
    cached = parts.caches(recipe.data, recipe.geometry, out, untouched, "untouched", tuple(streams), streams=streams)
    training, held_out, _ = cached
    make: Any = {FramesRecipe: frames, VideoRecipe: video, MelRecipe: mel, VocoderRecipe: vocoder}[type(recipe)]
    return train(make(recipe, training, held_out or training, resolved), out, resume=recipe.resume)


def untouched(given: list[Clip]) -> AV:
    """Clips as they are: frames uint8 [b t h w 3], sound in 16 bits [b n]."""
    frames = sound = None
    if given[0].frames is not None:
        frames = torch.from_numpy(np.stack([clip.frames for clip in given if clip.frames is not None]))
    if given[0].waveform is not None:
        wave = np.stack([clip.waveform.mean(0) for clip in given if clip.waveform is not None])
        sound = torch.from_numpy((wave.clip(-1, 1) * 32767).round().astype(np.int16))
    return AV(frames, sound)


@dataclass(frozen=True)
class Pieces:
    """Equal pieces of cached clips along time, counted through; what a sample is depends on its number alone.

    stream: 0 for frames, 1 for sound. length: of a piece, in frames or samples. total: of a clip.
    """

    cache: latents.Latents
    stream: int
    length: int
    total: int

    def __len__(self) -> int:
        return len(self.cache) * self.each

    @property
    def each(self) -> int:
        return max(1, self.total // self.length)

    def __call__(self, indices: Sequence[int]) -> Tensor:
        whole = self.cache.batch([index // self.each for index in indices])[self.stream]
        begins = [index % self.each * self.length for index in indices]
        return torch.stack([x[begin : begin + self.length] for x, begin in zip(whole, begins, strict=True)])


def pictures(pieces: Pieces) -> Callable[[Sequence[int]], dict[str, Tensor]]:
    """Batches of frames, float [b 3 t h w] in [-1, 1]."""
    return lambda indices: {"frames": pieces(indices).movedim(-1, 1).float() / 127.5 - 1}


def sounds(pieces: Pieces) -> Callable[[Sequence[int]], dict[str, Tensor]]:
    """Batches of waveforms, float [b n] in [-1, 1]."""
    return lambda indices: {"waveform": pieces(indices).float() / 32767}


def samples(batches: Callable, pieces: Pieces, kept: Pieces, recipe: Recipe) -> dict[str, Any]:
    """The fields of a job that say what it is trained and validated on, and how. batches: `pictures` or `sounds`."""
    return {
        "batch": batches(pieces),
        "size": len(pieces),
        "validation": batches(kept),
        "validation_size": len(kept),
        "settings": recipe.training,
    }


def frames(recipe: FramesRecipe, training: latents.Latents, held_out: latents.Latents, resolved: dict[str, Any]) -> Job:
    """The training of the frame autoencoder."""
    pieces, kept = (Pieces(cache, 0, recipe.frames, recipe.geometry.num_frames) for cache in (training, held_out))
    with seeded_init(recipe.training.seed):
        model = FrameAutoencoder(**asdict(recipe.network))
    model.latent_shape(recipe.geometry)
    shown = pictures(kept)(range(min(SHOWN, len(kept))))["frames"]

    def sample(model: Any, folder: Path, step: int) -> None:
        true = shown.to(model.device)
        made = model.decode(model.encode(true)).float().clamp(-1, 1)
        leave_figures(folder, psnr=float(psnr(made, true).mean()))
        leave_frames(folder / "frames.png", true[:, :, 0], made[:, :, 0])

    return Job(
        model=model,
        objective=FrameReconstruction(recipe.kl, recipe.edge),
        **samples(pictures, pieces, kept, recipe),
        sample=sample,
        recipe=resolved,
    )


def video(recipe: VideoRecipe, training: latents.Latents, held_out: latents.Latents, resolved: dict[str, Any]) -> Job:
    """The training of the video autoencoder."""
    if recipe.frames % VideoAutoencoder.time_factor or recipe.frames > recipe.geometry.num_frames:
        raise ValueError(
            f"frames={recipe.frames}: expected a multiple of {VideoAutoencoder.time_factor}, at most {recipe.geometry.num_frames}"
        )
    pieces, kept = (Pieces(cache, 0, recipe.frames, recipe.geometry.num_frames) for cache in (training, held_out))
    if recipe.initial:
        model = VideoAutoencoder.from_pretrained(recipe.initial, use_safetensors=True)
    else:
        with seeded_init(recipe.training.seed):
            model = VideoAutoencoder(**asdict(recipe.network))
    model.latent_shape(recipe.geometry)
    model.encoder.requires_grad_(not recipe.decoder_only)
    shown = pictures(kept)(range(min(SHOWN, len(kept))))["frames"]

    def sample(model: Any, folder: Path, step: int) -> None:
        true = shown.to(model.device)
        made = model.decode(model.encode(true)).float().clamp(-1, 1)
        leave_figures(folder, psnr=float(psnr(made, true).mean()), psnr_moving=float(psnr_moving(made, true)))
        middle = true.shape[2] // 2
        leave_frames(folder / "frames.png", true[:, :, middle], made[:, :, middle])

    return Job(
        model=model,
        objective=VideoReconstruction(recipe.kl, recipe.edge, motion=recipe.motion),
        **samples(pictures, pieces, kept, recipe),
        sample=sample,
        recipe=resolved,
    )


def mel(recipe: MelRecipe, training: latents.Latents, held_out: latents.Latents, resolved: dict[str, Any]) -> Job:
    """The training of the mel autoencoder."""
    spectrogram = parts.log_mel(recipe.mel, recipe.geometry.sample_rate)
    total = recipe.geometry.num_samples
    pieces, kept = (Pieces(cache, 1, total, total) for cache in (training, held_out))
    with seeded_init(recipe.training.seed):
        model = MelAutoencoder(bins=recipe.mel.bins, **asdict(recipe.network))
    model.latent_grid(spectrogram.num_frames(recipe.geometry), recipe.mel.bins)
    shown = sounds(kept)(range(min(SHOWN, len(kept))))["waveform"]

    def sample(model: Any, folder: Path, step: int) -> None:
        true = spectrogram(shown.to(model.device))
        made = model.decode(model.encode(true))
        leave_figures(folder, mel_error=float((made - true).abs().mean()))
        leave_spectrograms(folder / "mel.png", true, made)

    return Job(
        model=model,
        objective=MelReconstruction(spectrogram, recipe.kl, recipe.rise),
        **samples(sounds, pieces, kept, recipe),
        sample=sample,
        recipe=resolved,
    )


def vocoder(recipe: VocoderRecipe, training: latents.Latents, held_out: latents.Latents, resolved: dict[str, Any]) -> Job:
    """The training of the vocoder; where a mel autoencoder is named, both are left as one audio codec beside the model."""
    spectrogram, own = parts.log_mel(recipe.mel, recipe.geometry.sample_rate), recipe.network
    through = _frozen_mel(recipe, spectrogram)
    # Whole steps of the mel autoencoder, so that a piece of a spectrogram passes it.
    step = recipe.mel.hop * (through.factor if through is not None else 1)
    length = _samples(recipe, step)
    pieces, kept = (Pieces(cache, 1, length, recipe.geometry.num_samples) for cache in (training, held_out))
    with seeded_init(recipe.training.seed):
        model = SpectralVocoder(recipe.mel.bins, recipe.mel.n_fft, recipe.mel.hop, **asdict(own))
        judge = SpectrogramDiscriminator() if recipe.adversary else None
    shown = sounds(kept)(range(min(SHOWN, len(kept))))["waveform"]
    rate = recipe.geometry.sample_rate

    def sample(model: Any, folder: Path, step: int) -> None:
        true = shown.to(model.device)
        made = model(spectrogram(true)).float()
        leave_figures(folder, mel_error=float((spectrogram(made) - spectrogram(true)).abs().mean()))
        leave_spectrograms(folder / "mel.png", spectrogram(true), spectrogram(made))
        leave_sounds(folder, rate, true=true, made=made)

    def export(model: Any, folder: Path) -> None:
        model.save_pretrained(folder, safe_serialization=True)
        if through is not None:
            SpectrogramCodec(through, model, spectrogram).save_pretrained(folder / "audio_codec")

    return Job(
        model=model,
        objective=VocoderObjective(spectrogram, judge, through),
        **samples(sounds, pieces, kept, recipe),
        adversary=judge,
        sample=sample,
        export=export,
        recipe=resolved,
    )


def _frozen_mel(recipe: VocoderRecipe, spectrogram: LogMel) -> MelAutoencoder | None:
    if not recipe.through:
        return None
    trained = parts.trained_mel(Path(recipe.through))
    if trained != spectrogram:
        raise ValueError(f"through={recipe.through}: trained on {trained}, this recipe's is {spectrogram}; set mel.* alike")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return MelAutoencoder.from_pretrained(recipe.through, use_safetensors=True).eval().requires_grad_(False).to(device)


def _samples(recipe: VocoderRecipe, step: int) -> int:
    """Samples of one piece: the recipe's seconds, in whole steps, at most a clip."""
    if recipe.seconds <= 0:
        raise ValueError(f"seconds={recipe.seconds}: expected a length above zero")
    wanted = min(count(recipe.seconds, recipe.geometry.sample_rate), recipe.geometry.num_samples)
    if wanted < step:
        raise ValueError(f"seconds={recipe.seconds}: a piece needs {step / recipe.geometry.sample_rate:g} s at least")
    return wanted // step * step


def leave_figures(folder: Path, **figures: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "figures.json").write_text(json.dumps(figures))


def leave_frames(path: Path, true: Tensor, made: Tensor) -> None:
    """Frames [b 3 h w] in [-1, 1] side by side, the true ones above."""
    rows = torch.cat([torch.cat(list(x), dim=-1) for x in (true, made)], dim=-2)
    Image.fromarray(((rows + 1) * 127.5).round().byte().movedim(0, -1).cpu().numpy()).save(path)


def leave_sounds(folder: Path, rate: int, **waves: Tensor) -> None:
    """Waveforms [b n] in [-1, 1], one after another in a file of each name."""
    for name, wave in waves.items():
        joined = wave.flatten()[None].clamp(-1, 1).cpu().numpy().astype(np.float32)
        media.write(folder / f"{name}.wav", Clip(None, joined, sample_rate=rate), overwrite=True)


def leave_spectrograms(path: Path, true: Tensor, made: Tensor) -> None:
    """Spectrograms side by side, the true ones above, low sounds at the bottom of each."""
    low, high = float(true.min()), float(true.max())
    rows = [torch.cat(list(x.flip(1)), dim=-1) for x in (true, made.float())]
    scaled = (torch.cat(rows) - low) / max(high - low, 1e-6)
    Image.fromarray((scaled.clamp(0, 1) * 255).byte().cpu().numpy()).save(path)
