"""Pictures out of a file: their time stamps, the one on screen at a given time, turned and scaled as it is shown."""

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

# How far the sound and the pictures of a film may end apart, in seconds, and still be meant to end together: a frame of HE-AAC at
# 22.05 kHz, the longest in use.
MAX_END_GAP = Fraction(2048, 22050)
# How long a file may show one picture without a sound before its time stamps are taken for damaged, in seconds.
MAX_HOLD = 60
# The timelines of files that were read last: reading many windows of one file walks through it once.
_TIMELINES: "OrderedDict[tuple, Timeline]" = OrderedDict()
_MATRICES: "OrderedDict[tuple, np.ndarray | None]" = OrderedDict()
_CACHE_SIZE = 256
# Pictures that are to become this many times smaller are first reduced by FFmpeg, to this many times the wished size.
PRESCALE_FROM, PRESCALE_TO = 8, 4


@dataclass(frozen=True)
class Timeline:
    """When the pictures of a file are shown.

    Attributes:
        zero: the first picture's stamp, in seconds of the file's own clock.
        seconds: from there to the end of the file: the last picture is held as long as it says, or as long as the sound goes on.
        rate: pictures per second.
        constant: whether the stamps keep to that rate.
        slack: what a stamp may be late by because the file rounded it, in seconds.
        num_frames: how many pictures are shown.
        last: when the last picture appears, in seconds from `zero`.
        hold: the longest time that one picture stands without a sound, in seconds.
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
        """Whether the file can mean to last as long as it says.

        Raises:
            MediaError: a picture stands for more than a minute without a sound.
        """
        if self.hold > MAX_HOLD:
            raise MediaError(
                f"{path}: implausible time stamps: {self.num_frames} picture{'s' if self.num_frames > 1 else ''} for "
                f"{float(self.seconds):.0f} s, one of them for {float(self.hold):.0f} s without a sound (damaged header?); say "
                "how much is meant with seconds= (sonovid generate: --seconds)"
            )


def read_timeline(path: "str | os.PathLike") -> Timeline:
    """The time stamps of all pictures in a file, found without decoding any; the last files' are remembered while they stay as
    they are.

    Raises:
        MediaError: the file has no pictures, or ends early.
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
    """What tells a file's contents from others without reading them; None for what is no single file."""
    return (os.path.abspath(path), *file_state(path)) if os.path.isfile(path) else None


def _read_timeline(path: "str | os.PathLike") -> Timeline:
    with open_media(path) as container:
        stream, audio = video_stream(container), audio_stream(container)
        if stream is None:
            raise MediaError(f"{path}: has no pictures{describe_unknown_codecs(container)}")
        base = stream.time_base
        stamps, durations, reached, sound_end = [], [], Fraction(0), Fraction(0)
        for packet in container.demux():
            stamp = packet.dts if packet.pts is None or lacks_presentation_times(container) else packet.pts
            if not packet.size or stamp is None or packet.time_base is None:
                continue
            end = (stamp + (packet.duration or 0)) * packet.time_base
            reached = max(reached, end)
            if packet.stream is stream and not packet.is_discard:
                stamps.append(stamp)
                durations.append(packet.duration or 0)
            elif packet.stream is audio and not packet.is_discard:
                sound_end = max(sound_end, end)
        if not stamps:
            raise MediaError(f"{path}: its video stream holds no pictures (cut short?)")
        if container.duration:
            declared_end = Fraction(container.duration, av.time_base)
            if declared_end - reached > max(Fraction(1, 2), declared_end / 20):
                raise MediaError(
                    f"{path}: ends early, at {float(reached):.2f} s of {float(declared_end):.2f} s (damaged, or cut short)"
                )
        declared = [rate for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate) if rate]
    assert base is not None
    order = np.argsort(stamps, kind="stable")
    ordered = np.asarray(stamps, np.int64)[order]
    timeline = build_timeline(ordered, int(durations[order[-1]]), base, declared)
    heard = sound_end - timeline.zero
    if heard - timeline.seconds > MAX_END_GAP:
        timeline = replace(timeline, seconds=heard)
    # Of each stretch between two pictures, what lies after the end of the sound.
    edges = np.append((ordered - ordered[0]).astype(np.float64) * float(base), float(timeline.seconds))
    silent = edges[1:] - np.maximum(edges[:-1], float(heard))
    return replace(timeline, hold=Fraction(max(float(silent.max()), 0.0)).limit_denominator(1000))


