"""Files and folders that appear whole or not at all: written beside their place, then renamed."""

import errno
import glob
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

# Whether a process of another machine still runs cannot be seen; after this many seconds its temporary files are removed.
STALE_SECONDS = 24 * 3600
# Characters of a name that its temporary name repeats; file systems allow 255 bytes in all.
MAX_NAME_LENGTH = 60
_TEMPORARY_NAME = re.compile(
    r"\.(?P<name>.+)\.(?P<kind>aside|before)-(?P<machine>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{8}(\.[^.]*)?"
)
_DISK_FULL_REASONS = {
    errno.ENOSPC: "no space is left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than this system allows",
}


class DiskFullError(OSError):
    """A file or folder did not fit on the disk. The message is one line; what was there before is unchanged."""


def disk_full_errno(error: BaseException) -> int | None:
    """The errno by which an error says that there was no room to write, or None.

    FFmpeg's errors carry an `errno` without being an OSError; those of Rust libraries (safetensors) say it in their text only.
    """
    number = getattr(error, "errno", None)
    if number is None and not isinstance(error, OSError):
        said = re.search(r"os error (\d+)", str(error))
        number = int(said[1]) if said else None
    return number if number in _DISK_FULL_REASONS else None


@contextmanager
def disk_full_errors(path: "str | os.PathLike", kept: str = "what was there before is unchanged") -> Iterator[None]:
    """Within the block `path` is written; an error that means "no room" becomes a `DiskFullError` that says so in one line.

    Args:
        path: what the message names.
        kept: what the message says of earlier data.

    Raises:
        DiskFullError: the disk is full, the quota is used up, or the file is larger than allowed.
    """
    free = _free_bytes(Path(path))
    try:
        yield
    except Exception as error:
        number = disk_full_errno(error)
        if number is None:
            raise
        room = "" if free is None else f" ({free / 1e6:,.1f} MB were free)"
        said = f"{path} cannot be written: {_DISK_FULL_REASONS[number]}{room}; {kept}; make room or choose another disk, and run again"
        raised = DiskFullError(said)
        raised.errno = number
        raise raised from error


def _free_bytes(path: Path) -> int | None:
    """Bytes that may still be written where `path` is to be; None where that cannot be found out."""
    try:
        return shutil.disk_usage(next(folder for folder in path.absolute().parents if folder.is_dir())).free
    except (OSError, StopIteration):
        return None


@contextmanager
def atomic_file(path: "str | os.PathLike") -> Iterator[Path]:
    """An empty file beside `path`, of the same suffix, to write to; it becomes `path` when the block ends well, or vanishes.

    Several processes may write the same path at once: the last to finish stays. What killed processes left in the folder is
    removed.

    Raises:
        DiskFullError: there was no room for it.
        OSError: the folder does not exist or cannot be written to.
    """
    path = Path(path)
    _remove_leftovers_once(path.parent)
    aside = _temporary_path(path.with_suffix("") if path.suffix else path, "aside", path.suffix)
    with disk_full_errors(path):
        # Created here and not by whoever writes, so that a folder without leave to write is told apart from other faults.
        os.close(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        try:
            yield aside
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)


def write_text(path: "str | os.PathLike", text: str) -> None:
    """A text file, whole or not at all."""
    with atomic_file(path) as aside:
        aside.write_text(text)


def replace_folder(final: "str | os.PathLike", write: Callable[[Path], None]) -> None:
    """Let `write` fill a folder aside, then put it in the place of `final`: no half is ever seen there.

    The folder that was there goes only when the new one is whole. What killed processes left of an earlier try is removed.

    Raises:
        DiskFullError: there was no room for it; the folder that was there stays.
    """
    final = Path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(final.parent, final.name)
    aside, before = _temporary_path(final, "aside"), _temporary_path(final, "before")
    with disk_full_errors(final):
        try:
            aside.mkdir()
            write(aside)
            if final.exists():
                os.replace(final, before)
            os.replace(aside, final)
        except BaseException:
            if before.exists() and not final.exists():
                os.replace(before, final)
            raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            shutil.rmtree(before, ignore_errors=True)


def remove_leftovers(folder: Path, name: str | None = None, *, exclusive: bool = False) -> None:
    """Remove the temporary files and folders that killed processes left in `folder`; a folder moved away comes back first.

    Args:
        folder: where to look; not in the folders within it.
        name: of the file or folder that was being written; None: of all.
        exclusive: the caller knows that nobody else writes here, on any machine.
    """
    for left in list(folder.glob(f".{glob.escape(name[:MAX_NAME_LENGTH])}.*-*-*" if name else ".*-*-*")):
        found = _TEMPORARY_NAME.fullmatch(left.name)
        if found is None or int(found["pid"]) == os.getpid() or (not exclusive and _writer_is_running(found, left)):
            continue
        original = folder / found["name"]
        if found["kind"] == "before" and len(original.name) == MAX_NAME_LENGTH:
            # Its name was cut, so that nobody can say whose folder it was.
            continue
        if found["kind"] == "before" and not original.exists():
            # Killed between the two renames: what was moved away is the only whole one.
            os.replace(left, original)
        elif left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


@cache
def _remove_leftovers_once(folder: Path) -> None:
    """Sweep a folder at the first file that this process writes there: a scan for each file would take quadratic time."""
    try:
        remove_leftovers(folder)
    except OSError:
        # Not there, or not ours to list: whoever creates the file says so.
        return


def _temporary_path(path: Path, kind: str, suffix: str = "") -> Path:
    return path.with_name(f".{path.name[:MAX_NAME_LENGTH]}.{kind}-{_machine_id()}-{os.getpid()}-{secrets.token_hex(4)}{suffix}")


def _writer_is_running(found: re.Match, left: Path) -> bool:
    """Whether the process that wrote a temporary file may still be at it."""
    if found["machine"] == _machine_id():
        import psutil

        return psutil.pid_exists(int(found["pid"]))
    try:
        return time.time() - left.stat().st_mtime < STALE_SECONDS
    except FileNotFoundError:
        return False


@cache
def _machine_id() -> str:
    """What tells process numbers of this machine, since it was started and in this container, from all others."""
    import hashlib
    import platform

    known = [platform.node()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            known.append(os.readlink(path) if os.path.islink(path) else Path(path).read_text())
        except OSError:
            known.append("")
    return hashlib.blake2b("\n".join(known).encode(), digest_size=4).hexdigest()
