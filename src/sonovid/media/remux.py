"""One half of somebody's file kept as it is, packet by packet, beside a new other half."""

import logging
import os
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Stream

from sonovid.clip import Clip
from sonovid.geometry import as_rate, count, duration
from sonovid.media.files import Limits, MediaError, audio_stream, in_place, opened, video_stream
from sonovid.media.pictures import Timeline, as_shown, decoded, displayed_size, matrix_of, on_screen, scan, stored_in_order
from sonovid.media.reader import read
from sonovid.media.sound import frames_of
from sonovid.media.writer import (
    Container,
    add_pictures,
    checked_sound,
    container_for,
    encoded_pictures,
    mux_in_order,
    muxer,
    sound_track,
)

log = logging.getLogger(__name__)

# What players commonly open inside the container; a muxer writes more than that.
COPIED_PICTURES = {"mp4": ("h264", "hevc", "av1", "mpeg4", "vp9"), "mov": ("h264", "hevc", "mpeg4", "prores")}
COPIED_SOUNDS = {
    "mp4": ("aac", "mp3", "alac", "ac3", "eac3"),
    "mov": ("aac", "mp3", "alac"),
    "matroska": ("aac", "mp3", "opus", "vorbis", "ac3", "eac3", "alac"),
}


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
) -> Path:
    """Somebody's own pictures with a new sound [c n], cut or filled with silence to last exactly as long as the pictures.

    The pictures are copied, not encoded again: full resolution, every byte and stamp, rotation included. Where their codec cannot
    lie in the container that `out` names (a gif in mp4), they are encoded at `quality`, and the log says so.

    metadata: as in `write`.

    Raises: as `read` and `write` do.
    """
    path, out, limits = Path(path_video), Path(out), limits or Limits()
    container = _film(out)
    line = scan(path)
    limits.check_seconds(path, line.seconds)
    with opened(path) as source:
        pictures = video_stream(source)
        assert pictures is not None
        limits.check_picture(path, pictures.height, pictures.width)
        codec = pictures.codec_context.codec.canonical_name
    with in_place(out, overwrite=overwrite) as beside:
        if codec in COPIED_PICTURES.get(container.format, (codec,)):
            sound = checked_sound(out, waveform, count(line.seconds, sample_rate))
            try:
                _copy_pictures(path, line, sound, sample_rate, beside, out, container, metadata)
                return out
            except (MediaError, av.FFmpegError, ValueError) as error:
                reason = str(error)
        else:
            reason = f"{codec} has no place in {out.suffix}"
        log.warning("%s: its pictures are encoded anew for %s: %s", path, out, reason)
        num_frames = max(1, count(line.seconds, line.rate))
        sound = checked_sound(out, waveform, count(duration(num_frames, line.rate), sample_rate))
        with muxer(beside, out, container, metadata, rates=(line.rate, sample_rate)) as target:
            first = next(_shown(path, line, 1), None)
            if first is None:
                raise MediaError(f"{path}: none of its pictures can be decoded (damaged, or cut short)")
            video = add_pictures(target, container, first.shape[:2], line.rate, quality)
            packets = encoded_pictures(video, _shown(path, line, num_frames), line.rate)
            mux_in_order(target, [packets, sound_track(target, container, sound, sample_rate)])
    return out


