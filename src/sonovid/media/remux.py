"""Replaces the audio or the video of a file and copies the other stream packet by packet."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Stream

from sonovid.core import atomic
from sonovid.core.clip import Clip
from sonovid.core.geometry import as_rate, count
from sonovid.media.audio import decode_audio_frames
from sonovid.media.extra_tracks import COPYABLE_AUDIO, ExtraTracks, TimeRange, copy_metadata, merge_tags
from sonovid.media.files import Limits, MediaError, atomic_output, audio_stream, open_media, video_stream
from sonovid.media.frames import Timeline, lacks_presentation_times, read_timeline
from sonovid.media.reader import read
from sonovid.media.source import Source, as_source
from sonovid.media.transcode import transcode_video, transcoded_seconds
from sonovid.media.writer import (
    Container,
    add_audio_track,
    add_video_stream,
    check_waveform,
    container_for,
    encode_frames,
    mux_in_order,
    open_output,
)

log = logging.getLogger(__name__)

# Codecs that players commonly support in each container. Muxers accept more than these.
COPYABLE_VIDEO = {"mp4": ("h264", "hevc", "av1", "mpeg4", "vp9"), "mov": ("h264", "hevc", "mpeg4", "prores")}


def mux(
    path_video: "str | os.PathLike",
    waveform: np.ndarray,
    sample_rate: int,
    out: "str | os.PathLike",
    *,
    overwrite: bool = False,
    quality: int = 18,
    limits: "Limits | None" = None,
    metadata: "Mapping[str, str] | None" = None,
    own_sound: bool = False,
    tone_map: bool = False,
) -> Path:
    """Copies the video of a file and gives it another audio track, trimmed or padded to exactly the duration of the video.

    The video packets are copied: resolution, timestamps and rotation are unchanged. The video is re-encoded at `quality` where
    the container cannot hold its codec (a gif in mp4) or the time range cannot be cut by copying; the log says so, and HDR
    stays HDR. Subtitles, other audio tracks, chapters and tags are kept where the container can hold them; the log lists what
    is not.

    Args:
        path_video: The video file, or a `Source`, whose time range is written.
        waveform: Samples, float32 [c n].
        sample_rate: Of the waveform, in Hz.
        out: .mp4, .mov or .mkv.
        overwrite, quality: As in `write`.
        limits: Limits on the video file.
        metadata: Added to the tags of the file. Its title is kept, its comment follows the added one.
        own_sound: Whether to keep the audio of the file as a second track.
        tone_map: Whether to convert HDR video to SDR (BT.709), which re-encodes it.

    Raises:
        MediaError, FileExistsError: As in `read` and `write`.
    """
    source, out = as_source(path_video), Path(out)
    limits = limits or source.limits or Limits()
    container = _video_container(out)
    timeline = read_timeline(source)
    if source.seconds is None:
        timeline.check_plausible(source)
    time_range = TimeRange(timeline.zero + source.start, source.part_duration(timeline.seconds))
    limits.check_seconds(Path(source), time_range.seconds)
    with open_media(source, limits) as source_file:
        video_in = video_stream(source_file)
        assert video_in is not None
        limits.check_frame_size(Path(source), video_in.height, video_in.width)
        codec = video_in.codec_context.codec.canonical_name
    job = _MuxJob(source, out, container, timeline, time_range, waveform, sample_rate, merge_tags(source, metadata), own_sound)
    with atomic_output(out, overwrite=overwrite) as temp_path:
        if tone_map:
            reason = "tone mapping to SDR was requested"
        elif codec not in COPYABLE_VIDEO.get(container.format, (codec,)):
            reason = f"{out.suffix} cannot hold {codec}"
        else:
            try:
                job.write(temp_path)
                return out
            except (MediaError, av.FFmpegError, ValueError) as error:
                if atomic.disk_full_errno(error) is not None:
                    raise
                reason = str(error)
        check_waveform(out, waveform, count(time_range.seconds, sample_rate))
        log.warning("%s: its video is re-encoded for %s: %s", source, out, reason)
        job.write(temp_path, quality=quality, tone_map=tone_map)
    return out


@dataclass(frozen=True)
class _MuxJob:
    """A file whose video is written with another audio track."""

    source: Source
    out: Path
    container: Container
    timeline: Timeline
    time_range: TimeRange
    waveform: np.ndarray
    sample_rate: int
    tags: dict[str, str]
    own_sound: bool

    def write(self, temp_path: Path, *, quality: "int | None" = None, tone_map: bool = False) -> None:
        """Writes all tracks to `temp_path`. The video is copied, or re-encoded if `quality` is given."""
        plan = _plan_copy(self.source, self.timeline, self.time_range, self.container) if quality is None else None
        seconds = self.time_range.seconds if plan is not None else transcoded_seconds(self.timeline, self.time_range)
        waveform = check_waveform(self.out, self.waveform, count(seconds, self.sample_rate))
        clock = Fraction(plan.base.denominator, plan.base.numerator) if plan is not None else self.timeline.rate
        with (
            ExitStack() as stack,
            open_output(temp_path, self.out, self.container, self.tags, rates=(clock, self.sample_rate)) as target,
        ):
            if plan is None:
                assert quality is not None
                inputs = (target, self.container, self.source, self.timeline, self.time_range)
                packets = transcode_video(*inputs, quality=quality, tone_map=tone_map)
            else:
                source_file = stack.enter_context(open_media(self.source))
                video_in = video_stream(source_file)
                assert video_in is not None
                copy = target.add_stream_from_template(video_in, opaque=True)
                copy_metadata(video_in, copy)
                # Matroska stores the frame rate as default frame duration. The time base would give thousands per second.
                copy.codec_context.framerate = self.timeline.rate
                if video_in.codec_context.codec.canonical_name == "hevc" and self.container.format in ("mp4", "mov"):
                    copy.codec_context.codec_tag = "hvc1"  # The tag that QuickTime accepts.
                packets = _assign_stream(plan.retime(source_file.demux(video_in)), copy)
            tracks = [packets, add_audio_track(target, self.container, waveform, self.sample_rate)]
            others = ExtraTracks(stack, self.source, self.time_range, self.container.format, own_sound=self.own_sound)
            tracks += others.add_to(target)
            if others.needs_encoding:
                own = read(self.source, video=False, limits=self.source.limits)
                assert own.waveform is not None
                kept = own.waveform if len(own.waveform) in (1, 2, 6) else own.waveform[:2]
                kept = check_waveform(self.out, kept, count(seconds, own.sample_rate))
                log.warning("%s: its original audio is re-encoded for %s", self.source, self.out)
                tracks.append(add_audio_track(target, self.container, kept, own.sample_rate))
            mux_in_order(target, tracks, seconds)


def replace_video(
    path_audio: "str | os.PathLike",
    frames: np.ndarray,
    fps: "Fraction | int | float | str",
    out: "str | os.PathLike",
    *,
    overwrite: bool = False,
    quality: int = 18,
    metadata: "Mapping[str, str] | None" = None,
) -> Path:
    """Copies the audio of a file and gives it another video track. The audio is cut to exactly the duration of the video.

    The audio packets are copied where the container can hold the codec and the audio lasts as long as the video, to within one
    packet (about 20 ms). Otherwise the audio is decoded, padded with silence and re-encoded.

    Args:
        path_audio: The file with the audio.
        frames: uint8 [t h w 3].
        fps: Frames per second.
        out: .mp4, .mov or .mkv.
        overwrite, quality, metadata: As in `write`.

    Raises:
        MediaError, FileExistsError: As in `read` and `write`.
    """
    path, out = Path(path_audio), Path(out)
    container, fps = _video_container(out), as_rate(fps)
    clip = Clip(frames, None, fps=fps)
    if min(frames.shape) == 0:
        raise MediaError(f"{out}: frames of shape {frames.shape} are empty")
    packets, whole = _copyable_audio(path, container, clip.seconds)
    with atomic_output(out, overwrite=overwrite) as temp_path, open_media(path) as source:
        audio_in = audio_stream(source)
        assert audio_in is not None
        rates = (fps, audio_in.sample_rate)
        if whole:
            try:
                with open_output(temp_path, out, container, metadata, rates=rates) as target:
                    copy = target.add_stream_from_template(audio_in)
                    video = add_video_stream(target, container, frames.shape[1:3], fps, quality)
                    tracks = [encode_frames(video, frames, fps), _assign_stream(packets, copy)]
                    mux_in_order(target, tracks, clip.seconds)
                return out
            except (MediaError, av.FFmpegError, ValueError) as error:
                if atomic.disk_full_errno(error) is not None:
                    raise
                log.warning("%s: its audio is re-encoded for %s: %s", path, out, error)
                packets.clear()
        own = read(path, video=False, seconds=clip.seconds)
        assert own.waveform is not None
        channels = own.waveform if len(own.waveform) in (1, 2, 6) else own.waveform[:2]
        waveform = check_waveform(out, channels, count(clip.seconds, own.sample_rate))
        with open_output(temp_path, out, container, metadata, rates=(fps, own.sample_rate)) as target:
            video = add_video_stream(target, container, frames.shape[1:3], fps, quality)
            tracks = [encode_frames(video, frames, fps), add_audio_track(target, container, waveform, own.sample_rate)]
            mux_in_order(target, tracks, clip.seconds)
    return out


def _video_container(out: Path) -> Container:
    """Returns the container for `out`, which has to hold video."""
    container = container_for(out)
    if container.video is None:
        raise MediaError(f"{out}: {out.suffix} holds no video, expected .mp4, .mov or .mkv")
    return container


@dataclass(frozen=True)
class _CopyPlan:
    """Which video packets are copied, with their new times in ticks from the beginning of the time range.

    Attributes:
        base: Time base of the stream, in seconds per tick.
        first: Number of packets before the first one that is copied.
        times: (pts, dts, duration) of each packet, in the order in which they are stored. None for a packet that is left out.
    """

    base: Fraction
    first: int
    times: "list[tuple[int, int, int] | None]"

    def retime(self, packets: Iterator[Packet]) -> Iterator[Packet]:
        """Yields the copied packets with their new times. Packets before time zero are decoded but not shown."""
        index = -self.first
        for packet in packets:
            if not packet.size:
                continue
            if index >= len(self.times):
                return
            times = self.times[index] if index >= 0 else None
            index += 1
            if times is not None:
                packet.pts, packet.dts, packet.duration = times
                yield packet


def _plan_copy(source: Source, timeline: Timeline, time_range: TimeRange, container: Container) -> _CopyPlan:
    """Plans how the video packets are copied.

    Raises:
        ValueError: The file does not store presentation times, or the time range cannot be cut without decoding.
    """
    with open_media(source) as source_file:
        if lacks_presentation_times(source_file):
            raise ValueError("avi does not store the display order of frames")
        stream = video_stream(source_file)
        assert stream is not None
        base = Fraction(stream.time_base or 1)
        stored = [(p.pts, p.dts, p.duration or 0, p.is_keyframe) for p in source_file.demux(stream) if p.size]
    shown = [pts for pts, _, _, _ in stored if pts is not None]
    if len(shown) < len(stored):
        raise ValueError("some of its frames have no timestamp")
    decoding = _decoding_times(shown, [dts for _, dts, _, _ in stored])
    zero, end = round(time_range.begin / base), round((time_range.begin + time_range.seconds) / base)
    slack = round(timeline.slack / base)
    first, last = 0, len(stored) - 1
    if time_range.begin > timeline.zero:
        keys = [i for i, (_, _, _, key) in enumerate(stored) if key and shown[i] <= zero + slack]
        first = keys[-1] if keys else 0
        if container.format == "matroska" and shown[first] < zero - slack:
            raise ValueError("its time range begins between keyframes, which mkv cannot hide")
    if time_range.begin + time_range.seconds < timeline.zero + timeline.seconds:
        seen = [i for i in range(first, len(stored)) if shown[i] < end - slack]
        last = max(seen, default=first)
        if any(shown[i] >= end - slack for i in range(first, last + 1)):
            raise ValueError("its time range ends among frames that depend on later ones")
    times: list[tuple[int, int, int] | None] = []
    latest = None
    final = max(range(first, last + 1), key=lambda i: shown[i])
    for i in range(first, last + 1):
        pts, dts, length = shown[i] - zero, decoding[i] - zero, stored[i][2]
        if pts < 0 and first > 0 and container.format == "matroska":
            times.append(None)  # A leading frame: stored after its keyframe and shown before it.
            continue
        # Muxers require increasing times. Frames with equal times are set one tick apart.
        dts = dts if latest is None else max(dts, latest + 1)
        latest = dts
        # The last frame is held until the end of the video.
        length = max(end - shown[i], 1) if i == final else length
        times.append((max(pts, dts), dts, length))
    return _CopyPlan(base, first, times)


def _decoding_times(shown: list[int], given: "list[int | None]") -> list[int]:
    """Decoding time of each frame, in storage order. Some containers (mkv) store only presentation times."""
    if all(dts is not None for dts in given):
        return [dts for dts in given if dts is not None]
    # The n-th frame is decoded when the n-th is shown, minus the largest reordering delay.
    due = sorted(shown)
    ahead = max(turn - own for turn, own in zip(due, shown, strict=True))
    return [turn - ahead for turn in due]


def _assign_stream(packets: "Iterator[Packet] | list[Packet]", stream: Stream) -> Iterator[Packet]:
    for packet in packets:
        packet.stream = stream
        yield packet


def _audio_origin(path: Path) -> Fraction:
    """Time zero on the clock of a file: the first frame, or the first sample after the codec's priming."""
    with open_media(path) as source:
        if video_stream(source) is not None:
            return read_timeline(path).zero
        stream = audio_stream(source)
        assert stream is not None
        first = next(decode_audio_frames(source, stream), None)
        if first is None:
            raise MediaError(f"{path}: its audio has no samples (empty or truncated)")
        return Fraction(first.pts or 0) * Fraction(first.time_base or stream.time_base or 0)


