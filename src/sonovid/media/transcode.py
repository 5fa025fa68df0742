"""Re-encodes video that cannot be copied. Frame times and HDR are preserved."""

import logging
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
from av.container import OutputContainer
from av.filter import Graph
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from sonovid.core.geometry import count, duration
from sonovid.media.extra_tracks import TimeRange
from sonovid.media.files import MediaError, limit_threads, open_media, video_stream
from sonovid.media.frames import Timeline, cached_display_matrix, decode_frames, displayed_size, frames_at, to_rgb
from sonovid.media.source import Source
from sonovid.media.writer import Container, add_video_stream, encode_frame, encode_frames

log = logging.getLogger(__name__)

# Code points of ITU-T H.273: transfer functions PQ (SMPTE ST 2084) and HLG, primaries and matrices of BT.2020.
PQ, HLG = 16, 18
BT2020_PRIMARIES, BT2020_MATRICES = 9, (9, 10)
# Ten-bit HDR encoding per container: codec, pixel format, options.
HDR_CODECS = {
    "mp4": ("libsvtav1", "yuv420p10le", {"preset": "8", "svtav1-params": "lp=1"}),
    "mov": ("prores_ks", "yuv422p10le", {"profile": "hq"}),
    "matroska": ("ffv1", "yuv420p10le", {}),
}
# Options of FFmpeg's scaler for tone mapping to BT.709. It rolls highlights off instead of clipping them.
TONE_MAP = "out_color_matrix=bt709:out_primaries=bt709:out_transfer=bt709:out_range=tv:intent=perceptual"


def is_hdr(frame: VideoFrame) -> bool:
    """Whether a frame uses an HDR transfer function or BT.2020 colours."""
    return frame.color_trc in (PQ, HLG) or frame.color_primaries == BT2020_PRIMARIES or int(frame.colorspace) in BT2020_MATRICES


def first_frame(source: Source) -> VideoFrame:
    """Returns the first frame of a file that can be decoded.

    Raises:
        MediaError: No frame can be decoded.
    """
    with open_media(source) as container:
        stream = video_stream(container)
        assert stream is not None
        for _, frame in decode_frames(container, stream):
            return frame
    raise MediaError(f"{source}: none of its frames can be decoded (damaged or truncated)")


def transcoded_seconds(timeline: Timeline, time_range: TimeRange) -> Fraction:
    """Duration of the re-encoded video: a whole number of frames for a constant frame rate, else the length of the time range."""
    return duration(max(1, count(time_range.seconds, timeline.rate)), timeline.rate) if timeline.constant else time_range.seconds


def transcode_video(
    target: OutputContainer,
    container: Container,
    source: Source,
    timeline: Timeline,
    time_range: TimeRange,
    *,
    quality: int,
    tone_map: bool = False,
) -> Iterator[Packet]:
    """Encodes the video of a file into a new stream of `target`, with the frame times of the source.

    HDR stays HDR with ten bits and its colour tags, in AV1 (mp4), ProRes (mov) or FFV1 (mkv).

    Args:
        target: The open output file.
        container: The container of the output.
        source: The input file.
        timeline: Timestamps of the input.
        time_range: The part of the input that is encoded.
        quality: Constant rate factor of H.264, 0 to 51.
        tone_map: Whether to convert HDR to BT.709.

    Returns:
        The encoded packets.
    """
    first = first_frame(source)
    if is_hdr(first) and not tone_map:
        return _encode_hdr(_add_hdr_stream(target, container, source, first, timeline, quality), source, timeline, time_range)
    map_tones = ToneMap(first) if is_hdr(first) else None
    matrix = cached_display_matrix(source, first)
    with open_media(source) as source_file:
        input_stream = video_stream(source_file)
        assert input_stream is not None
        aspect, base = input_stream.sample_aspect_ratio, Fraction(input_stream.time_base or 1)
    size = displayed_size(first, aspect, matrix)
    stream = add_video_stream(target, container, size, timeline.rate, quality)

    def shown(frame: VideoFrame) -> np.ndarray:
        return to_rgb(map_tones(frame) if map_tones is not None else frame, aspect, size, matrix)

    if timeline.constant:
        return encode_frames(
            stream, (shown(frame) for frame in _frames_at_constant_rate(source, timeline, time_range)), timeline.rate
        )
    # The encoder uses the time base of the source, so that no timestamp is rounded.
    stream.codec_context.time_base = base
    return _encode_variable_rate(stream, source, time_range, base, shown)


def _frames_at_constant_rate(source: Source, timeline: Timeline, time_range: TimeRange) -> Iterator[VideoFrame]:
    """Yields the frame on screen at each tick of the constant frame rate."""
    with open_media(source) as container:
        stream = video_stream(container)
        assert stream is not None
        times = (time_range.begin + duration(i, timeline.rate) for i in range(max(1, count(time_range.seconds, timeline.rate))))
        for _, frame in frames_at(decode_frames(container, stream, time_range.begin), times, timeline.slack):
            yield frame


