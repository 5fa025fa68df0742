"""Decodes video frames: timestamps, frame selection by time, rotation and resizing."""

import os
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from sonovid.core import renamed
from sonovid.core.geometry import as_rate, duration
from sonovid.media.files import (
    MediaError,
    audio_stream,
    describe_unknown_codecs,
    file_state,
    limit_threads,
    open_media,
    video_stream,
)

# If audio and video end within this many seconds, they are taken to end together. It is the length of an HE-AAC frame at
# 22.05 kHz, the longest in use.
MAX_END_GAP = Fraction(2048, 22050)
# If one frame is held for longer than this without audio, the timestamps are taken to be damaged. In seconds.
MAX_HOLD = 60
# Timelines of recently read files, so that reading many windows of one file demuxes it once.
_TIMELINES: "OrderedDict[tuple, Timeline]" = OrderedDict()
_MATRICES: "OrderedDict[tuple, np.ndarray | None]" = OrderedDict()
_CACHE_SIZE = 256
# Frames that are downscaled by at least the first factor are first reduced by FFmpeg, to the second factor times the target size.
PRESCALE_FROM, PRESCALE_TO = 8, 4


@dataclass(frozen=True)
class Timeline:
    """The times at which the frames of a file are shown.

    Attributes:
        zero: Timestamp of the first frame, in seconds on the clock of the file.
        seconds: Duration from `zero` to the end: the last frame is held for its own duration, or as long as the audio continues.
        rate: Frames per second.
        constant: Whether the timestamps follow that rate.
        slack: Rounding error of the timestamps, in seconds.
        num_frames: Number of frames that are shown.
        last: Time at which the last frame appears, in seconds from `zero`.
        hold: Longest time that one frame is held without audio, in seconds.
    """

    zero: Fraction
    seconds: Fraction
    rate: Fraction
    constant: bool
    slack: Fraction
    num_frames: int
    last: Fraction = Fraction(0)
    hold: Fraction = Fraction(0)

    def check_plausible(self, path: "str | os.PathLike") -> None:
        """Checks that the declared duration is plausible.

        Raises:
            MediaError: One frame is held for more than a minute without audio.
        """
        if self.hold > MAX_HOLD:
            raise MediaError(
                f"{path}: implausible timestamps: {self.num_frames} frame{'s' if self.num_frames > 1 else ''} for "
                f"{float(self.seconds):.0f} s, one of them for {float(self.hold):.0f} s without audio (damaged header?); "
                "give the length to read with seconds= (sonovid generate: --seconds)"
            )


def read_timeline(path: "str | os.PathLike") -> Timeline:
    """Reads the timestamps of all frames of a file without decoding them. Recent results are cached until the file changes.

    Raises:
        MediaError: The file has no video or is truncated.
    """
    key = _cache_key(path)
    if key is None:
        return _read_timeline(path)
    timeline = _TIMELINES.get(key)
    if timeline is None:
        timeline = _TIMELINES[key] = _read_timeline(path)
        while len(_TIMELINES) > _CACHE_SIZE:
            _TIMELINES.popitem(last=False)
    return timeline


def _cache_key(path: "str | os.PathLike") -> "tuple | None":
    """Identifies the contents of a file without reading them. None for anything but a single file."""
    return (os.path.abspath(path), *file_state(path)) if os.path.isfile(path) else None


