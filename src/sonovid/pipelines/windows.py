"""Given pictures and sounds at a model's size and rates, the windows they are cut into, and what comes out joined again."""

from fractions import Fraction

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sonovid.core.geometry import Geometry, count, duration
from sonovid.media.audio import pad_or_trim, resample_audio, to_mono
from sonovid.media.frames import resize_and_crop
from sonovid.media.info import MediaInfo

# The share of a window that is faded over into the next one.
OVERLAP_SHARE = Fraction(1, 8)
# How far the sound and the pictures of a film may end apart, in seconds, and still be meant to end together: a frame of HE-AAC at
# 22.05 kHz, the longest in use.
MAX_STREAM_MISMATCH = Fraction(2048, 22050)


def num_frames_for(seconds: "Fraction | float", fps: Fraction) -> int:
    """How many frames it takes to last at least `seconds`, to a hundredth of a frame; at least one."""
    exact = Fraction(seconds) * fps
    return max(1, -int(-(exact - Fraction(1, 100)) // 1))


def audio_duration(sound: Fraction, info: MediaInfo) -> Fraction:
    """How long the sound of a file lasts, in seconds: as long as the file's pictures, where it has any and they all but agree.

    Codecs of sound come in frames of their own, so that the sound of a film seldom ends with its last picture.
    """
    return info.duration if info.has_video and abs(info.duration - sound) <= MAX_STREAM_MISMATCH else sound


def window_starts(total: int, window: int) -> list[int]:
    """The first frame of each window: they overlap by an eighth, the last one by as much as it takes to end with the clip."""
    hop = max(1, window - max(1, round(window * OVERLAP_SHARE)))
    return [0] if total <= window else [*range(0, total - window, hop), total - window]


def fit_frames(
    frames: UInt8[np.ndarray, "t h w 3"], fps: Fraction, geometry: Geometry, total: int, first: int = 0
) -> UInt8[np.ndarray, "t2 h2 w2 3"]:
    """`total` frames of the geometry's rate and size: each is the one on screen at its time, scaled to cover and cut evenly.

    The last frame is held where the pictures are shorter. first: of the frames, those before which are left out.
    """
    shown = [min(len(frames) - 1, int(j * fps / geometry.fps // 1)) for j in range(first, total)]
    size = (geometry.height, geometry.width)
    small = {index: resize_and_crop(frames[index], size) for index in sorted(set(shown))}
    return np.stack([small[index] for index in shown])


def fit_waveform(waveform: Float[np.ndarray, "c n"], sample_rate: int, geometry: Geometry, total: int) -> Float[np.ndarray, "m"]:
    """The sound of `total` frames: one channel at the geometry's sample rate, cut, or filled up with silence."""
    mono = resample_audio(to_mono(waveform, [""] * len(waveform)), sample_rate, geometry.sample_rate)
    return pad_or_trim(mono, count(duration(total, geometry.fps), geometry.sample_rate))[0]


def check_waveform(waveform: Float[np.ndarray, "c n"]) -> None:
    """Raises ValueError where there are no samples, samples that are not numbers, or silence throughout."""
    if waveform.shape[1] == 0:
        raise ValueError("the given sound has no samples")
    if not np.isfinite(waveform).all():
        raise ValueError("the given sound holds values that are not numbers (NaN or infinite)")
    if not waveform.any():
        raise ValueError("the given sound is silent throughout: there is nothing to make pictures from")


def crossfade_windows(pieces: list[Tensor], at: list[int], *, axis: int, equal_power: bool) -> Tensor:
    """Pieces that begin at `at` on `axis`, each faded over into the next where they overlap, for an eighth of a piece at most.

    equal_power: for sounds, whose powers add; pictures fade linearly.
    """
    out = pieces[0].movedim(axis, 0)
    for piece, begin in zip(pieces[1:], at[1:], strict=True):
        piece = piece.movedim(axis, 0)
        overlap = len(out) - begin
        fade = min(overlap, max(1, round(len(piece) * OVERLAP_SHARE)))
        ramp = (torch.arange(fade, dtype=torch.float32, device=piece.device) + 0.5) / fade
        up, down = ((ramp * torch.pi / 2).sin(), (ramp * torch.pi / 2).cos()) if equal_power else (ramp, 1 - ramp)
        shape = (-1, *[1] * (piece.ndim - 1))
        mixed = out[begin : begin + fade] * down.reshape(shape) + piece[:fade] * up.reshape(shape)
        out = torch.cat([out[:begin], mixed, piece[fade:]])
    return out.movedim(0, axis)
