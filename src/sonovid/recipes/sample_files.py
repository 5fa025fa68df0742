"""Files that codec trainings write at each validation: figures, images and audio, true ones beside reconstructed ones."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sonovid import media
from sonovid.core.clip import Clip

# Number of held-out samples that are shown.
NUM_SAMPLES = 8


def write_figures(folder: Path, **figures: float) -> None:
    """Write figures.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "figures.json").write_text(json.dumps(figures))


def write_frames(path: Path, true: Tensor, reconstructed: Tensor) -> None:
    """Write an image of frames [b 3 h w] in [-1, 1] side by side, the true ones in the upper row."""
    rows = torch.cat([torch.cat(list(x), dim=-1) for x in (true, reconstructed)], dim=-2)
    Image.fromarray(((rows + 1) * 127.5).round().byte().movedim(0, -1).cpu().numpy()).save(path)


def write_audio(folder: Path, sample_rate: int, **waveforms: Tensor) -> None:
    """Write a wav file for each keyword argument, with its waveforms [b n] in [-1, 1] one after another."""
    for name, waveform in waveforms.items():
        concatenated = waveform.flatten()[None].clamp(-1, 1).cpu().numpy().astype(np.float32)
        media.write(folder / f"{name}.wav", Clip(None, concatenated, sample_rate=sample_rate), overwrite=True)


def write_spectrograms(path: Path, true: Tensor, reconstructed: Tensor) -> None:
    """Write an image of spectrograms [b f l] side by side, the true ones in the upper row, low frequencies at the bottom."""
    low, high = float(true.min()), float(true.max())
    rows = [torch.cat(list(x.flip(1)), dim=-1) for x in (true, reconstructed.float())]
    scaled = (torch.cat(rows) - low) / max(high - low, 1e-6)
    Image.fromarray((scaled.clamp(0, 1) * 255).byte().cpu().numpy()).save(path)