def _read_timeline(path: "str | os.PathLike") -> Timeline:
    with open_media(path) as container:
        stream, audio = video_stream(container), audio_stream(container)
        if stream is None:
            raise MediaError(f"{path}: has no video{describe_unknown_codecs(container)}")
        base = stream.time_base
        timestamps, durations, reached, sound_end = [], [], Fraction(0), Fraction(0)
        for packet in container.demux():
            timestamp = packet.dts if packet.pts is None or lacks_presentation_times(container) else packet.pts
            if not packet.size or timestamp is None or packet.time_base is None:
                continue
            end = (timestamp + (packet.duration or 0)) * packet.time_base
            reached = max(reached, end)
            if packet.stream is stream and not packet.is_discard:
                timestamps.append(timestamp)
                durations.append(packet.duration or 0)
            elif packet.stream is audio and not packet.is_discard:
                sound_end = max(sound_end, end)
        if not timestamps:
            raise MediaError(f"{path}: its video stream has no frames (truncated?)")
        if container.duration:
            declared_end = Fraction(container.duration, av.time_base)
            if declared_end - reached > max(Fraction(1, 2), declared_end / 20):
                raise MediaError(
                    f"{path}: ends early, at {float(reached):.2f} s of {float(declared_end):.2f} s (damaged or truncated)"
                )
        declared = [rate for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate) if rate]
    assert base is not None
    order = np.argsort(timestamps, kind="stable")
    ordered = np.asarray(timestamps, np.int64)[order]
    timeline = build_timeline(ordered, int(durations[order[-1]]), base, declared)
    heard = sound_end - timeline.zero
    if heard - timeline.seconds > MAX_END_GAP:
        timeline = replace(timeline, seconds=heard)
    # The part of each interval between two frames that lies after the end of the audio.
    edges = np.append((ordered - ordered[0]).astype(np.float64) * float(base), float(timeline.seconds))
    silent = edges[1:] - np.maximum(edges[:-1], float(heard))
    return replace(timeline, hold=Fraction(max(float(silent.max()), 0.0)).limit_denominator(1000))


def lacks_presentation_times(container: InputContainer) -> bool:
    """Whether a container stores packet times in decoding order only (avi).

    The times are correct, but which frame has which time is unknown.
    """
    return container.format.name == "avi"


def build_timeline(timestamps: np.ndarray, last: int, base: Fraction, declared: list[Fraction]) -> Timeline:
    """Builds a timeline from timestamps.

    Args:
        stamps: Sorted timestamps, in ticks of `base`.
        last: Duration of the last frame, in ticks of `base`.
        base: Time base of the stream, in seconds per tick.
        declared: Frame rates that the header declares.
    """
    zero = int(timestamps[0]) * base
    ticks = timestamps - timestamps[0]
    gap = float(np.median(np.diff(ticks))) if len(ticks) > 1 else 0.0
    if gap and len(ticks) > 2:
        # VP8 stores hidden reference frames about one tick before the next visible frame. They are never on screen.
        shown = np.append(np.diff(ticks) >= gap / 4, True)
        ticks = ticks[shown]
    if last <= 0:
        last = round(gap) if gap else (round(1 / (declared[0] * base)) if declared else 1)
    span = (int(ticks[-1]) + last) * base
    average = as_rate(len(ticks) / span if span > len(ticks) else (len(ticks) / span).limit_denominator(1001))
    seconds_of = ticks.astype(np.float64) * float(base)
    latest = int(ticks[-1]) * base
    for rate in [*map(as_rate, declared), average]:
        # A quarter of a frame tolerates jitter, but not a rate that is wrong by one frame over the whole file.
        allowed = max(1.5 * float(base), 0.25 / float(rate)) if len(ticks) > 1 else np.inf
        if np.abs(seconds_of - np.arange(len(ticks)) / float(rate)).max() <= min(allowed, 0.5 / float(rate)):
            # A last frame that lasts more than one and a half frames is held on purpose: a screen recording, the end of a gif.
            held = len(ticks) > 1 and last * base > Fraction(3, 2) / rate
            seconds = duration(len(ticks) - 1, rate) + last * base if held else duration(len(ticks), rate)
            return Timeline(zero, seconds, rate, True, Fraction(1, 4) / rate, len(ticks), latest)
    # Rounding to the clock of the file adds up to half a tick. A coarse clock (one tick per frame, as in avi) does not round.
    rounding = base / 2 if base <= Fraction(1, 4) / average else Fraction(0)
    return Timeline(zero, span, average, False, rounding + Fraction(1, 10**6), len(ticks), latest)


