"""Opens media files within limits, and replaces output files atomically."""

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

from sonovid.core import atomic, renamed
from sonovid.media.file_types import is_animated_webp, unsupported_type

# Demuxers that are allowed. Playlists (HLS, concat) are not: they refer to other files and hosts, which an untrusted file must
# not make this program open.
DEMUXERS = (
    "mov,matroska,webm,avi,gif,apng,mxf,dv,ivf,yuv4mpegpipe,wav,w64,flac,mp3,ogg,aac,ac3,eac3,amr,au,caf,tta,wv,"
    "mpegts,mpeg,flv,asf,aiff"
)
# Largest frame, in pixels, that is decoded to find out what a file contains: 8K.
PROBE_MAX_PIXELS = 2**25


class MediaError(ValueError):
    """A media file that cannot be read, or a clip that cannot be written. The message is one line for the user."""


@dataclass(frozen=True)
class Limits:
    """Limits on what a file may demand of this machine.

    Attributes:
        max_seconds: Length that is read, in seconds.
        max_pixels: Height times width of a stored frame.
        max_bytes: Memory of the frames that are read, in bytes.
        max_samples: Audio samples that are read, times channels. The default takes 1 GiB.
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

    def check_frame_size(self, path: Path, height: int, width: int) -> None:
        if height * width == 0:
            raise MediaError(
                f"{path}: its frame size is unknown: damaged, or above {max(self.max_pixels, PROBE_MAX_PIXELS)} pixels"
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
                f"{path}: {num_frames} frames of {width}x{height} take {needed / 2**30:.1f} GiB, above the limit of "
                f"{self.max_bytes / 2**30:.1f} GiB (ask for a smaller size=, fps= or seconds=, or raise Limits(max_bytes=...))"
            )

    def check_samples(self, path: Path, num_samples: int, channels: int) -> None:
        if num_samples * channels > self.max_samples:
            raise MediaError(
                f"{path}: {num_samples} samples of {channels} channel{'s' if channels > 1 else ''} are above the limit of "
                f"{self.max_samples} in all (read a part with start= and seconds=, or raise it with Limits(max_samples=...))"
            )


def file_state(path: "str | os.PathLike") -> tuple[int, int]:
    """Size and modification time of a file. Cached results about a file are valid as long as this does not change."""
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


@contextmanager
def open_media(path: "str | os.PathLike", limits: "Limits | None" = None) -> Iterator[InputContainer]:
    """Opens a media file or an image sequence for reading.

    Args:
        path: A path, or a `Source`, which may refer to an image sequence.
        limits: Limits on the file. Frames above `limits.max_pixels` are never decoded, whatever the header says.

    Raises:
        MediaError: The path does not exist, is a folder, is empty or is no media file, or reading fails inside the block.
    """
    limits = limits or getattr(path, "limits", None) or Limits()
    with ExitStack() as stack:
        try:
            container = stack.enter_context(_open(path, limits))
            for stream in container.streams.video:
                if stream.codec_context is not None:
                    # The limit of the decoder itself: a frame larger than the header says is rejected before it is decoded.
                    stream.codec_context.options = {"max_pixels": str(limits.max_pixels)}
            yield container
        except (av.FFmpegError, UnicodeDecodeError) as error:
            if atomic.disk_full_errno(error) is not None:
                raise  # The output ran out of space. This is no fault of the input.
            reason = getattr(error, "strerror", None) or error
            where = Path(path)
            kind = unsupported_type(where) if where.is_file() else None
            if kind is not None:
                raise MediaError(f"{path}: unsupported: it is {kind}, expected a video or audio file") from None
            raise MediaError(f"{path}: cannot be read: damaged, truncated, or not a known media format ({reason})") from None


def _open(path: "str | os.PathLike", limits: Limits) -> InputContainer:
    """Opens a file or an image sequence with the allowed demuxers."""
    from sonovid.media.source import find_image_sequence, is_image_sequence
    from sonovid.media.webp import open_webp

    where = Path(path)
    # Finding streams decodes frames too. Up to 8K is allowed, so that the size can be reported when it exceeds a lower limit.
    # Other protocols would reach other files and hosts.
    options = {"protocol_whitelist": "file", "max_pixels": str(max(limits.max_pixels, PROBE_MAX_PIXELS))}
    if is_image_sequence(where):
        rate = getattr(path, "fps", None)
        if rate is None:
            raise MediaError(
                f"{path}: an image sequence has no frame rate, expected media.Source(path, fps=...) (sonovid generate: --fps)"
            )
        pattern, first, _ = find_image_sequence(where)
        numbered = {"framerate": str(rate), "start_number": str(first), "pattern_type": "sequence"}
        return av.open(pattern, format="image2", options={**options, **numbered})
    if where.is_dir():
        raise MediaError(f"{path}: is a folder, expected a media file or a folder with an image sequence")
    if not where.exists():
        raise MediaError(f"{path}: no such file")
    if where.stat().st_size == 0:
        raise MediaError(f"{path}: the file is empty")
    if is_animated_webp(where):
        return open_webp(where, limits)
    # An absolute path cannot be mistaken for a protocol, even if it contains colons.
    return av.open(str(where.absolute()), options={**options, "format_whitelist": DEMUXERS})


def video_stream(container: InputContainer) -> "VideoStream | None":
    """Returns the main video stream. Cover art and streams without a known decoder are ignored."""
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic and s.codec_context is not None]
    best = container.streams.best("video")
    return best if best in streams else (streams[0] if streams else None)


def audio_stream(container: InputContainer) -> "AudioStream | None":
    """Returns the audio stream that a player would choose. Streams without a sample rate are ignored."""
    streams = [s for s in container.streams.audio if s.codec_context is not None and s.sample_rate and s.channels]
    best = container.streams.best("audio")
    return best if best in streams else (streams[0] if streams else None)


def describe_unknown_codecs(container: InputContainer) -> str:
    """Describes the video and audio streams without a known decoder, for an error message. Empty if there are none."""
    text = "; ".join(
        f"its {s.type} is in a codec that is unsupported"
        for s in container.streams
        if s.type in ("video", "audio") and s.codec_context is None
    )
    return f" ({text})" if text else ""


def limit_threads(stream: VideoStream) -> None:
    """Uses one thread for small frames: on a busy machine, synchronising threads costs a hundred times what they save."""
    if stream.height * stream.width <= 640 * 480:
        stream.codec_context.thread_count = 1


@contextmanager
def atomic_output(path: "str | os.PathLike", *, overwrite: bool) -> Iterator[Path]:
    """Yields a temporary path beside `path`. It replaces `path` when the block succeeds and is removed when the block fails.

    Args:
        path: The output file.
        overwrite: Whether an existing file may be replaced.

    Raises:
        FileExistsError: `path` exists and `overwrite` is False.
        MediaError: The folder does not exist or cannot be written to, or `path` is a folder.
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
            raise FileExistsError(f"{path} exists already (it was created while this one was written)")


__getattr__ = renamed.attributes(__name__, {"in_place": "atomic_output", "opened": "open_media"})
