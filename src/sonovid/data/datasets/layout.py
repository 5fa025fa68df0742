"""Shared functions of the dataset readers: finding files, reading lists, cutting segments and reporting missing files."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from sonovid.core import text_files
from sonovid.data import probes

log = logging.getLogger(__name__)

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")


def find_videos(folder: Path) -> list[Path]:
    """Finds all video files below a folder, sorted by name. Hidden files are skipped."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())
    shown = (path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return sorted(shown, key=lambda path: path.relative_to(folder).as_posix())


def videos_by_stem(folder: Path) -> dict[str, Path]:
    """Finds all video files by name without suffix. Of two files with one name, the first in order is used."""
    found: dict[str, Path] = {}
    for path in find_videos(folder):
        found.setdefault(path.stem, path)
    return found


def find_file(folder: Path, name: str, what: str) -> Path:
    """Finds the first file of this name in a folder or below.

    Args:
        folder: The folder.
        name: Name of the file.
        what: Description of the file, for the error.

    Raises:
        ValueError: There is none.
    """
    for path in [folder / name, *sorted(folder.rglob(name))]:
        if path.is_file():
            return path
    raise ValueError(f"no {name} in {folder} or below; it is {what}")


def read_lines(path: Path) -> list[str]:
    """Reads the non-empty lines of a text file.

    Raises:
        ValueError: The file is not text.
    """
    return [line for _, line in text_files.read_lines(path)]


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Reads the rows of a CSV file with these columns.

    Raises:
        ValueError: A column is missing, or a row is too short.
    """
    return [row for _, row in text_files.read_table(path, columns)]


def check_split(split: str, known: Iterable[str]) -> str:
    """Returns the split if it exists.

    Raises:
        ValueError: It does not exist.
    """
    if split not in known:
        raise ValueError(f"split={split}: expected {', '.join(known)}")
    return split


def filter_split(paths: Sequence[Path], folder: Path, split: str) -> list[Path]:
    """Selects the paths below a folder with the name of the split; all paths for the split "all".

    Raises:
        ValueError: There are none.
    """
    if split == "all":
        return list(paths)
    found = [path for path in paths if split in path.relative_to(folder).parts[:-1] or folder.name == split]
    if paths and not found:
        raise ValueError(f"split={split}: no folder of that name holds videos in {folder}; use split=all, or another split")
    return found


def segment_starts(path: Path, seconds: float) -> list[float]:
    """Start times of consecutive whole segments of a file, in seconds. Empty, with a warning, if the file cannot be read."""
    extent = probes.probe_files([str(path)]).get(str(path))
    if extent is None:
        log.warning("skipped: %s: not readable", path)
        return []
    length = extent.seconds
    # Containers round durations: 5 ms are tolerated.
    return [i * seconds for i in range(int((length + 0.005) // seconds))]


def report_missing(missing: Sequence[str], count: int, what: str) -> None:
    """Logs the listed files that are not on disk.

    Raises:
        ValueError: All are missing.
    """
    if not missing:
        return
    shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
    if len(missing) == count:
        raise ValueError(f"none of {count} {what} was found ({shown})")
    log.warning("%d of %d %s are missing: %s", len(missing), count, what, shown)