def _copyable_audio(path: Path, container: Container, seconds: Fraction) -> tuple[list[Packet], bool]:
    """Audio packets from time zero to `seconds`, and whether they can be copied and last that long."""
    with open_media(path) as source:
        stream = audio_stream(source)
        if not isinstance(stream, AudioStream):
            raise MediaError(f"{path}: has no audio")
        if stream.codec_context.codec.canonical_name not in COPYABLE_AUDIO[container.format]:
            return [], False
        base = stream.time_base
        assert base is not None
        zero, kept, end = round(_audio_origin(path) / base), [], 0
        last = int(seconds / base)
        for packet in source.demux(stream):
            if not packet.size or packet.pts is None or packet.dts is None:
                continue
            packet.pts, packet.dts = packet.pts - zero, packet.dts - zero
            # A tenth of a second before zero primes the decoder. The edit list of the file hides it.
            if (packet.pts + (packet.duration or 0)) * base <= Fraction(-1, 10):
                continue
            if packet.pts >= last:
                break
            packet.duration = min(packet.duration or 0, last - packet.pts)
            end = packet.pts + packet.duration
            kept.append(packet)
        frame = stream.codec_context.frame_size or 1024
        return kept, bool(kept) and seconds - end * base <= Fraction(frame, stream.sample_rate)