def decode_frames(
    container: InputContainer, stream: VideoStream, start: Fraction = Fraction(0)
) -> Iterator[tuple[Fraction, VideoFrame]]:
    """Decodes the frames of a file in display order, each with its timestamp in seconds on the clock of the file.

    Args:
        container: The open file.
        stream: The video stream.
        start: The first time that is needed, on that clock. Decoding begins at the keyframe before it.
    """
    base = stream.time_base
    assert base is not None
    limit_threads(stream)
    first = Fraction(stream.start_time or 0) * base
    # Only these two have a keyframe index. In others (transport streams) a seek may land where nothing can be decoded.
    if start - first > 1 and container.format.name.split(",")[0] in ("mov", "matroska"):
        try:
            container.seek(int(start / base), stream=stream)
            yield from _decode_packets(container, stream, base, not_after=start)
            return
        except (av.FFmpegError, _Overshot):
            container.seek(int(first / base), stream=stream)
    yield from _decode_packets(container, stream, base)


class _Overshot(Exception):
    """A seek landed after the requested time."""


def _decode_packets(
    container: InputContainer, stream: VideoStream, base: Fraction, not_after: "Fraction | None" = None
) -> Iterator[tuple[Fraction, VideoFrame]]:
    time, gap = None, 1 / Fraction(stream.average_rate or 25)
    counted = deque[int]() if lacks_presentation_times(container) else None
    for packet in container.demux(stream):
        if counted is not None and packet.size and packet.dts is not None:
            counted.append(packet.dts)
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            continue  # One damaged packet is skipped. A truncated file is found by its length.
        for frame in frames:
            if counted:
                # The decoder returns frames in display order, which is the order of the packet times.
                time = counted.popleft() * base
            elif frame.pts is not None:
                time = frame.pts * base
            else:
                time = time + gap if time is not None else Fraction(stream.start_time or 0) * base
            if not_after is not None and time > not_after:
                raise _Overshot
            not_after = None
            yield time, frame


def frames_at(
    frames: Iterable[tuple[Fraction, VideoFrame]], times: Iterable[Fraction], slack: Fraction
) -> Iterator[tuple[Fraction, VideoFrame]]:
    """Yields the frame on screen at each of the increasing `times`.

    It is the last frame whose timestamp is not later than the time, within the slack.

    Args:
        frames: Pairs of timestamp and frame, in display order.
        times: Increasing times in seconds.
        slack: Tolerance of the timestamps in seconds.
    """
    coming = iter(frames)
    held, ahead = None, next(coming, None)
    for time in times:
        while ahead is not None and (held is None or ahead[0] <= time + slack):
            held, ahead = ahead, next(coming, None)
        if held is None:
            return
        yield held


def cached_display_matrix(path: "str | os.PathLike", frame: VideoFrame) -> "np.ndarray | None":
    """Returns the display matrix of a file, read from one of its frames and cached per file.

    PyAV keeps a frame whose side data was read until the garbage collector runs, since the two refer to each other. A 4K frame
    takes 12 MB.
    """
    key = _cache_key(path)
    if key is None:
        return read_display_matrix(frame)
    if key not in _MATRICES:
        _MATRICES[key] = read_display_matrix(frame)
        while len(_MATRICES) > _CACHE_SIZE:
            _MATRICES.popitem(last=False)
    return _MATRICES[key]