def _frames_with_times(source: Source, time_range: TimeRange, base: Fraction) -> Iterator[tuple[int, int, VideoFrame]]:
    """Yields the visible frames of a time range: ticks from its beginning, ticks until the next frame, and the frame."""
    end = max(1, round(time_range.seconds / base))
    with open_media(source) as container:
        stream = video_stream(container)
        assert stream is not None
        current: tuple[int, VideoFrame] | None = None
        for timestamp, frame in decode_frames(container, stream, time_range.begin):
            at = max(0, round((timestamp - time_range.begin) / base))
            if at >= end:
                break
            if current is not None and at > current[0]:
                yield current[0], at - current[0], current[1]
            # Of several frames with the same time, the last one stays on screen.
            current = (max(at, current[0]) if current is not None else 0, frame)
        if current is not None:
            yield current[0], end - current[0], current[1]


def _encode_variable_rate(stream: VideoStream, source: Source, time_range: TimeRange, base: Fraction, shown) -> Iterator[Packet]:
    durations: dict[int, int] = {}
    for at, ticks, frame in _frames_with_times(source, time_range, base):
        durations[at] = ticks
        yield from encode_frame(stream, shown(frame), at, 1 / base, durations)
    yield from encode_frame(stream, None, 0, 1 / base, durations)


def _add_hdr_stream(
    target: OutputContainer, container: Container, source: Source, first: VideoFrame, timeline: Timeline, quality: int
) -> VideoStream:
    codec, pixels, options = HDR_CODECS[container.format]
    if codec == "libsvtav1":
        options = {**options, "crf": str(min(63, quality + 6))}
    stream = target.add_stream(codec, rate=timeline.rate, options=options)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height = first.width - first.width % 2, first.height - first.height % 2
    stream.pix_fmt = pixels
    with open_media(source) as source_file:
        input_stream = video_stream(source_file)
        assert input_stream is not None
        context = stream.codec_context
        if input_stream.sample_aspect_ratio:
            context.sample_aspect_ratio = input_stream.sample_aspect_ratio
        context.time_base = 1 / timeline.rate if timeline.constant else Fraction(input_stream.time_base or 1)
    context.color_trc, context.color_primaries = first.color_trc, first.color_primaries
    context.colorspace, context.color_range = first.colorspace, first.color_range
    matrix = cached_display_matrix(source, first)
    if matrix is not None:
        stream.set_display_matrix(matrix.ravel().tolist())
    limit_threads(stream)
    log.warning("%s: its HDR is kept: 10 bits in %s, with its colour tags (--tone-map converts to SDR)", source, codec)
    return stream


def _encode_hdr(stream: VideoStream, source: Source, timeline: Timeline, time_range: TimeRange) -> Iterator[Packet]:
    base = Fraction(stream.codec_context.time_base or 1)
    timed = (
        ((i, 1, frame) for i, frame in enumerate(_frames_at_constant_rate(source, timeline, time_range)))
        if timeline.constant
        else _frames_with_times(source, time_range, base)
    )
    durations: dict[int, int] = {}

    def ready(frame: "VideoFrame | None") -> Iterator[Packet]:
        for packet in stream.encode(frame):
            packet.duration = durations.pop(packet.pts or 0, 1)
            yield packet

    for at, ticks, frame in timed:
        durations[at] = ticks
        plain = frame.reformat(width=stream.width, height=stream.height, format=stream.pix_fmt, threads=1)
        plain.pts, plain.time_base = at, base
        yield from ready(plain)
    yield from ready(None)


class ToneMap:
    """Converts HDR frames to BT.709 with FFmpeg's scaler. The first call takes seconds, since the scaler builds its tables."""

    def __init__(self, first: VideoFrame):
        self.graph = Graph()
        facts = {
            "video_size": f"{first.width}x{first.height}",
            "pix_fmt": first.format.name,
            "time_base": "1/1000000",
            "colorspace": str(int(first.colorspace)),
            "range": str(int(first.color_range)),
        }
        chain = [
            self.graph.add("buffer", ":".join(f"{name}={value}" for name, value in facts.items())),
            self.graph.add("scale", TONE_MAP),
            self.graph.add("format", "pix_fmts=yuv444p"),
            self.graph.add("buffersink"),
        ]
        for before, after in pairwise(chain):
            before.link_to(after)
        self.graph.configure()

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        self.graph.push(frame)
        mapped = self.graph.pull()
        assert isinstance(mapped, av.VideoFrame)
        return mapped
