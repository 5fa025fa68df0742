"""One half of somebody's file kept as it is, packet by packet, beside a new other half."""

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

# What players commonly open inside the container; a muxer writes more than that.
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
    """Somebody's own pictures with a new sound [c n], cut or filled with silence to last exactly as long as the pictures.

    The pictures are copied, not encoded again: full resolution, every byte and stamp, rotation included. Where their codec cannot
    lie in the container that `out` names (a gif in mp4), or a part is asked for that no copy gives, they are encoded at `quality`
    with their time stamps, and the log says so; HDR stays HDR. Subtitles, further sound tracks, chapters and tags are kept where
    the container can hold them, and the log names what is not.

    Args:
        path_video: the film, or a `Source`, whose part is written.
        waveform: float32 [c n]. sample_rate: of it, in Hz.
        out: .mp4, .mov or .mkv.
        overwrite, quality: as in `write`. limits: what the film may ask of this machine.
        metadata: added to the film's own tags: its title stays, its comment follows the one that is added.
        own_sound: keep the film's own sound as a second track.
        tone_map: make SDR (BT.709) of HDR pictures, which are encoded anew for it.

    Raises: as `read` and `write` do.
    """
    source, out = as_source(path_video), Path(out)
    limits = limits or source.limits or Limits()
    container = _video_container(out)
    timeline = read_timeline(source)
    if source.seconds is None:
        timeline.check_plausible(source)
    time_range = TimeRange(timeline.zero + source.start, source.part_duration(timeline.seconds))
    limits.check_seconds(Path(source), time_range.seconds)
    with open_media(source, limits) as opening:
        video_in = video_stream(opening)
        assert video_in is not None
        limits.check_picture(Path(source), video_in.height, video_in.width)
        codec = video_in.codec_context.codec.canonical_name
    job = _MuxJob(source, out, container, timeline, time_range, waveform, sample_rate, merge_tags(source, metadata), own_sound)
    with atomic_output(out, overwrite=overwrite) as temp_path:
        if tone_map:
            reason = "its tones are mapped to SDR, as was asked"
        elif codec not in COPYABLE_VIDEO.get(container.format, (codec,)):
            reason = f"{codec} has no place in {out.suffix}"
        else:
            try:
                job.write(temp_path)
                return out
            except (MediaError, av.FFmpegError, ValueError) as error:
                if atomic.disk_full_errno(error) is not None:
                    raise
                reason = str(error)
        check_waveform(out, waveform, count(time_range.seconds, sample_rate))
        log.warning("%s: its pictures are encoded anew for %s: %s", source, out, reason)
        job.write(temp_path, quality=quality, tone_map=tone_map)
    return out


@dataclass(frozen=True)
class _MuxJob:
    """A film that is written with another sound: what is kept of it, and what is put to it."""

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
        """All tracks, under the name `beside`: the pictures copied, or encoded anew where a quality is given."""
        plan = _plan_copy(self.source, self.timeline, self.time_range, self.container) if quality is None else None
        seconds = self.time_range.seconds if plan is not None else transcoded_seconds(self.timeline, self.time_range)
        audio_in = check_waveform(self.out, self.waveform, count(seconds, self.sample_rate))
        clock = Fraction(plan.base.denominator, plan.base.numerator) if plan is not None else self.timeline.rate
        with (
            ExitStack() as stack,
            open_output(temp_path, self.out, self.container, self.tags, rates=(clock, self.sample_rate)) as target,
        ):
            if plan is None:
                assert quality is not None
                what = (target, self.container, self.source, self.timeline, self.time_range)
                packets = transcode_video(*what, quality=quality, tone_map=tone_map)
            else:
                opening = stack.enter_context(open_media(self.source))
                video_in = video_stream(opening)
                assert video_in is not None
                copy = target.add_stream_from_template(video_in, opaque=True)
                copy_metadata(video_in, copy)
                # Matroska writes a rate down as each picture's default length; the clock's own would be thousands a second.
                copy.codec_context.framerate = self.timeline.rate
                if video_in.codec_context.codec.canonical_name == "hevc" and self.container.format in ("mp4", "mov"):
                    copy.codec_context.codec_tag = "hvc1"  # The form that QuickTime opens.
                packets = _assign_stream(plan.retime(opening.demux(video_in)), copy)
            tracks = [packets, add_audio_track(target, self.container, audio_in, self.sample_rate)]
            others = ExtraTracks(stack, self.source, self.time_range, self.container.format, own_sound=self.own_sound)
            tracks += others.add_to(target)
            if others.needs_encoding:
                own = read(self.source, video=False, limits=self.source.limits)
                assert own.waveform is not None
                heard = own.waveform if len(own.waveform) in (1, 2, 6) else own.waveform[:2]
                heard = check_waveform(self.out, heard, count(seconds, own.sample_rate))
                log.warning("%s: its own sound is encoded anew for %s", self.source, self.out)
                tracks.append(add_audio_track(target, self.container, heard, own.sample_rate))
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
    """New pictures, uint8 [t h w 3], with somebody's own sound, which is cut to last exactly as long as they do.

    The sound is copied, not encoded again, where its codec can lie in the container that `out` names and it lasts as long as the
    pictures (but for a packet, some 20 ms). Else it is decoded, filled with silence, and encoded.

    Raises: as `read` and `write` do.
    """
    path, out = Path(path_audio), Path(out)
    container, fps = _video_container(out), as_rate(fps)
    clip = Clip(frames, None, fps=fps)
    if min(frames.shape) == 0:
        raise MediaError(f"{out}: frames of shape {frames.shape} hold no pictures to write")
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
                log.warning("%s: its sound is encoded anew for %s: %s", path, out, error)
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
    """The container that `out` names, which has to hold pictures."""
    container = container_for(out)
    if container.video is None:
        raise MediaError(f"{out}: {out.suffix} holds no pictures, expected .mp4, .mov or .mkv")
    return container


