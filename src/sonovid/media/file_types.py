"""Recognises unsupported file types by their first bytes, so that the error names the type."""

from pathlib import Path

# (offset, signature, description) of files that are often passed as video or audio but are not supported.
SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "a still image (PNG)"),
    (0, b"\xff\xd8\xff", "a still image (JPEG)"),
    (0, b"BM", "a still image (BMP)"),
    (0, b"II*\x00", "a still image (TIFF)"),
    (0, b"MM\x00*", "a still image (TIFF)"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"\xff\x0a", "an image (JPEG XL)"),
    (4, b"JXL ", "an image (JPEG XL)"),
    (4, b"ftypheic", "an image (HEIC)"),
    (4, b"ftypmif1", "an image (HEIF)"),
    (4, b"ftypavif", "an image (AVIF)"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"Rar!", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b".RMF", "a RealMedia video"),
    (0, b"MThd", "MIDI, which contains notes and no audio"),
    (0, b"#EXTM3U", "an HLS playlist, which refers to other files"),
    (0, b"ffconcat", "an FFmpeg concat list"),
    (0, b"<?xml", "an XML document"),
    (0, b"\x7fELF", "a program"),
    (0, b"SQLite format 3", "a database"),
    (0, b"FWS", "a Flash video (SWF)"),
    (0, b"CWS", "a Flash video (SWF)"),
    (0, b"DSD ", "DSD sound (DSF)"),
    (0, b"REDV", "a RED raw video (R3D)"),
    (4, b"RED2", "a RED raw video (R3D)"),
    (0, b"BRAW", "a Blackmagic raw video"),
)


def is_animated_webp(path: Path) -> bool:
    """Whether a file is an animated WebP image, which the bundled FFmpeg cannot read."""
    with open(path, "rb") as file:
        head = file.read(21)
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) > 20 and bool(head[20] & 2)


def unsupported_type(path: Path) -> "str | None":
    """Returns the description of an unsupported file type, or None if the type is not recognised."""
    with open(path, "rb") as file:
        head = file.read(4096)
    for offset, signature, name in SIGNATURES:
        if head[offset : offset + len(signature)] == signature and b"acTL" not in head:  # acTL marks an animated PNG.
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a still image (WebP)"
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        # A character that is cut off at the end of the buffer is still text.
        if error.start < len(head) - 3 or not head:
            return None
        text = head[: error.start].decode()
    return "a text file" if text and all(c.isprintable() or c in "\r\n\t\f\ufeff" for c in text) else None