def replace_pictures(
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
    container, fps = _film(out), as_rate(fps)
    clip = Clip(frames, None, fps=fps)
    if min(frames.shape) == 0:
        raise MediaError(f"{out}: frames of shape {frames.shape} hold no pictures to write")
    packets, whole = _sound_packets(path, container, clip.seconds)
    with in_place(out, overwrite=overwrite) as beside, opened(path) as source:
        sound = audio_stream(source)
        assert sound is not None
        rates = (fps, sound.sample_rate)
        if whole:
            try:
                with muxer(beside, out, container, metadata, rates=rates) as target:
                    copy = target.add_stream_from_template(sound)
                    video = add_pictures(target, container, frames.shape[1:3], fps, quality)
                    tracks = [encoded_pictures(video, frames, fps), _handed_to(packets, copy)]
                    mux_in_order(target, tracks)
                return out
            except (MediaError, av.FFmpegError, ValueError) as error:
                log.warning("%s: its sound is encoded anew for %s: %s", path, out, error)
                packets.clear()
        own = read(path, video=False, seconds=clip.seconds)
        assert own.waveform is not None
        channels = own.waveform if len(own.waveform) in (1, 2, 6) else own.waveform[:2]
        waveform = checked_sound(out, channels, count(clip.seconds, own.sample_rate))
        with muxer(beside, out, container, metadata, rates=(fps, own.sample_rate)) as target:
            video = add_pictures(target, container, frames.shape[1:3], fps, quality)
            tracks = [encoded_pictures(video, frames, fps), sound_track(target, container, waveform, own.sample_rate)]
            mux_in_order(target, tracks)
    return out


def _film(out: Path) -> Container:
    """The container that `out` names, which has to hold pictures."""
    container = container_for(out)
    if container.video is None:
        raise MediaError(f"{out}: {out.suffix} holds no pictures, expected .mp4, .mov or .mkv")
    return container


def _copy_pictures(
    path: Path,
    line: Timeline,
    sound: np.ndarray,
    sample_rate: int,
    beside: Path,
    out: Path,
    container: Container,
    metadata: "Mapping[str, str] | None",
) -> None:
    with opened(path) as source:
        pictures = video_stream(source)
        assert pictures is not None
        base = pictures.time_base
        assert base is not None
        with muxer(beside, out, container, metadata, rates=(1 / base, sample_rate)) as target:
            copy = target.add_stream_from_template(pictures, opaque=True)
            if pictures.codec_context.codec.canonical_name == "hevc" and container.format in ("mp4", "mov"):
                copy.codec_context.codec_tag = "hvc1"  # The form that QuickTime opens.
            moved = _moved(source.demux(pictures), round(line.zero / base), _decoding_times(path))
            track = _handed_to(moved, copy)
            mux_in_order(target, [track, sound_track(target, container, sound, sample_rate)])


def _decoding_times(path: Path) -> Iterator[int]:
    """When each picture has to be decoded, in the order they are stored. Some containers (mkv) keep only when they are shown.

    Raises:
        ValueError: the file does not tell when its pictures are shown.
    """
    with opened(path) as source:
        if stored_in_order(source):
            raise ValueError("avi does not keep in which order pictures are shown")
        stamps = [(packet.pts, packet.dts) for packet in source.demux(video_stream(source)) if packet.size]
    shown = [pts for pts, _ in stamps if pts is not None]
    if len(shown) < len(stamps):
        raise ValueError("some of its pictures carry no time")
    given = [dts for _, dts in stamps if dts is not None]
    if len(given) == len(stamps):
        return iter(given)
    # The n-th picture to be decoded is due when the n-th is shown, less the most that any comes before its turn.
    due = sorted(shown)
    ahead = max(turn - own for turn, own in zip(due, shown, strict=True))
    return iter([turn - ahead for turn in due])


def _moved(packets: Iterator[Packet], ticks: int, decoding: Iterator[int]) -> Iterator[Packet]:
    """Packets moved so that time zero lies at `ticks` of their clock. What comes before it stays, and is not shown."""
    for packet in packets:
        if packet.size and packet.pts is not None:
            packet.pts, packet.dts = packet.pts - ticks, next(decoding) - ticks
            yield packet


def _handed_to(packets: "Iterator[Packet] | list[Packet]", stream: Stream) -> Iterator[Packet]:
    for packet in packets:
        packet.stream = stream
        yield packet


def _shown(path: Path, line: Timeline, num_frames: int) -> Iterator[np.ndarray]:
    """The pictures of a file one by one, at their own rate and size."""
    with opened(path) as source:
        stream = video_stream(source)
        assert stream is not None
        times = (line.zero + duration(i, line.rate) for i in range(num_frames))
        size, matrix = None, None
        for _, frame in on_screen(decoded(source, stream), times, line.slack):
            if size is None:
                matrix = matrix_of(path, frame)
                size = displayed_size(frame, stream.sample_aspect_ratio, matrix)
            yield as_shown(frame, stream.sample_aspect_ratio, size, matrix)


def _sound_zero(path: Path) -> Fraction:
    """Time zero on a file's clock: the first picture, or the first sample after the codec's priming."""
    with opened(path) as source:
        if video_stream(source) is not None:
            return scan(path).zero
        stream = audio_stream(source)
        assert stream is not None
        first = next(frames_of(source, stream), None)
        if first is None:
            raise MediaError(f"{path}: its sound has no samples (empty, or cut short)")
        return Fraction(first.pts or 0) * Fraction(first.time_base or stream.time_base or 0)


def _sound_packets(path: Path, container: Container, seconds: Fraction) -> tuple[list[Packet], bool]:
    """The packets of a file's sound from time zero to `seconds`, and whether they may be copied and last that long."""
    with opened(path) as source:
        stream = audio_stream(source)
        if not isinstance(stream, AudioStream):
            raise MediaError(f"{path}: holds no sound that can be read")
        if stream.codec_context.codec.canonical_name not in COPIED_SOUNDS[container.format]:
            return [], False
        base = stream.time_base
        assert base is not None
        zero, kept, end = round(_sound_zero(path) / base), [], 0
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
