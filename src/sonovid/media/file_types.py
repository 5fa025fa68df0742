"""What kind of file somebody brought, by its first bytes: so that what cannot be read is named and not called damaged."""

from pathlib import Path

# Signatures of what is often taken for a film or a sound and is neither, or is one that no demuxer here reads.
SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "a still picture (PNG)"),
    (0, b"\xff\xd8\xff", "a still picture (JPEG)"),
    (0, b"BM", "a still picture (BMP)"),
    (0, b"II*\x00", "a still picture (TIFF)"),
    (0, b"MM\x00*", "a still picture (TIFF)"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"\xff\x0a", "a picture (JPEG XL)"),
    (4, b"JXL ", "a picture (JPEG XL)"),
    (4, b"ftypheic", "a picture (HEIC)"),
    (4, b"ftypmif1", "a picture (HEIF)"),
    (4, b"ftypavif", "a picture (AVIF)"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"Rar!", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b".RMF", "a RealMedia film"),
    (0, b"MThd", "MIDI, which holds notes and no sound"),
    (0, b"#EXTM3U", "an HLS play list, which names other files"),
    (0, b"ffconcat", "a list of files to be joined"),
    (0, b"<?xml", "an XML document"),
    (0, b"\x7fELF", "a program"),
    (0, b"SQLite format 3", "a database"),
    (0, b"FWS", "a Flash film (SWF)"),
    (0, b"CWS", "a Flash film (SWF)"),
    (0, b"DSD ", "DSD sound (DSF)"),
    (0, b"REDV", "a RED raw film (R3D)"),
    (4, b"RED2", "a RED raw film (R3D)"),
    (0, b"BRAW", "a Blackmagic raw film"),
)


def is_animated_webp(path: Path) -> bool:
    """Whether a file is a WebP picture that moves, which FFmpeg of the wheel does not read."""
    with open(path, "rb") as file:
        head = file.read(21)
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) > 20 and bool(head[20] & 2)


def unsupported_type(path: Path) -> "str | None":
    """The name of a file's kind where it is known and not supported, or None."""
    with open(path, "rb") as file:
        head = file.read(4096)
    for offset, signature, name in SIGNATURES:
        if head[offset : offset + len(signature)] == signature and b"acTL" not in head:  # Which makes a PNG move.
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a still picture (WebP)"
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        # A character that is cut by the end of what was read is still text.
        if error.start < len(head) - 3 or not head:
            return None
        text = head[: error.start].decode()
    return "a text file" if text and all(c.isprintable() or c in "\r\n\t\f\ufeff" for c in text) else None
