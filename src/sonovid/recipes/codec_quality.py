"""Reconstruction quality of a training's codecs on its own clips: no network on latents can restore what the codecs lose."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from sonovid.codecs.separate import SeparateCodecs
from sonovid.core import atomic
from sonovid.core.clip import Clip
from sonovid.data.clips import Window
from sonovid.metrics.alignment import agreement, sound_onsets
from sonovid.metrics.base import Sample
from sonovid.metrics.reconstruction import Spectrum, log_spectral_distance, psnr

log = logging.getLogger(__name__)

# Number of clips, spread evenly over all, that are measured.
NUM_CLIPS = 8
# Beyond these values a codec counts as unsuitable. The packaged codecs reach 29 dB, 1.6 dB and 0.97 on the scenes that they were
# trained on, and 18 dB, 12 dB and 0.31 on films.
MIN_PSNR, MAX_DISTANCE, MIN_ONSETS = 22.0, 6.0, 0.6
FILE = "codecs.json"


@dataclass(frozen=True)
class CodecQuality:
    """How well codecs reconstruct some clips.

    Attributes:
        psnr: PSNR of the frames in dB, averaged over clips.
        distance: log-spectral distance of the audio in dB (Gray & Markel 1976).
        onsets: F1 of the audio onsets within 50 ms; NaN if no clip has any.
        clips: number of clips measured.
    """

    psnr: float
    distance: float
    onsets: float
    clips: int

    def advice(self) -> list[str]:
        """What to do about an unsuitable codec, one line for each stream."""
        lines = []
        if self.psnr < MIN_PSNR:
            lines.append(
                f"the video codec reconstructs frames at {self.psnr:.1f} dB: train one on these clips first (sonovid train "
                "codec.frames data=... out=FRAMES, then codecs.video=FRAMES/model), or name a released one"
            )
        if self.distance > MAX_DISTANCE or self.onsets < MIN_ONSETS:
            lines.append(
                f"the audio codec reconstructs audio {self.distance:.1f} dB off, onsets F1 {self.onsets:.2f}: train one on "
                "these clips first (sonovid train codec.mel, then codec.vocoder through=MEL/model), or name a released one"
            )
        return lines


def measure_quality(
    codec: SeparateCodecs, windows: Sequence[Window], load_clip: Callable[[Window], Clip], device: torch.device
) -> CodecQuality | None:
    """Measure a codec on up to `NUM_CLIPS` clips.

    Args:
        codec: the codecs of both streams, on `device`.
        windows: windows of clips to choose from.
        load_clip: loads a window.
        device: the device of the codec.

    Returns:
        The quality, or None if no clip can be read.
    """
    chosen = [windows[i] for i in sorted({len(windows) * k // NUM_CLIPS for k in range(NUM_CLIPS)})] if windows else []
    psnrs: list[float] = []
    distances: list[float] = []
    onsets: list[tuple[list[float], list[float]]] = []
    for window in chosen:
        try:
            clip = load_clip(window)
        except ValueError:
            continue
        assert clip.frames is not None
        assert clip.waveform is not None
        frames, wave = _reconstruct(codec, clip, device)
        psnrs.append(min(psnr(frames, clip.frames), 100.0))
        spectra = [
            Spectrum().prepare(Sample(Clip(None, one[None], sample_rate=clip.sample_rate))) for one in (wave, clip.waveform[0])
        ]
        distances.append(log_spectral_distance(*spectra))
        reconstructed, true = (sound_onsets(one, clip.sample_rate) for one in (wave, clip.waveform[0]))
        onsets.append((reconstructed.tolist(), true.tolist()))
    if not psnrs:
        return None
    f1 = agreement(onsets, 0.05).f1 if any(len(true) for _, true in onsets) else float("nan")
    return CodecQuality(float(np.mean(psnrs)), float(np.mean(distances)), f1, len(psnrs))


@torch.no_grad()
def _reconstruct(codec: SeparateCodecs, clip: Clip, device: torch.device) -> tuple[np.ndarray, np.ndarray]:
    """A clip's frames and samples, encoded and decoded."""
    frames = torch.from_numpy(clip.frames).to(device)[None].movedim(-1, 1).float() / 127.5 - 1
    wave = torch.from_numpy(clip.waveform).to(device).mean(0)[None]
    decoded = codec.decode(codec.encode(frames, wave), wave.shape[-1])
    # A codec that works on chunks of frames may return more frames than it was given.
    video = decoded.video[0, :, : frames.shape[2]].float().clamp(-1, 1)
    pixels = ((video + 1) * 127.5).round().byte().movedim(0, -1)
    return pixels.cpu().numpy(), decoded.audio[0].float().clamp(-1, 1).cpu().numpy()


def report_quality(
    codec: SeparateCodecs, windows: Sequence[Window], load_clip: Callable[[Window], Clip], device: torch.device, out: Path
) -> None:
    """Measure a run's codecs once, log the result and advice, and write it to `out/codecs.json`.

    Args:
        codec: the codecs of both streams, on `device`.
        windows: windows of clips to choose from.
        load_clip: loads a window.
        device: the device of the codec.
        out: folder of the run. Nothing is measured if it has the file already.
    """
    if (out / FILE).is_file():
        return
    quality = measure_quality(codec, windows, load_clip, device)
    if quality is None:
        return
    log.info(
        "codecs on %d of these clips: frames %.1f dB, audio %.1f dB off, onsets F1 %.2f within 50 ms",
        quality.clips, quality.psnr, quality.distance, quality.onsets,
    )  # fmt: skip
    for line in quality.advice():
        log.warning("%s", line)
    out.mkdir(parents=True, exist_ok=True)
    atomic.write_text(out / FILE, json.dumps(asdict(quality), indent=1))
