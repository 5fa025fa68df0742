"""Uploaded files: saved under a name of the server's own, and checked before a job is queued."""

import base64
import binascii
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sonovid import media
from sonovid.app.errors import RequestError
from sonovid.app.settings import Settings

# Suffixes that are kept, with their MIME types.
MEDIA_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
    ".avi": "video/x-msvideo",
    ".gif": "image/gif",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".m4a": "audio/mp4",
    ".aac": "audio/aac",
}
CHUNK_SIZE = 2**20


@dataclass(frozen=True)
class Upload:
    """An uploaded file.

    Args:
        field: The request's field, "source_video" or "source_audio".
        path: Where it is stored.
        name: The client's name for it.
    """

    field: str
    path: Path
    name: str

    def remove(self) -> None:
        """Delete the file, unless a job has taken it over."""
        self.path.unlink(missing_ok=True)


def read_chunks(path: Path) -> Iterator[bytes]:
    """The bytes of a file in chunks of `CHUNK_SIZE`."""
    with path.open("rb") as file:
        while piece := file.read(CHUNK_SIZE):
            yield piece


def decode_data_url(text: str, field: str) -> tuple[str, bytes]:
    """Decode a data URL, in which JSON carries a file.

    Returns:
        A file name and the bytes.

    Raises:
        RequestError: another kind of URL or a path, which this server never reads, or invalid base64.
    """
    head, separator, body = text.partition(";base64,")
    if not text.startswith("data:") or not separator:
        raise RequestError(
            f"{field}: expected a file (multipart) or a data URL (data:video/mp4;base64,...); URLs and paths are not read",
            param=field,
        )
    try:
        content = base64.b64decode(body, validate=True)
    except binascii.Error:
        raise RequestError(f"{field}: the base64 of the data URL is invalid", param=field) from None
    kind = head.removeprefix("data:").split(";")[0]
    suffix = next((one for one, of_browsers in MEDIA_TYPES.items() if of_browsers == kind), "")
    return f"{field}{suffix}", content


def save_upload(pieces: Iterable[bytes], field: str, name: str, folder: Path, settings: Settings) -> Upload:
    """Write and check an uploaded file.

    Args:
        pieces: Its bytes.
        field: "source_video" or "source_audio".
        name: The client's name, of which only the suffix is used.
        folder: Where it is written.
        settings: The server's limits.

    Raises:
        RequestError: too large, too long, too many pixels, or without the required stream. The file is removed then.
    """
    suffix = Path(name).suffix.lower()
    path = folder / f"{secrets.token_hex(8)}{suffix if suffix in MEDIA_TYPES else '.bin'}"
    upload = Upload(field, path, _display_name(name))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _write(pieces, path, field, settings.max_upload)
        check_upload(path, field, settings)
    except BaseException:
        upload.remove()
        raise
    return upload


def check_upload(path: Path, field: str, settings: Settings) -> media.MediaInfo:
    """Probe an uploaded file.

    Raises:
        RequestError: damaged, above the limits, or without the required stream.
    """
    try:
        info = media.probe(path, limits=media.Limits(max_pixels=settings.max_pixels))
    except media.MediaError as error:
        raise RequestError(str(error).replace(str(path), field), param=field) from None
    if field == "source_video" and not info.has_video:
        raise RequestError(f"{field}: no frames in it; to generate frames for a sound give source_audio", param=field)
    if field == "source_audio" and not info.has_audio:
        raise RequestError(f"{field}: no sound in it; to generate the sound of a video give source_video", param=field)
    if info.duration <= 0:
        raise RequestError(f"{field}: its duration is zero", param=field)
    if info.duration > settings.max_seconds:
        limit = f"{float(settings.max_seconds):g}"
        raise RequestError(f"{field}: {float(info.duration):.2f} s is above the limit of {limit} s; cut it first", param=field)
    return info


def _write(pieces: Iterable[bytes], path: Path, field: str, limit: int) -> None:
    """Write a new file of at most `limit` bytes."""
    total = 0
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        for piece in pieces:
            total += len(piece)
            if total > limit:
                raise RequestError(f"{field}: larger than the limit of {limit / 2**20:g} MiB", 413, param=field)
            file.write(piece)


def _display_name(name: str) -> str:
    """A client's file name for display: its last part, printable, at most 80 characters."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(letter for letter in last if letter.isprintable())[:80]
