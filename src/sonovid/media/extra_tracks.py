"""What else a film holds beside its pictures and its sound: further tracks, subtitles, chapters and tags, kept if they can be."""

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

# What players commonly open inside the container; a muxer writes more than that.
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
# Tags that tell of the container that a file came in, and hold no longer for another.
CONTAINER_TAGS = frozenset(["major_brand", "minor_version", "compatible_brands", "encoder", "duration", "number_of_frames"])
# A decoder of sound needs this much before the first sample that is heard; the file's edit list keeps it silent.
PREROLL = Fraction(1, 10)


@dataclass(frozen=True)
class TimeRange:
    """A part of a film on its own clock, in seconds: what lies in it is kept, and begins at zero."""

    begin: Fraction
    seconds: Fraction


def merge_tags(source: Source, added: "Mapping[str, str] | None") -> dict[str, str]:
    """A film's own tags (title, date, camera, place) with those that are added.

    The film's own title stays. A comment that is added stands before the film's own.
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
    """The facts of one track (language, name, timecode, what it is for) on its copy."""
    for name, value in own.metadata.items():
        if name.lower() not in CONTAINER_TAGS and name not in ("handler_name", "vendor_id"):
            copy.metadata[name] = value


class ExtraTracks:
    """The further tracks of a film on their way into another file.

    Args:
        stack: closes what is opened here.
        source: the film.
        part: which part of it is kept.
        form: the muxer's name: mp4, mov or matroska.
        own_sound: whether the film's own sound is one of them, as a second track.
    """

    def __init__(
        self, stack: ExitStack, source: Source, time_range: TimeRange, container_format: str, *, own_sound: bool = False
    ):
        self.time_range, self.container_format = time_range, container_format
        self.container: InputContainer = stack.enter_context(open_media(source))
        self.source, self.dropped = source, []  # type: Source, list[str]
        self._stack, self._copied = stack, []  # type: ExitStack, list[Stream]
        video, audio = video_stream(self.container), audio_stream(self.container)
        # The film's own sound that no container here takes as it is: whoever muxes encodes it.
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
        """Add the tracks to a file that is being written, and give the packets of each; what is left out is told in the log."""
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
        # A walk of its own for each track: they are written by time, and one that is sparse must not hold up the others.
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
    """Covers, and the time-code tracks that a muxer writes anew from the tags."""
    return bool(stream.disposition & Disposition.attached_pic) or (stream.type == "data" and "timecode" in stream.metadata)


def _describe(stream: Stream, codec: "str | None") -> str:
    language = stream.metadata.get("language", "und")
    what = {"audio": "sound track", "subtitle": "subtitles", "video": "pictures", "data": "data track"}
    words = [what.get(stream.type, stream.type), str(stream.index), f"({codec})" if codec else ""]
    return " ".join([*(w for w in words if w), *([] if language == "und" else [language])])
