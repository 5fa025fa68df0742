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

from sonovid.core import atomic
from sonovid.media.file_types import is_animated_webp, unsupported_type

# Play lists (HLS, concat) name other files and hosts: a file that somebody brought must not make this program open those.
DEMUXERS = (
    "mov,matroska,webm,avi,gif,apng,mxf,dv,ivf,yuv4mpegpipe,wav,w64,flac,mp3,ogg,aac,ac3,eac3,amr,au,caf,tta,wv,"
    "mpegts,mpeg,flv,asf,aiff"
)
# Pixels of a picture that may be decoded to find out what a file holds: 8K.
PROBE_MAX_PIXELS = 2**25


class MediaError(ValueError):
    """A media file that cannot be read, or a clip that cannot be written: one line, for the person who brought it."""


@dataclass(frozen=True)
class Limits:
    """What a file may at most ask of this machine.

    max_seconds: length read. max_pixels: height x width of a picture as stored. max_bytes: memory for the pictures read.
    max_samples: samples of the sound read, times its channels (the default takes 1 GiB).
    """

    max_seconds: "int | float" = 600
    max_pixels: int = 4096 * 2304
    max_bytes: int = 8 * 2**30
    max_samples: int = 2**28

    def check_seconds(self, path: Path, seconds: "Fraction | int | float") -> None:
        if seconds > self.max_seconds:
            raise MediaError(
                f"{path}: {float(seconds):.1f} s is above the limit of {self.max_seconds:g} s (read a part with start= and "
                "seconds=, or raise it with Limits(max_seconds=...); sonovid generate: --start, --seconds, --max-seconds)"
            )

    def check_picture(self, path: Path, height: int, width: int) -> None:
        if height * width == 0:
            raise MediaError(
                f"{path}: its pictures have no size that can be found: damaged, or above {max(self.max_pixels, PROBE_MAX_PIXELS)} pixels"
            )
        if height * width > self.max_pixels:
            raise MediaError(
                f"{path}: {width}x{height} is above the limit of {self.max_pixels} pixels (raise it with Limits(max_pixels=...); "
                "sonovid generate: --max-pixels)"
            )

    def check_memory(self, path: Path, num_frames: int, height: int, width: int) -> None:
        needed = num_frames * height * width * 3
        if needed > self.max_bytes:
            raise MediaError(
                f"{path}: {num_frames} pictures of {width}x{height} take {needed / 2**30:.1f} GiB, above the limit of "
                f"{self.max_bytes / 2**30:.1f} GiB (ask for a smaller size=, fps= or seconds=, or raise Limits(max_bytes=...))"
            )

    def check_samples(self, path: Path, num_samples: int, channels: int) -> None:
        if num_samples * channels > self.max_samples:
            raise MediaError(
                f"{path}: {num_samples} samples of {channels} channel{'s' if channels > 1 else ''} are above the limit of "
                f"{self.max_samples} in all (read a part with start= and seconds=, or raise it with Limits(max_samples=...))"
            )


def file_state(path: "str | os.PathLike") -> tuple[int, int]:
    """Size and time of the last change of a file: what is known of its contents holds as long as this stays."""
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


@contextmanager
def open_media(path: "str | os.PathLike", limits: "Limits | None" = None) -> Iterator[InputContainer]:
    """A media file, or numbered pictures, open for reading.

    Args:
        path: a path, or a `Source`, which may name numbered pictures.
        limits: pictures above `limits.max_pixels` are not decoded, whatever the header says.

    Raises:
        MediaError: no such file, a folder, an empty file, no media file, or a fault of the file while it is read.
    """
    limits = limits or getattr(path, "limits", None) or Limits()
    with ExitStack() as stack:
        try:
            container = stack.enter_context(_open(path, limits))
            for stream in container.streams.video:
                if stream.codec_context is not None:
                    # The codec's own limit: a picture that is larger than its header says is refused before it is decoded.
                    stream.codec_context.options = {"max_pixels": str(limits.max_pixels)}
            yield container
        except (av.FFmpegError, UnicodeDecodeError) as error:
            if atomic.disk_full_errno(error) is not None:
                raise  # Of what is written meanwhile, and no fault of this file.
            reason = getattr(error, "strerror", None) or error
            where = Path(path)
            kind = unsupported_type(where) if where.is_file() else None
            if kind is not None:
                raise MediaError(f"{path}: unsupported: it is {kind}, expected a film or a sound") from None
            raise MediaError(f"{path}: cannot be read: damaged, cut short, or no media file of a known kind ({reason})") from None


