"""Files as such: opening what somebody brought, and putting an output in place in one step."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from sonovid import atomic

# Play lists (HLS, concat) name other files and hosts: a file that somebody brought must not make this program open those.
DEMUXERS = "mov,matroska,webm,avi,gif,wav,w64,flac,mp3,ogg,aac,mpegts,mpeg,flv,asf,aiff"


class MediaError(ValueError):
    """A media file that cannot be read, or a clip that cannot be written: one line, for the person who brought it."""


@dataclass(frozen=True)
class Limits:
    """What a file may at most ask of this machine.

    max_seconds: length read. max_pixels: height x width of a picture as stored. max_bytes: memory for the pictures read.
    """

    max_seconds: "int | float" = 600
    max_pixels: int = 4096 * 2304
    max_bytes: int = 8 * 2**30

    def check_seconds(self, path: Path, seconds: "Fraction | int | float") -> None:
        if seconds > self.max_seconds:
            raise MediaError(
                f"{path}: {float(seconds):.1f} s is above the limit of {self.max_seconds:g} s "
                "(read a part with start= and seconds=, or raise it with Limits(max_seconds=...))"
            )

    def check_picture(self, path: Path, height: int, width: int) -> None:
        if height * width > self.max_pixels:
            raise MediaError(
                f"{path}: {width}x{height} is above the limit of {self.max_pixels} pixels (raise it with Limits(max_pixels=...))"
            )

    def check_memory(self, path: Path, num_frames: int, height: int, width: int) -> None:
        needed = num_frames * height * width * 3
        if needed > self.max_bytes:
            raise MediaError(
                f"{path}: {num_frames} pictures of {width}x{height} take {needed / 2**30:.1f} GiB, above the limit of "
                f"{self.max_bytes / 2**30:.1f} GiB (ask for a smaller size=, fps= or seconds=, or raise Limits(max_bytes=...))"
            )


@contextmanager
def opened(path: "str | os.PathLike") -> Iterator[InputContainer]:
    """A media file, open for reading.

    Raises:
        MediaError: no such file, a folder, an empty file, no media file, or a fault of the file while it is read.
    """
    path = Path(path)
    if path.is_dir():
        raise MediaError(f"{path}: is a folder, expected a media file")
    if not path.exists():
        raise MediaError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise MediaError(f"{path}: the file is empty")
    # An absolute path cannot be taken for a protocol, whatever colons it holds.
    name = str(path.absolute())
    try:
        with av.open(name, options={"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}) as container:
            yield container
    except (av.FFmpegError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MediaError(f"{path}: cannot be read: damaged, cut short, or no media file of a known kind ({reason})") from None


def video_stream(container: InputContainer) -> "VideoStream | None":
    """The moving pictures of a file; the cover of an album is none."""
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic and s.codec_context is not None]
    best = container.streams.best("video")
    return best if best in streams else (streams[0] if streams else None)


def audio_stream(container: InputContainer) -> "AudioStream | None":
    """The sound of a file: of several tracks, the one a player would take."""
    streams = [s for s in container.streams.audio if s.codec_context is not None]
    best = container.streams.best("audio")
    return best if best in streams else (streams[0] if streams else None)


def spare_threads(stream: VideoStream) -> None:
    """One thread for small pictures: on a busy machine waiting for others costs a hundred times what they save."""
    if stream.height * stream.width <= 640 * 480:
        stream.codec_context.thread_count = 1


@contextmanager
def in_place(path: "str | os.PathLike", *, overwrite: bool) -> Iterator[Path]:
    """A name beside `path` to write under; it becomes `path` in one step when the block ends well, and vanishes when not.

    Raises:
        FileExistsError: `path` exists and may not be overwritten.
        MediaError: the folder does not exist or cannot be written to, or `path` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise MediaError(f"{path}: is a folder, expected the name of a file to write")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already (allow overwriting it, or choose another name)")
    if not path.parent.is_dir():
        raise MediaError(f"{path}: the folder {path.parent} does not exist (create it first)")
    with ExitStack() as stack:
        try:
            beside = stack.enter_context(atomic.new_file(path))
        except OSError as error:
            raise MediaError(f"{path}: cannot write in the folder {path.parent.absolute()} ({error.strerror})") from None
        yield beside
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists already (it was made while this one was written)")
