"""What a training's codecs lose on its own clips, measured before it trains: no network on latents gives back what they drop."""

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
from sonovid.metrics.base import Material
from sonovid.metrics.reconstruction import Spectrum, log_spectral_distance, psnr

log = logging.getLogger(__name__)

# So many clips, evenly spread over those given, are coded and decoded.
CLIPS = 8
# Beyond these a codec is said to lose too much. The packaged ones have 29 dB, 1.6 dB and 0.97 on the scenes that they were
# trained on, and 18 dB, 12 dB and 0.31 on films.
LEAST_PSNR, MOST_DISTANCE, LEAST_ONSETS = 22.0, 6.0, 0.6
FILE = "codecs.json"


@dataclass(frozen=True)
class Loss:
    """psnr: of frames, in dB, averaged over clips. distance: log-spectral distance of sounds in dB (Gray & Markel 1976).

    onsets: F1 of onsets within 50 ms; NaN where no clip has any. clips: how many were measured.
    """

    psnr: float
    distance: float
    onsets: float
    clips: int

    def advice(self) -> list[str]:
        """What to do about a codec that loses too much, one line for each stream."""
        lines = []
        if self.psnr < LEAST_PSNR:
            lines.append(
                f"pictures come back from the video codec at {self.psnr:.1f} dB: train one on these clips first (sonovid train "
                "codec.frames data=... out=FRAMES, then codecs.video=FRAMES/model), or name a released one"
            )
        if self.distance > MOST_DISTANCE or self.onsets < LEAST_ONSETS:
            lines.append(
                f"sounds come back from the audio codec {self.distance:.1f} dB off, onsets F1 {self.onsets:.2f}: train one on "
                "these clips first (sonovid train codec.mel, then codec.vocoder through=MEL/model), or name a released one"
            )
        return lines


def measure(
    codec: SeparateCodecs, windows: Sequence[Window], load: Callable[[Window], Clip], device: torch.device
) -> Loss | None:
    """What a codec loses on some clips; None where none of them can be read."""
    chosen = [windows[i] for i in sorted({len(windows) * k // CLIPS for k in range(CLIPS)})] if windows else []
    pictures: list[float] = []
    sounds: list[float] = []
    onsets: list[tuple[list[float], list[float]]] = []
    for window in chosen:
        try:
            clip = load(window)
        except ValueError:
            continue
        assert clip.frames is not None
        assert clip.waveform is not None
        frames, wave = _round_trip(codec, clip, device)
        pictures.append(min(psnr(frames, clip.frames), 100.0))
        levels = [
            Spectrum().prepare(Material(Clip(None, one[None], sample_rate=clip.sample_rate))) for one in (wave, clip.waveform[0])
        ]
        sounds.append(log_spectral_distance(*levels))
        made, own = (sound_onsets(one, clip.sample_rate) for one in (wave, clip.waveform[0]))
        onsets.append((made.tolist(), own.tolist()))
    if not pictures:
        return None
    found = agreement(onsets, 0.05).f1 if any(len(true) for _, true in onsets) else float("nan")
    return Loss(float(np.mean(pictures)), float(np.mean(sounds)), found, len(pictures))


@torch.no_grad()
def _round_trip(codec: SeparateCodecs, clip: Clip, device: torch.device) -> tuple[np.ndarray, np.ndarray]:
    """A clip's frames and samples, coded and decoded."""
    frames = torch.from_numpy(clip.frames).to(device)[None].movedim(-1, 1).float() / 127.5 - 1
    wave = torch.from_numpy(clip.waveform).to(device).mean(0)[None]
    made = codec.decode(codec.encode(frames, wave), wave.shape[-1])
    # A codec of chunks may give back more frames than it was given: those are no part of the clip.
    shown = ((made.video[0, :, : frames.shape[2]].float().clamp(-1, 1) + 1) * 127.5).round().byte().movedim(0, -1)
    return shown.cpu().numpy(), made.audio[0].float().clamp(-1, 1).cpu().numpy()


def tell(
    codec: SeparateCodecs, windows: Sequence[Window], load: Callable[[Window], Clip], device: torch.device, out: Path
) -> None:
    """Measure, say what is lost, with advice where it is much, and leave the figures in `out/codecs.json`; once for each run."""
    if (out / FILE).is_file():
        return
    loss = measure(codec, windows, load, device)
    if loss is None:
        return
    log.info(
        "codecs on %d of these clips: pictures %.1f dB, sounds %.1f dB off, onsets F1 %.2f within 50 ms",
        loss.clips, loss.psnr, loss.distance, loss.onsets,
    )  # fmt: skip
    for line in loss.advice():
        log.warning("%s", line)
    out.mkdir(parents=True, exist_ok=True)
    atomic.write_text(out / FILE, json.dumps(asdict(loss), indent=1))