def lacks_presentation_times(container: InputContainer) -> bool:
    """Whether a container counts its packets and no more (avi): their times are right, which picture has which is not told."""
    return container.format.name == "avi"


def build_timeline(stamps: np.ndarray, last: int, base: Fraction, declared: list[Fraction]) -> Timeline:
    """The timeline of sorted stamps and the last picture's length, both in ticks of `base`; declared: rates in the header."""
    zero = int(stamps[0]) * base
    ticks = stamps - stamps[0]
    gap = float(np.median(np.diff(ticks))) if len(ticks) > 1 else 0.0
    if gap and len(ticks) > 2:
        # VP8 hides reference pictures between the shown ones, a tick or so before the next: they are never on screen.
        shown = np.append(np.diff(ticks) >= gap / 4, True)
        ticks = ticks[shown]
    if last <= 0:
        last = round(gap) if gap else (round(1 / (declared[0] * base)) if declared else 1)
    span = (int(ticks[-1]) + last) * base
    average = as_rate(len(ticks) / span if span > len(ticks) else (len(ticks) / span).limit_denominator(1001))
    seconds_of = ticks.astype(np.float64) * float(base)
    latest = int(ticks[-1]) * base
    for rate in [*map(as_rate, declared), average]:
        # A quarter of a frame: jitter stays inside, a rate that is wrong by a frame in the whole file does not.
        allowed = max(1.5 * float(base), 0.25 / float(rate)) if len(ticks) > 1 else np.inf
        if np.abs(seconds_of - np.arange(len(ticks)) / float(rate)).max() <= min(allowed, 0.5 / float(rate)):
            # A last picture of more than a picture and a half is held on purpose: a screen recording, the end of a gif.
            held = len(ticks) > 1 and last * base > Fraction(3, 2) / rate
            seconds = duration(len(ticks) - 1, rate) + last * base if held else duration(len(ticks), rate)
            return Timeline(zero, seconds, rate, True, Fraction(1, 4) / rate, len(ticks), latest)
    # Half a tick is what rounding to the file's clock may add; a coarse clock (a tick per picture, as in avi) does not round.
    rounding = base / 2 if base <= Fraction(1, 4) / average else Fraction(0)
    return Timeline(zero, span, average, False, rounding + Fraction(1, 10**6), len(ticks), latest)


def decode_frames(
    container: InputContainer, stream: VideoStream, start: Fraction = Fraction(0)
) -> Iterator[tuple[Fraction, VideoFrame]]:
    """The pictures of a file in the order they are shown, each with its stamp in seconds of the file's clock.

    start: the first time that will be asked for, on that clock; decoding begins at the key picture before it.
    """
    base = stream.time_base
    assert base is not None
    limit_threads(stream)
    first = Fraction(stream.start_time or 0) * base
    # Only these two hold an index of key pictures; elsewhere (transport streams) a seek lands where nothing can be decoded.
    if start - first > 1 and container.format.name.split(",")[0] in ("mov", "matroska"):
        try:
            container.seek(int(start / base), stream=stream)
            yield from _decode_packets(container, stream, base, not_after=start)
            return
        except (av.FFmpegError, _Overshot):
            container.seek(int(first / base), stream=stream)
    yield from _decode_packets(container, stream, base)


