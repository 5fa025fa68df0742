"""Streams the frames that `read` returns, in constant memory."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from sonovid.core.geometry import as_rate, count, duration
from sonovid.media.files import Limits, MediaError, open_media, video_stream
from sonovid.media.frames import Timeline, cached_display_matrix, decode_frames, displayed_size, frames_at, read_timeline, to_rgb
from sonovid.media.source import Source, as_source


@dataclass(frozen=True)
class FrameStream:
    """The frames of a file as an iterator. Only a few frames are in memory at a time.

    Attributes:
        fps: Frames per second.
        num_frames: Number of frames.
        frames: uint8 [h w 3] each, all of one size. The iterator can be consumed once.
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
    """Streams the frames that `read` returns, from the first one on.

    Args:
        path: Path or `Source`, as in `read`.
        fps: Frames per second, as in `read`.
        size: Frame size (h, w), as in `read`.
        seconds: Length that is read, in seconds.
        limits: As in `read`. The memory limit does not apply.

    Raises:
        MediaError: The file cannot be read, has no video or exceeds the limits. Damage inside the file is reported while
            iterating.
        ValueError: `seconds` is not positive.
    """
    source = as_source(path)
    limits = limits or source.limits or Limits()
    if seconds is not None and not seconds > 0:
        raise ValueError(f"stream_frames: seconds={seconds}, expected a length above zero")
    timeline = read_timeline(source)
    rate = as_rate(fps) if fps is not None else timeline.rate
    if seconds is None and source.seconds is None:
        timeline.check_plausible(source)
    length = source.part_duration(timeline.seconds)
    length = length if seconds is None else min(Fraction(seconds), length)
    limits.check_seconds(Path(source), length)
    num_frames = max(1, count(length, rate))
    return FrameStream(rate, num_frames, _iterate_frames(source, timeline, rate, size, num_frames, limits))


def _iterate_frames(
    source: Source, timeline: Timeline, rate: Fraction, size: "tuple[int, int] | None", num_frames: int, limits: Limits
) -> Iterator[np.ndarray]:
    """Yields the frame on screen at each of `num_frames` times, uint8 [h w 3]."""
    slack = timeline.slack if timeline.constant and rate == timeline.rate else min(timeline.slack, Fraction(1, 1000))
    path, begin = Path(source), timeline.zero + source.start
    times = (begin + duration(i, rate) for i in range(num_frames))
    with open_media(source, limits) as container:
        stream = video_stream(container)
        assert stream is not None
        limits.check_frame_size(path, stream.height, stream.width)
        aspect = stream.sample_aspect_ratio
        image, last, reached, matrix = None, None, Fraction(0), None
        for timestamp, frame in frames_at(decode_frames(container, stream, begin), times, slack):
            if image is None:
                matrix = cached_display_matrix(source, frame)
                size = size or displayed_size(frame, aspect, matrix)
            if image is None or frame is not last:
                limits.check_frame_size(path, frame.height, frame.width)
                image = to_rgb(frame, aspect, size, matrix)
            last, reached = frame, timestamp
            yield image
    if image is None:
        raise MediaError(f"{path}: none of its frames can be decoded (damaged or truncated)")
    # The last frame that was decoded has to be close to the last one that was due.
    expected = timeline.zero + min(source.start + duration(num_frames - 1, rate), timeline.last)
    if expected - reached > max(Fraction(1, 2), 3 / timeline.rate) and timeline.constant:
        raise MediaError(
            f"{path}: ends early, at {float(reached - timeline.zero):.2f} s of {float(timeline.seconds):.2f} s "
            "(damaged or truncated)"
        )
