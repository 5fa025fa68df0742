"""The pictures of a file one after the other: those of `read`, in memory that does not grow with the length of the file."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from sonovid.core.geometry import as_rate, count, duration
from sonovid.media.files import Limits, MediaError, opened, video_stream
from sonovid.media.pictures import Timeline, as_shown, decoded, displayed_size, matrix_of, on_screen, scan
from sonovid.media.source import Source, as_source


@dataclass(frozen=True)
class FrameStream:
    """The pictures of a file as an iterator, of which a few at a time are in memory.

    fps: frames per second. num_frames: how many there are. frames: uint8 [h w 3] each, all of one size, to be gone through once.
    """

    fps: Fraction
    num_frames: int
    frames: Iterator[np.ndarray]


def stream_frames(
    path: "str | os.PathLike",
    *,
    fps: "Fraction | int | float | str | None" = None,
    size: "tuple[int, int] | None" = None,
    seconds: "Fraction | int | float | None" = None,
    limits: "Limits | None" = None,
) -> FrameStream:
    """The frames that `read` gives, from the first on.

    Args:
        path, fps, size, seconds: as in `read`.
        limits: as in `read`, but for the memory, which is that of a few pictures.

    Raises:
        MediaError: not readable, without pictures, or above the limits; of damage inside the file while it is gone through.
        ValueError: a length that is not above zero.
    """
    source = as_source(path)
    limits = limits or source.limits or Limits()
    if seconds is not None and not seconds > 0:
        raise ValueError(f"stream_frames: seconds={seconds}, expected a length above zero")
    line = scan(source)
    rate = as_rate(fps) if fps is not None else line.rate
    if seconds is None and source.seconds is None:
        line.check_plausible(source)
    length = source.length_of(line.seconds)
    length = length if seconds is None else min(Fraction(seconds), length)
    limits.check_seconds(Path(source), length)
    num_frames = max(1, count(length, rate))
    return FrameStream(rate, num_frames, _shown(source, line, rate, size, num_frames, limits))


def _shown(
    source: Source, line: Timeline, rate: Fraction, size: "tuple[int, int] | None", num_frames: int, limits: Limits
) -> Iterator[np.ndarray]:
    """The picture on screen at each of `num_frames` times, uint8 [h w 3]."""
    slack = line.slack if line.constant and rate == line.rate else min(line.slack, Fraction(1, 1000))
    path, begin = Path(source), line.zero + source.start
    times = (begin + duration(i, rate) for i in range(num_frames))
    with opened(source, limits) as container:
        stream = video_stream(container)
        assert stream is not None
        limits.check_picture(path, stream.height, stream.width)
        aspect = stream.sample_aspect_ratio
        picture, last, reached, matrix = None, None, Fraction(0), None
        for stamp, frame in on_screen(decoded(container, stream, begin), times, slack):
            if picture is None:
                matrix = matrix_of(source, frame)
                size = size or displayed_size(frame, aspect, matrix)
            if picture is None or frame is not last:
                limits.check_picture(path, frame.height, frame.width)
                picture = as_shown(frame, aspect, size, matrix)
            last, reached = frame, stamp
            yield picture
    if picture is None:
        raise MediaError(f"{path}: none of its pictures can be decoded (damaged, or cut short)")
    # The last picture that was found has to be near the last that was to be shown.
    expected = line.zero + min(source.start + duration(num_frames - 1, rate), line.last)
    if expected - reached > max(Fraction(1, 2), 3 / line.rate) and line.constant:
        raise MediaError(
            f"{path}: ends early, at {float(reached - line.zero):.2f} s of {float(line.seconds):.2f} s (damaged, or cut short)"
        )