def read_display_matrix(frame: VideoFrame) -> "np.ndarray | None":
    """Reads the display matrix [3 3] of a frame in 16.16 fixed point, or None."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return None
    return np.frombuffer(cast(bytes, data), dtype=np.int32, count=9).reshape(3, 3).copy()


def apply_display_matrix(image: np.ndarray, matrix: "np.ndarray | None") -> np.ndarray:
    """Rotates and mirrors an image [h w 3] by its display matrix, to the nearest quarter turn."""
    if matrix is None:
        return image
    (a, b), (c, d) = matrix[:2, :2].tolist()
    # The matrix maps (x, y) to (a x + c y, b x + d y).
    if abs(a) + abs(d) >= abs(b) + abs(c):
        across, down = a, d
    else:
        image = image.swapaxes(0, 1)
        across, down = c, b
    return image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]


def displayed_size(frame: VideoFrame, aspect: "Fraction | None", matrix: "np.ndarray | None") -> tuple[int, int]:
    """Displayed size (h, w) of a frame: rotated, with square pixels.

    Args:
        frame: A decoded frame.
        aspect: Sample aspect ratio, width to height of one stored pixel.
        matrix: Display matrix, see `read_display_matrix`.
    """
    height, width = frame.height, frame.width
    if aspect and aspect > 0 and aspect != 1:
        width = max(1, round(width * aspect))
    return (width, height) if _swaps_axes(matrix) else (height, width)


def _swaps_axes(matrix: "np.ndarray | None") -> bool:
    """Whether a display matrix swaps height and width."""
    if matrix is None:
        return False
    (a, b), (c, d) = matrix[:2, :2].tolist()
    return abs(b) + abs(c) > abs(a) + abs(d)


def resize_and_crop(image: np.ndarray, size: tuple[int, int], shape: "tuple[int, int] | None" = None) -> np.ndarray:
    """Scales an image [h w 3] to cover `size` and crops the centre.

    The filter is a triangle as wide as the reduction (Pillow's bilinear), so that nothing aliases.

    Args:
        image: The image, uint8 [h w 3].
        size: Target size (h, w).
        shape: Displayed size (h, w) of the image, if its pixels are not square.
    """
    height, width = image.shape[:2]
    shown_height, shown_width = shape or (height, width)
    scale = max(size[0] / shown_height, size[1] / shown_width)
    # The part that is kept, first in displayed and then in stored pixels.
    keep_h, keep_w = size[0] / scale * height / shown_height, size[1] / scale * width / shown_width
    top, left = max(0.0, (height - keep_h) / 2), max(0.0, (width - keep_w) / 2)
    box = (left, top, min(width, left + keep_w), min(height, top + keep_h))
    if (height, width) == tuple(size) and box == (0, 0, width, height):
        return image
    pil_image = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(pil_image.resize((size[1], size[0]), Image.Resampling.BILINEAR, box=box))


def to_rgb(
    frame: VideoFrame, aspect: "Fraction | None", size: "tuple[int, int] | None", matrix: "np.ndarray | None" = None
) -> np.ndarray:
    """Converts a decoded frame to RGB, uint8 [h w 3], rotated and with square pixels.

    A frame that is downscaled strongly is scaled before its colours are converted, so that a 4K film read at 64 x 64 takes the
    memory of small frames.

    Args:
        frame: The decoded frame.
        aspect: Sample aspect ratio.
        size: Target size (h, w). None: the displayed size.
        matrix: Display matrix.
    """
    shape = displayed_size(frame, aspect, matrix)
    target = size or shape
    stored = (target[1], target[0]) if _swaps_axes(matrix) else target
    reduction = min(frame.height / stored[0], frame.width / stored[1])
    small: dict[str, Any] = {}
    if reduction >= PRESCALE_FROM:
        # Area averaging to well above the target size, so that the final filter determines the result.
        scale = PRESCALE_TO / reduction
        small = {
            "height": max(1, round(frame.height * scale)),
            "width": max(1, round(frame.width * scale)),
            "interpolation": "AREA",
        }
    image = apply_display_matrix(frame.reformat(format="rgb24", threads=1, **small).to_ndarray(), matrix)
    return np.ascontiguousarray(resize_and_crop(image, target, shape))


__getattr__ = renamed.attributes(
    __name__,
    {
        "as_shown": "to_rgb",
        "decoded": "decode_frames",
        "fitted": "resize_and_crop",
        "on_screen": "frames_at",
        "scan": "read_timeline",
    },
)
