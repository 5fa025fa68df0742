"""Writes a `Clip` as a media file. Video and audio have equal length, and a partial file is never left behind."""

import heapq
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from math import lcm
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from sonovid.core import atomic
from sonovid.core.clip import Clip
from sonovid.core.geometry import count
from sonovid.media.audio import pad_or_trim, resample_audio
from sonovid.media.files import MediaError, atomic_output, limit_threads
from sonovid.media.progress import report

AAC_RATES = (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
# Samples per encoder call.
AUDIO_BLOCK = 1024
# x264's macroblock-tree rate control (mbtree) reads uninitialised memory for small frames with AVX-512, so that the same clip
# gives different bytes each time. Without it the output is reproducible and about a tenth larger.
X264_OPTIONS = {"preset": "medium", "mbtree": "0"}
BT709 = 1  # Code point of ITU-R BT.709 in H.273, for primaries, transfer function and matrix.
# Tags that mp4 stores by default. Other tags would be dropped silently.
MP4_TAGS = frozenset(
    ["title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright", "description", "synopsis"]
)


@dataclass(frozen=True)
class Container:
    """How files with one suffix are written.

    Attributes:
        format: Name of FFmpeg's muxer.
        video: Video codec; None for audio files.
        audio: Audio codec.
        options: Options of the muxer.
    """

    format: str
    video: "str | None"
    audio: str
    options: tuple[tuple[str, str], ...] = ()


CONTAINERS = {
    ".mp4": Container("mp4", "libx264", "aac", (("movflags", "+faststart"),)),
    ".mov": Container("mov", "libx264", "pcm_s16le", (("movflags", "+faststart"),)),
    ".mkv": Container("matroska", "ffv1", "pcm_f32le"),
    ".wav": Container("wav", None, "pcm_s16le"),
    ".flac": Container("flac", None, "flac"),
}


def write(
    path: "str | os.PathLike",
    clip: Clip,
    *,
    overwrite: bool = False,
    quality: int = 18,
    metadata: "Mapping[str, str] | None" = None,
) -> Path:
    """Writes a clip as a file. The file is either complete or not there.

    mp4 has H.264 (yuv420p) and AAC, mov has H.264 and 16-bit PCM, mkv is lossless (FFV1 RGB and float PCM), and wav and flac
    hold the audio alone (16-bit). The audio is trimmed or padded with silence to exactly the duration of the video, and clipped
    at full scale. In mp4 and mov, frames of odd height or width get their last row or column twice, as yuv420p requires even
    sizes. In mp4, audio is resampled to the next rate that AAC supports.

    Args:
        path: Output file; the suffix selects the format.
        clip: The clip.
        overwrite: Whether an existing file may be replaced.
        quality: Constant rate factor of H.264, 0 (lossless) to 51; 18 is visually almost lossless.
        metadata: Tags: title, artist, comment, ...

    Returns:
        The path.

    Raises:
        FileExistsError: The file exists and `overwrite` is False.
        MediaError: Unknown suffix, nothing to write, NaN or infinity, channels other than 1, 2 or 6, or a folder that cannot be
            written to.
    """
    path = Path(path)
    container = container_for(path)
    frames = clip.frames if container.video is not None else None
    if container.video is None and clip.waveform is None:
        raise MediaError(f"{path}: {path.suffix} holds audio, but the clip has none (write .mp4, .mov or .mkv)")
    if frames is not None and min(frames.shape) == 0:
        raise MediaError(f"{path}: frames of shape {frames.shape} are empty")
    waveform = None
    if clip.waveform is not None:
        num_samples = count(clip.seconds, clip.sample_rate) if frames is not None else clip.waveform.shape[1]
        waveform = check_waveform(path, clip.waveform, num_samples)
    rates = (clip.fps, clip.sample_rate)
    with atomic_output(path, overwrite=overwrite) as temp_path, open_output(temp_path, path, container, metadata, rates) as out:
        tracks: list[Iterator[Packet]] = []
        if frames is not None:
            video = add_video_stream(out, container, frames.shape[1:3], clip.fps, quality)
            tracks.append(encode_frames(video, frames, clip.fps))
        if waveform is not None:
            tracks.append(add_audio_track(out, container, waveform, clip.sample_rate))
        mux_in_order(out, tracks, clip.seconds)
    return path


def container_for(path: Path) -> Container:
    """Returns the container for the suffix of a path."""
    if path.suffix.lower() not in CONTAINERS:
        raise MediaError(f"{path}: cannot write {path.suffix or 'a file without a suffix'}, expected {', '.join(CONTAINERS)}")
    return CONTAINERS[path.suffix.lower()]


def check_waveform(path: Path, waveform: np.ndarray, num_samples: int) -> np.ndarray:
    """Validates a waveform for writing: finite, of `num_samples`, clipped to full scale."""
    if waveform.ndim != 2 or waveform.shape[0] not in LAYOUTS:
        raise MediaError(f"{path}: audio of shape {waveform.shape}, expected [c n] with c of {', '.join(map(str, LAYOUTS))}")
    if waveform.shape[1] == 0 or num_samples == 0:
        raise MediaError(f"{path}: the audio has no samples")
    if not np.isfinite(waveform).all():
        raise MediaError(f"{path}: the audio contains NaN or infinity")
    return np.clip(pad_or_trim(waveform.astype(np.float32), num_samples), -1.0, 1.0)


@contextmanager
def open_output(
    temp_path: Path,
    path: Path,
    container: Container,
    metadata: "Mapping[str, str] | None" = None,
    rates: "tuple[Fraction | int, ...]" = (),
) -> Iterator[OutputContainer]:
    """Opens an output file and closes it in any case. Faults are reported under the name `path`.

    Args:
        temp_path: The file that is written.
        path: The file that the user named.
        container: Format of the file.
        metadata: Tags.
        rates: Frame rate and sample rate, which decide the time scale of mp4 and mov.
    """
    options = dict(container.options)
    if container.format in ("mp4", "mov"):
        # Durations are stored in ticks of the movie time scale, by default milliseconds. A common multiple of all rates is exact.
        clock = lcm(*(Fraction(rate).numerator for rate in rates))
        if 1 < clock <= 10**7:
            options["movie_timescale"] = str(clock)
        if metadata and not MP4_TAGS.issuperset(metadata):
            options["movflags"] += "+use_metadata_tags"
    try:
        with av.open(str(temp_path.absolute()), "w", format=container.format, options=options) as out:
            out.metadata.update(metadata or {})
            yield out
    except av.FFmpegError as error:
        if atomic.disk_full_errno(error) is not None:
            raise  # The atomic replacement reports the free space and that nothing is lost.
        raise MediaError(f"{path}: cannot be written ({error.strerror})") from error


def add_video_stream(
    out: OutputContainer, container: Container, size: tuple[int, ...], fps: Fraction, quality: int = 18
) -> VideoStream:
    """Adds a video stream for frames of `size` (h, w)."""
    if not 0 <= quality <= 51:
        raise ValueError(f"quality={quality}, expected 0 (lossless) to 51")
    assert container.video is not None
    lossless = container.video == "ffv1"
    options = {} if lossless else {"crf": str(quality), **X264_OPTIONS}
    stream = out.add_stream(container.video, rate=fps, options=options)
    assert isinstance(stream, VideoStream)
    height, width = size if lossless else (size[0] + size[0] % 2, size[1] + size[1] % 2)
    stream.height, stream.width = height, width
    stream.pix_fmt = "bgr0" if lossless else "yuv420p"
    stream.codec_context.time_base = 1 / fps
    limit_threads(stream)
    if not lossless:
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = ColorRange.MPEG
    return stream


def encode_frames(stream: VideoStream, frames: Iterable[np.ndarray], fps: Fraction) -> Iterator[Packet]:
    """Encodes frames, uint8 [h w 3], from time zero on."""
    for index, image in enumerate(frames):
        yield from encode_frame(stream, image, index, fps)
    yield from encode_frame(stream, None, 0, fps)


def encode_frame(
    stream: VideoStream,
    image: "np.ndarray | None",
    index: int,
    fps: Fraction,
    durations: "dict[int, int] | None" = None,
) -> Iterator[Packet]:
    """Encodes one frame and returns the packets that are ready.

    Args:
        stream: The video stream.
        image: The frame, uint8 [h w 3]. None flushes the encoder.
        index: Number of the frame.
        fps: Frames per second.
        durations: Durations in ticks of 1 / fps by frame number, where they are not one. Used entries are removed.
    """
    durations = {} if durations is None else durations
    if image is None:
        yield from _with_durations(stream.encode(None), durations)
        return
    pad = ((0, stream.height - image.shape[0]), (0, stream.width - image.shape[1]), (0, 0))
    if any(after for _, after in pad):
        image = np.pad(image, pad, mode="edge")
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    if stream.pix_fmt == "bgr0":
        frame = frame.reformat(format="bgr0", threads=1)
    else:
        colours = {"dst_colorspace": Colorspace.ITU709, "dst_color_range": ColorRange.MPEG}
        frame = frame.reformat(format="yuv420p", threads=1, **colours)
    # The muxer changes the time base of the stream once it starts. The clock of the encoder stays at one tick per frame.
    frame.pts, frame.time_base = index, 1 / fps
    yield from _with_durations(stream.encode(frame), durations)


def _with_durations(packets: Iterable[Packet], durations: dict[int, int]) -> Iterator[Packet]:
    for packet in packets:
        packet.duration = durations.pop(packet.pts, 1) if packet.pts is not None else 1
        yield packet


def add_audio_track(out: OutputContainer, container: Container, waveform: np.ndarray, sample_rate: int) -> Iterator[Packet]:
    """Adds an audio stream and encodes its samples [c n], resampled where the codec does not support the rate."""
    stream = add_audio_stream(out, container, len(waveform), sample_rate)
    if stream.rate != sample_rate:
        waveform = np.clip(resample_audio(waveform, sample_rate, stream.rate), -1, 1)
    return encode_audio(stream, waveform, stream.rate)


def add_audio_stream(out: OutputContainer, container: Container, channels: int, sample_rate: int) -> AudioStream:
    """Adds an audio stream at `sample_rate` or, where the codec does not support it, at the next higher rate."""
    if container.audio == "aac" and sample_rate not in AAC_RATES:
        sample_rate = next((r for r in AAC_RATES if r > sample_rate), AAC_RATES[-1])
    options = {"strict": "-2"} if container.audio == "flac" and container.format == "mp4" else {}
    stream = out.add_stream(container.audio, rate=sample_rate, layout=LAYOUTS[channels], options=options)
    assert isinstance(stream, AudioStream)
    if container.audio == "aac":
        # AAC allows at most 6144 bits per channel in a frame of 1024 samples.
        stream.bit_rate = min(128_000, 5 * sample_rate) * channels
    return stream


def encode_audio(stream: AudioStream, waveform: np.ndarray, sample_rate: int) -> Iterator[Packet]:
    """Encodes samples [c n] from time zero on. The muxer records the encoder's priming, which players skip."""
    for first in range(0, waveform.shape[1], AUDIO_BLOCK):
        yield from encode_samples(stream, waveform[:, first : first + AUDIO_BLOCK], first, sample_rate)
    yield from encode_samples(stream, None, 0, sample_rate)


def encode_samples(stream: AudioStream, block: "np.ndarray | None", first: int, sample_rate: int) -> Iterator[Packet]:
    """Encodes the samples [c n] from number `first` on, and yields the packets that are ready. None flushes the encoder."""
    if block is None:
        yield from stream.encode(None)
        return
    kind = stream.format.name
    if kind.startswith("s"):
        bits = 32 if kind.startswith("s32") else 16
        scale = 2.0 ** (bits - 1)
        block = np.clip(np.round(block.astype(np.float64) * scale), -scale, scale - 1).astype(f"int{bits}")
    block = np.ascontiguousarray(block) if stream.format.is_planar else np.ascontiguousarray(block.T).reshape(1, -1)
    frame = AudioFrame.from_ndarray(block, format=kind, layout=stream.layout.name)
    frame.sample_rate, frame.pts, frame.time_base = sample_rate, first, Fraction(1, sample_rate)
    yield from stream.encode(frame)


def packet_time(packet: Packet) -> Fraction:
    """Time of a packet in its file, in seconds."""
    timestamp = packet.dts if packet.dts is not None else (packet.pts or 0)
    return timestamp * Fraction(packet.time_base)


def mux_in_order(out: OutputContainer, tracks: Iterable[Iterator[Packet]], seconds: Fraction) -> None:
    """Writes the packets of several streams in time order, so that players find audio and video close together.

    Args:
        out: The output file.
        tracks: Packets of each stream, in time order.
        seconds: Total duration, for progress.
    """
    # Every encoder starts before the first packet is written, since the header lists all streams.
    started = [chain([first], track) for track in tracks if (first := next(track, None)) is not None]
    for packet in heapq.merge(*started, key=packet_time):
        reached = min(max(packet_time(packet), Fraction(0)), seconds)
        out.mux(packet)
        report("writing", float(reached), float(seconds))