@dataclass(frozen=True)
class _CopyPlan:
    """Which packets of a film's pictures are copied, and when each is shown, decoded, and for how long, in ticks from the part's
    beginning.

    first: how many packets with pictures go before. times: (pts, dts, duration) of each that is copied, in the order they are
    stored; None for one that is left out.
    """

    base: Fraction
    first: int
    times: "list[tuple[int, int, int] | None]"

    def retime(self, packets: Iterator[Packet]) -> Iterator[Packet]:
        """The packets that are copied, at their new times. What comes before zero is decoded and not shown."""
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
    """How a film's pictures are copied, or why they cannot be.

    Raises:
        ValueError: the file does not tell when its pictures are shown, or the part cannot be cut out without decoding.
    """
    with open_media(source) as opening:
        if lacks_presentation_times(opening):
            raise ValueError("avi does not keep in which order pictures are shown")
        stream = video_stream(opening)
        assert stream is not None
        base = Fraction(stream.time_base or 1)
        stored = [(p.pts, p.dts, p.duration or 0, p.is_keyframe) for p in opening.demux(stream) if p.size]
    shown = [pts for pts, _, _, _ in stored if pts is not None]
    if len(shown) < len(stored):
        raise ValueError("some of its pictures carry no time")
    decoding = _decoding_times(shown, [dts for _, dts, _, _ in stored])
    zero, end = round(time_range.begin / base), round((time_range.begin + time_range.seconds) / base)
    slack = round(timeline.slack / base)
    first, last = 0, len(stored) - 1
    if time_range.begin > timeline.zero:
        keys = [i for i, (_, _, _, key) in enumerate(stored) if key and shown[i] <= zero + slack]
        first = keys[-1] if keys else 0
        if container.format == "matroska" and shown[first] < zero - slack:
            raise ValueError("its part begins between key pictures, which mkv cannot hide")
    if time_range.begin + time_range.seconds < timeline.zero + timeline.seconds:
        seen = [i for i in range(first, len(stored)) if shown[i] < end - slack]
        last = max(seen, default=first)
        if any(shown[i] >= end - slack for i in range(first, last + 1)):
            raise ValueError("its part ends among pictures that need later ones")
    times: list[tuple[int, int, int] | None] = []
    latest = None
    final = max(range(first, last + 1), key=lambda i: shown[i])
    for i in range(first, last + 1):
        pts, dts, length = shown[i] - zero, decoding[i] - zero, stored[i][2]
        if pts < 0 and first > 0 and container.format == "matroska":
            times.append(None)  # Shown before the key picture that it follows.
            continue
        # Muxers want rising times; pictures of one time are a tick apart.
        dts = dts if latest is None else max(dts, latest + 1)
        latest = dts
        # The last picture is held as long as the film plays.
        length = max(end - shown[i], 1) if i == final else length
        times.append((max(pts, dts), dts, length))
    return _CopyPlan(base, first, times)


def _decoding_times(shown: list[int], given: "list[int | None]") -> list[int]:
    """When each picture has to be decoded, in the order they are stored. Some containers (mkv) keep only when they are shown."""
    if all(dts is not None for dts in given):
        return [dts for dts in given if dts is not None]
    # The n-th picture to be decoded is due when the n-th is shown, less the most that any comes before its turn.
    due = sorted(shown)
    ahead = max(turn - own for turn, own in zip(due, shown, strict=True))
    return [turn - ahead for turn in due]


def _assign_stream(packets: "Iterator[Packet] | list[Packet]", stream: Stream) -> Iterator[Packet]:
    for packet in packets:
        packet.stream = stream
        yield packet


def _audio_origin(path: Path) -> Fraction:
    """Time zero on a file's clock: the first picture, or the first sample after the codec's priming."""
    with open_media(path) as source:
        if video_stream(source) is not None:
            return read_timeline(path).zero
        stream = audio_stream(source)
        assert stream is not None
        first = next(decode_audio_frames(source, stream), None)
        if first is None:
            raise MediaError(f"{path}: its sound has no samples (empty, or cut short)")
        return Fraction(first.pts or 0) * Fraction(first.time_base or stream.time_base or 0)


def _copyable_audio(path: Path, container: Container, seconds: Fraction) -> tuple[list[Packet], bool]:
    """The packets of a file's sound from time zero to `seconds`, and whether they may be copied and last that long."""
    with open_media(path) as source:
        stream = audio_stream(source)
        if not isinstance(stream, AudioStream):
            raise MediaError(f"{path}: holds no sound that can be read")
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
            # A tenth of a second before zero fills the decoder; the file's edit list keeps it from being heard.
            if (packet.pts + (packet.duration or 0)) * base <= Fraction(-1, 10):
                continue
            if packet.pts >= last:
                break
            packet.duration = min(packet.duration or 0, last - packet.pts)
            end = packet.pts + packet.duration
            kept.append(packet)
        frame = stream.codec_context.frame_size or 1024
        return kept, bool(kept) and seconds - end * base <= Fraction(frame, stream.sample_rate)