def _open(path: "str | os.PathLike", limits: Limits) -> InputContainer:
    """The container of a file or of numbered pictures, by the demuxers that are allowed."""
    from sonovid.media.source import find_image_sequence, is_image_sequence
    from sonovid.media.webp import open_webp

    where = Path(path)
    # Looking for streams decodes pictures too: up to 8K, so that sizes above a lower limit can still be told. Other protocols
    # would reach hosts and other files.
    options = {"protocol_whitelist": "file", "max_pixels": str(max(limits.max_pixels, PROBE_MAX_PIXELS))}
    if is_image_sequence(where):
        rate = getattr(path, "fps", None)
        if rate is None:
            raise MediaError(
                f"{path}: numbered pictures carry no rate, expected media.Source(path, fps=...) (sonovid generate: --fps)"
            )
        pattern, first, _ = find_image_sequence(where)
        numbered = {"framerate": str(rate), "start_number": str(first), "pattern_type": "sequence"}
        return av.open(pattern, format="image2", options={**options, **numbered})
    if where.is_dir():
        raise MediaError(f"{path}: is a folder, expected a media file or a folder of numbered pictures")
    if not where.exists():
        raise MediaError(f"{path}: no such file")
    if where.stat().st_size == 0:
        raise MediaError(f"{path}: the file is empty")
    if is_animated_webp(where):
        return open_webp(where, limits)
    # An absolute path cannot be taken for a protocol, whatever colons it holds.
    return av.open(str(where.absolute()), options={**options, "format_whitelist": DEMUXERS})


def video_stream(container: InputContainer) -> "VideoStream | None":
    """The moving pictures of a file; the cover of an album is none, nor is what no decoder here knows."""
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic and s.codec_context is not None]
    best = container.streams.best("video")
    return best if best in streams else (streams[0] if streams else None)


def audio_stream(container: InputContainer) -> "AudioStream | None":
    """The sound of a file: of several tracks, the one a player would take. A track without a rate was never begun."""
    streams = [s for s in container.streams.audio if s.codec_context is not None and s.sample_rate and s.channels]
    best = container.streams.best("audio")
    return best if best in streams else (streams[0] if streams else None)


def describe_unknown_codecs(container: InputContainer) -> str:
    """The streams of pictures and sound that no decoder here knows, as a remark for an error; often empty."""
    text = "; ".join(
        f"its {'pictures are' if s.type == 'video' else 'sound is'} in a codec that is unsupported"
        for s in container.streams
        if s.type in ("video", "audio") and s.codec_context is None
    )
    return f" ({text})" if text else ""


def limit_threads(stream: VideoStream) -> None:
    """One thread for small pictures: on a busy machine waiting for others costs a hundred times what they save."""
    if stream.height * stream.width <= 640 * 480:
        stream.codec_context.thread_count = 1


@contextmanager
def atomic_output(path: "str | os.PathLike", *, overwrite: bool) -> Iterator[Path]:
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
            temp_path = stack.enter_context(atomic.atomic_file(path))
        except atomic.DiskFullError:
            raise
        except OSError as error:
            raise MediaError(f"{path}: cannot write in the folder {path.parent.absolute()} ({error.strerror})") from None
        yield temp_path
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists already (it was made while this one was written)")
