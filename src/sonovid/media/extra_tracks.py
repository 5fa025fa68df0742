"""Copies the other contents of a video file: additional audio tracks, subtitles, attachments, chapters and tags."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition, Stream

from sonovid.media.files import audio_stream, open_media, video_stream
from sonovid.media.source import Source

log = logging.getLogger(__name__)

# Codecs that players commonly support in each container. Muxers accept more than these.
COPYABLE_AUDIO = {
    "mp4": ("aac", "mp3", "alac", "ac3", "eac3"),
    "mov": ("aac", "mp3", "alac", "pcm_s16le", "pcm_s24le"),
    "matroska": ("aac", "mp3", "opus", "vorbis", "ac3", "eac3", "alac", "flac", "pcm_s16le", "pcm_s24le", "pcm_f32le"),
}
COPYABLE_SUBTITLES = {
    "mp4": ("mov_text",),
    "mov": ("mov_text",),
    "matroska": ("subrip", "ass", "webvtt", "hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle"),
}
# Tags that describe the source container and would be wrong in another file.
CONTAINER_TAGS = frozenset(["major_brand", "minor_version", "compatible_brands", "encoder", "duration", "number_of_frames"])
# Seconds of audio kept before time zero, which the decoder needs to settle. The edit list of the file hides them.
PREROLL = Fraction(1, 10)


@dataclass(frozen=True)
class TimeRange:
    """A time range of a file, in seconds on the clock of the file.

    Attributes:
        begin: Start of the range. It becomes time zero in the output.
        seconds: Length of the range.
    """

    begin: Fraction
    seconds: Fraction


def merge_tags(source: Source, added: "Mapping[str, str] | None") -> dict[str, str]:
    """Returns the tags of a file (title, date, camera, location) merged with additional ones.

    The title of the file is kept. An added comment is placed before the comment of the file.

    Args:
        source: The file.
        added: Tags to add.
    """
    with open_media(source) as container:
        own = {name: value for name, value in container.metadata.items() if name.lower() not in CONTAINER_TAGS}
    tags = {**own, **(added or {})}
    for name, value in own.items():
        if name.lower() == "title":
            tags[name] = value
        if name.lower() == "comment" and added and "comment" in added and added["comment"] not in value:
            tags["comment"] = f"{added['comment']}; before: {value}"
    return tags


def copy_metadata(own: Stream, copy: Stream) -> None:
    """Copies the metadata of a stream (language, name, timecode) to its copy."""
    for name, value in own.metadata.items():
        if name.lower() not in CONTAINER_TAGS and name not in ("handler_name", "vendor_id"):
            copy.metadata[name] = value


class ExtraTracks:
    """The additional tracks of a file that are copied into an output file.

    Args:
        stack: Closes the files that are opened here.
        source: The input file.
        time_range: The part of the file that is kept.
        container_format: Name of the output format: mp4, mov or matroska.
        own_sound: Whether to keep the main audio track of the input as a second track.

    Attributes:
        needs_encoding: Whether the main audio track must be kept but cannot be copied. The caller then encodes it.
    """

    def __init__(
        self, stack: ExitStack, source: Source, time_range: TimeRange, container_format: str, *, own_sound: bool = False
    ):
        self.time_range, self.container_format = time_range, container_format
        self.container: InputContainer = stack.enter_context(open_media(source))
        self.source, self.dropped = source, []  # type: Source, list[str]
        self._stack, self._copied = stack, []  # type: ExitStack, list[Stream]
        video, audio = video_stream(self.container), audio_stream(self.container)
        self.needs_encoding = False
        for stream in self.container.streams:
            if stream is video or (stream is audio and not own_sound):
                continue
            codec = stream.codec_context.codec.canonical_name if stream.codec_context is not None else None
            if self._may_be_copied(stream, codec):
                self._copied.append(stream)
            elif stream is audio:
                self.needs_encoding = True
            elif not _is_cover_or_timecode(stream):
                self.dropped.append(_describe(stream, codec))

    def _may_be_copied(self, stream: Stream, codec: "str | None") -> bool:
        if stream.type == "audio":
            return isinstance(stream, AudioStream) and codec in COPYABLE_AUDIO[self.container_format] and bool(stream.sample_rate)
        if stream.type == "subtitle":
            return codec in COPYABLE_SUBTITLES[self.container_format]
        return stream.type == "attachment" and self.container_format == "matroska"

    def add_to(self, target: OutputContainer) -> list[Iterator[Packet]]:
        """Adds the tracks to an open output file.

        Args:
            target: The output file.

        Returns:
            One iterator of packets per track. Tracks that cannot be kept are listed in the log.
        """
        tracks = []
        for stream in self._copied:
            try:
                copy = target.add_stream_from_template(stream)
            except ValueError as error:
                self.dropped.append(f"{_describe(stream, None)} ({error})")
                continue
            copy_metadata(stream, copy)
            if stream.type != "attachment":
                copy.disposition = stream.disposition & ~Disposition.default
                tracks.append(self._packets(stream.index, copy))
        self._add_chapters(target)
        if self.dropped:
            log.warning("%s: not kept in %s: %s", self.source, target.format.name, ", ".join(self.dropped))
        return tracks

    def _add_chapters(self, target: OutputContainer) -> None:
        kept: list[Any] = []
        for chapter in self.container.chapters():
            base = chapter["time_base"] or Fraction(1)
            first = max((chapter["start"] * base - self.time_range.begin), Fraction(0))
            last = min((chapter["end"] * base - self.time_range.begin), self.time_range.seconds)
            if last > first:
                kept.append({**chapter, "start": int(first / base), "end": int(last / base)})
        if kept:
            target.set_chapters(kept)

    def _packets(self, index: int, copy: Stream) -> Iterator[Packet]:
        # Each track is demuxed separately: packets are written in time order, and a sparse track must not delay the others.
        container = self._stack.enter_context(open_media(self.source))
        stream = container.streams[index]
        base = Fraction(stream.time_base or 1)
        zero, end = round(self.time_range.begin / base), int(self.time_range.seconds / base)
        preroll = PREROLL / base if stream.type == "audio" else 0
        latest: Any = None
        for packet in container.demux(stream):
            if not packet.size or packet.pts is None or packet.dts is None:
                continue
            packet.pts, packet.dts = packet.pts - zero, packet.dts - zero
            if packet.pts + (packet.duration or 0) <= -preroll or packet.pts >= end:
                continue
            if stream.type == "subtitle" and packet.pts < 0:
                packet.duration = (packet.duration or 0) + packet.pts
                packet.pts = packet.dts = 0
            packet.duration = min(packet.duration or 0, end - packet.pts)
            if latest is not None and packet.dts <= latest:
                packet.dts = latest + 1
                packet.pts = max(packet.pts, packet.dts)
            latest = packet.dts
            packet.stream = copy
            yield packet


def _is_cover_or_timecode(stream: Stream) -> bool:
    """Whether a stream is cover art, or a timecode track that the muxer recreates from the tags."""
    return bool(stream.disposition & Disposition.attached_pic) or (stream.type == "data" and "timecode" in stream.metadata)


def _describe(stream: Stream, codec: "str | None") -> str:
    language = stream.metadata.get("language", "und")
    what = {"audio": "audio track", "subtitle": "subtitles", "video": "video", "data": "data track"}
    words = [what.get(stream.type, stream.type), str(stream.index), f"({codec})" if codec else ""]
    return " ".join([*(w for w in words if w), *([] if language == "und" else [language])])
