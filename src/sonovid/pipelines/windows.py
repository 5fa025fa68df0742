"""Windows: fit inputs to a model's size and rates, place overlapping windows, and crossfade the generated windows."""

from fractions import Fraction

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sonovid.core.geometry import Geometry, count, duration
from sonovid.media.audio import pad_or_trim, resample_audio, to_mono
from sonovid.media.frames import resize_and_crop
from sonovid.media.info import MediaInfo

# Share of a window that is crossfaded with the next one.
OVERLAP_SHARE = Fraction(1, 8)
# Largest difference, in seconds, between the ends of the two streams of a file that counts as rounding: a frame of HE-AAC at
# 22.05 kHz, the longest in use.
MAX_STREAM_MISMATCH = Fraction(2048, 22050)


def num_frames_for(seconds: "Fraction | float", fps: Fraction) -> int:
    """The smallest number of frames, at least one, that lasts `seconds`, to a hundredth of a frame."""
    exact = Fraction(seconds) * fps
    return max(1, -int(-(exact - Fraction(1, 100)) // 1))


def audio_duration(seconds: Fraction, info: MediaInfo) -> Fraction:
    """The duration of the audio of a file: that of its video, where the two differ by no more than `MAX_STREAM_MISMATCH`.

    Audio codecs have frames of their own, so the audio of a file seldom ends exactly with its last video frame.

    Args:
        seconds: duration of the decoded audio.
        info: the file's properties.
    """
    return info.duration if info.has_video and abs(info.duration - seconds) <= MAX_STREAM_MISMATCH else seconds


def window_starts(total: int, window: int) -> list[int]:
    """The first frame of each window. Windows overlap by an eighth; the last one ends with the clip.

    Args:
        total: frames of the clip.
        window: frames of a window.
    """
    hop = max(1, window - max(1, round(window * OVERLAP_SHARE)))
    return [0] if total <= window else [*range(0, total - window, hop), total - window]


def fit_frames(
    frames: UInt8[np.ndarray, "t h w 3"], fps: Fraction, geometry: Geometry, total: int, first: int = 0
) -> UInt8[np.ndarray, "t2 h2 w2 3"]:
    """Convert frames to a geometry's rate and size: nearest earlier frame in time, resized to cover and cropped at the centre.

    The last frame repeats where the video is too short.

    Args:
        frames: the frames.
        fps: their rate.
        geometry: rate and size of the result.
        total: number of frames of the result, counted from the beginning of the video.
        first: first frame of the result; earlier ones are left out.
    """
    indices = [min(len(frames) - 1, int(j * fps / geometry.fps // 1)) for j in range(first, total)]
    size = (geometry.height, geometry.width)
    resized = {index: resize_and_crop(frames[index], size) for index in sorted(set(indices))}
    return np.stack([resized[index] for index in indices])


def fit_waveform(waveform: Float[np.ndarray, "c n"], sample_rate: int, geometry: Geometry, total: int) -> Float[np.ndarray, "m"]:
    """Convert a waveform to mono at the geometry's sample rate, trimmed or zero-padded to the length of `total` frames."""
    mono = resample_audio(to_mono(waveform, [""] * len(waveform)), sample_rate, geometry.sample_rate)
    return pad_or_trim(mono, count(duration(total, geometry.fps), geometry.sample_rate))[0]


def check_waveform(waveform: Float[np.ndarray, "c n"]) -> None:
    """Check that a waveform can condition a video.

    Raises:
        ValueError: no samples, NaN or infinite samples, or silence throughout.
    """
    if waveform.shape[1] == 0:
        raise ValueError("the input audio has no samples")
    if not np.isfinite(waveform).all():
        raise ValueError("the input audio holds values that are not numbers (NaN or infinite)")
    if not waveform.any():
        raise ValueError("the input audio is silent throughout: there is nothing to generate a video from")


def crossfade_windows(pieces: list[Tensor], starts: list[int], *, axis: int, equal_power: bool) -> Tensor:
    """Concatenate overlapping pieces with a crossfade over the overlap, at most an eighth of a piece.

    Args:
        pieces: the pieces, in order.
        starts: where each begins on `axis`.
        axis: the time axis.
        equal_power: fade with equal power, for audio; linearly otherwise, for frames.
    """
    out = pieces[0].movedim(axis, 0)
    for piece, start in zip(pieces[1:], starts[1:], strict=True):
        piece = piece.movedim(axis, 0)
        overlap = len(out) - start
        fade = min(overlap, max(1, round(len(piece) * OVERLAP_SHARE)))
        ramp = (torch.arange(fade, dtype=torch.float32, device=piece.device) + 0.5) / fade
        up, down = ((ramp * torch.pi / 2).sin(), (ramp * torch.pi / 2).cos()) if equal_power else (ramp, 1 - ramp)
        shape = (-1, *[1] * (piece.ndim - 1))
        mixed = out[start : start + fade] * down.reshape(shape) + piece[:fade] * up.reshape(shape)
        out = torch.cat([out[:start], mixed, piece[fade:]])
    return out.movedim(0, axis)
