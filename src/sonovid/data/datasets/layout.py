"""What readers of public datasets share: files found by name, lists read, stretches of equal length, gaps told."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from sonovid.core import text_files
from sonovid.data import probes

log = logging.getLogger(__name__)

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")


def find_videos(folder: Path) -> list[Path]:
    """All video files below a folder, in the order of their names; hidden ones are passed over."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())
    shown = (path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return sorted(shown, key=lambda path: path.relative_to(folder).as_posix())


def videos_by_stem(folder: Path) -> dict[str, Path]:
    """All video files by their names without suffix; of two with one name the first in order stands."""
    found: dict[str, Path] = {}
    for path in find_videos(folder):
        found.setdefault(path.stem, path)
    return found


def find_file(folder: Path, name: str, what: str) -> Path:
    """The first file of this name at or below a folder.

    Raises:
        ValueError: none, with what it would have been.
    """
    for path in [folder / name, *sorted(folder.rglob(name))]:
        if path.is_file():
            return path
    raise ValueError(f"no {name} in {folder} or below; it is {what}")


def read_lines(path: Path) -> list[str]:
    """The lines of a list, without empty ones.

    Raises:
        ValueError: not text.
    """
    return [line for _, line in text_files.read_lines(path)]


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV that has these columns.

    Raises:
        ValueError: a column is missing, or a row is cut short.
    """
    return [row for _, row in text_files.read_table(path, columns)]


def check_split(split: str, known: Iterable[str]) -> str:
    """The split, where there is such a one.

    Raises:
        ValueError: there is not.
    """
    if split not in known:
        raise ValueError(f"split={split}: expected {', '.join(known)}")
    return split


def filter_split(paths: Sequence[Path], folder: Path, split: str) -> list[Path]:
    """Those of the paths that lie in a folder of the split's name; all of them for the split "all".

    Raises:
        ValueError: none does.
    """
    if split == "all":
        return list(paths)
    found = [path for path in paths if split in path.relative_to(folder).parts[:-1] or folder.name == split]
    if paths and not found:
        raise ValueError(f"split={split}: no folder of that name holds videos in {folder}; take split=all, or another split")
    return found


def segment_starts(path: Path, seconds: float) -> list[float]:
    """Where whole stretches of this length begin, end to end, over a file; none where it cannot be read, which is told."""
    extent = probes.probe_files([str(path)]).get(str(path))
    if extent is None:
        log.warning("left out: %s: not readable", path)
        return []
    length = extent.seconds
    # Containers round their lengths; half of a hundredth is forgiven.
    return [i * seconds for i in range(int((length + 0.005) // seconds))]


def report_missing(missing: Sequence[str], count: int, what: str) -> None:
    """One line about files that a list names and that are not there.

    Raises:
        ValueError: all are missing.
    """
    if not missing:
        return
    shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
    if len(missing) == count:
        raise ValueError(f"none of {count} {what} is there ({shown})")
    log.warning("%d of %d %s are not there: %s", len(missing), count, what, shown)
