"""Vocoders side by side on sound of scenes that none has heard: mel distance, spectral distance, onsets, speed on one core.

    python -m benchmarks packaged.vocoders [FOLDER ...] [--count 60] [--worlds hits+bounces+dance+kitchen+landscape]

FOLDER: a vocoder that a recipe left, MelGAN or spectral, with its recipe.json. Beside them stand the packaged vocoder on its own
spectrogram, and 32 iterations of Griffin and Lim on the spectrogram of the first folder. Every one starts from the true sound's
spectrogram of its own settings; all are judged by the same spectrogram of 80 bins and by the same windows.
"""

import argparse
import json
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sonovid.codecs.mel import LogMel
from sonovid.codecs.melgan import MelGAN
from sonovid.codecs.vocoder import GriffinLim, SpectralVocoder
from sonovid.core.geometry import Geometry
from sonovid.data import scenes
from sonovid.metrics.alignment import agreement, sound_onsets
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes.components import read_log_mel
from sonovid.training.reconstruction import multi_resolution_stft_loss

HELD_OUT_SEED = 90_000_000
KINDS = {kind.__name__: kind for kind in (MelGAN, SpectralVocoder)}
# The spectrogram that all are judged by: CMMD's.
COMMON = LogMel(16000, 80, 512, 512, 256, 0.0, 8000.0, 1e-5)


def trained(folder: Path) -> tuple[str, Any, LogMel]:
    """A vocoder of a folder, with its name and its spectrogram."""
    kind = json.loads((folder / "config.json").read_text())["_class_name"]
    vocoder = KINDS[kind].from_pretrained(folder, use_safetensors=True).eval()
    size = sum(p.numel() for p in vocoder.parameters()) / 1e6
    return f"{kind}, {size:.2f} M, {folder.parent.name}", vocoder, read_log_mel(folder)


def judge(true: torch.Tensor, vocode: Callable, log_mel: LogMel, repeat: int) -> dict[str, float]:
    """Figures of one vocoder: distances, onsets and times real time, of the one core's own time."""
    mel, seconds = log_mel(true), true.shape[1] / log_mel.sample_rate
    made = torch.cat([vocode(one[None]) for one in mel]).float()
    taken = []
    for _ in range(repeat):
        began = time.process_time()
        vocode(mel[:1])
        taken.append(time.process_time() - began)
    onsets = [
        (sound_onsets(a.numpy(), log_mel.sample_rate), sound_onsets(b.numpy(), log_mel.sample_rate))
        for a, b in zip(made, true, strict=True)
    ]
    off = [np.abs(found - onset).min() for found, known in onsets if len(found) for onset in known]
    floored = [COMMON(wave).clamp(min=np.log(1e-3)) for wave in (made, true)]
    return {
        "mel": float((COMMON(made) - COMMON(true)).abs().mean()),
        "mel above 1e-3": float((floored[0] - floored[1]).abs().mean()),
        "spectral": float(multi_resolution_stft_loss(made, true).mean()),
        "onsets F1": agreement(onsets, 0.05).f1,
        "onset ms": 1000 * float(np.median([d for d in off if d < 0.1] or [np.nan])),
        "x real time": seconds / min(taken),
    }


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--worlds", default="hits+bounces+dance+kitchen+landscape")
    parser.add_argument("--repeat", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    geometry, worlds = Geometry(16, Fraction(8), 16, 16, 16000), options.worlds.split("+")
    drawn = [scenes.render(worlds[i % len(worlds)], HELD_OUT_SEED + i, geometry) for i in range(options.count)]
    true = torch.from_numpy(np.stack([clip.waveform[0] for clip in drawn if clip.waveform is not None]))
    packaged = SoundingVideoPipeline.from_pretrained("uniform").audio_codec
    rows = [("packaged, on its own spectrogram", packaged.vocoder, packaged.log_mel)]
    rows += [trained(folder) for folder in options.folders]
    rows.append(("Griffin-Lim, 32 iterations", GriffinLim(COMMON, 32), COMMON))
    for name, vocoder, log_mel in rows:
        figures = judge(true, vocoder, log_mel, options.repeat)
        print(f"{name:44s} " + "  ".join(f"{key} {value:.3f}" for key, value in figures.items()), flush=True)


if __name__ == "__main__":
    main()