class _Overshot(Exception):
    """A seek landed after the time that was asked for."""


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
            continue  # One damaged packet does not spoil a file; a file that ends early is found by its length.
        for frame in frames:
            if counted:
                # Pictures come out of the decoder in the order they are shown, which is the order of the packets' times.
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
    """For each of the rising `times` the picture on screen then: the last whose stamp is not after it, but for the slack."""
    coming = iter(frames)
    held, ahead = None, next(coming, None)
    for time in times:
        while ahead is not None and (held is None or ahead[0] <= time + slack):
            held, ahead = ahead, next(coming, None)
        if held is None:
            return
        yield held


def cached_display_matrix(path: "str | os.PathLike", frame: VideoFrame) -> "np.ndarray | None":
    """The display matrix of a file's pictures, of which `frame` is one; looked up once per file.

    A frame whose side data was looked at lives until the garbage collector runs (the two refer to each other in PyAV), and a
    picture of 4K takes 12 MB.
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
    """The matrix [3 3] by which a picture is turned to be shown, as stored (16.16 fixed point), or None."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return None
    return np.frombuffer(cast(bytes, data), dtype=np.int32, count=9).reshape(3, 3).copy()


def apply_display_matrix(image: np.ndarray, matrix: "np.ndarray | None") -> np.ndarray:
    """A picture [h w 3] turned and mirrored by its display matrix, to the nearest quarter turn."""
    if matrix is None:
        return image
    (a, b), (c, d) = matrix[:2, :2].tolist()
    # The matrix takes (x, y) to (a x + c y, b x + d y).
    if abs(a) + abs(d) >= abs(b) + abs(c):
        across, down = a, d
    else:
        image = image.swapaxes(0, 1)
        across, down = c, b
    return image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]


def displayed_size(frame: VideoFrame, aspect: "Fraction | None", matrix: "np.ndarray | None") -> tuple[int, int]:
    """Height and width at which a picture is shown: square pixels, turned.

    aspect: of one stored pixel, width to height. matrix: as `display_matrix` gives it.
    """
    height, width = frame.height, frame.width
    if aspect and aspect > 0 and aspect != 1:
        width = max(1, round(width * aspect))
    return (width, height) if _swaps_axes(matrix) else (height, width)


def _swaps_axes(matrix: "np.ndarray | None") -> bool:
    """Whether a matrix exchanges height and width."""
    if matrix is None:
        return False
    (a, b), (c, d) = matrix[:2, :2].tolist()
    return abs(b) + abs(c) > abs(a) + abs(d)


def resize_and_crop(image: np.ndarray, size: tuple[int, int], shape: "tuple[int, int] | None" = None) -> np.ndarray:
    """A picture [h w 3] scaled to cover `size` (h, w), what is over cut off evenly on both sides.

    Scaled by a triangle filter as wide as the reduction (Pillow's bilinear), so that nothing aliases. shape: height and width
    the picture is shown at, where its pixels are not square.
    """
    height, width = image.shape[:2]
    shown_height, shown_width = shape or (height, width)
    scale = max(size[0] / shown_height, size[1] / shown_width)
    # The part that is kept, first in shown and then in stored pixels.
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
    """A decoded picture as uint8 [h w 3], RGB, turned, with square pixels, and of `size` (h, w) where one is wished.

    A picture that is to become far smaller is scaled before its colours are converted, so that a 4K film read at 64 x 64 takes
    the memory of small pictures.
    """
    shape = displayed_size(frame, aspect, matrix)
    target = size or shape
    stored = (target[1], target[0]) if _swaps_axes(matrix) else target
    reduction = min(frame.height / stored[0], frame.width / stored[1])
    small: dict[str, Any] = {}
    if reduction >= PRESCALE_FROM:
        # Averages of whole areas; what is left to scale lies well above the wished size, so that its filter decides the picture.
        scale = PRESCALE_TO / reduction
        small = {
            "height": max(1, round(frame.height * scale)),
            "width": max(1, round(frame.width * scale)),
            "interpolation": "AREA",
        }
    image = apply_display_matrix(frame.reformat(format="rgb24", threads=1, **small).to_ndarray(), matrix)
    return np.ascontiguousarray(resize_and_crop(image, target, shape))
