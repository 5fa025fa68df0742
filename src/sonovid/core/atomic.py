"""Write files and folders atomically: into a temporary path beside the target, then rename."""

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

# Whether a process of another machine still runs is unknown. Its temporary files are removed when they are this old.
STALE_SECONDS = 24 * 3600
# Characters of the target's name in a temporary name; file systems allow 255 bytes in all.
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
    """A file or folder did not fit on the disk. The message is one line. Earlier data is unchanged."""


def disk_full_errno(error: BaseException) -> int | None:
    """The errno of an error that means "disk full", or None.

    Errors of FFmpeg have an `errno` without being an OSError. Those of Rust libraries (safetensors) have it in their text only.
    """
    number = getattr(error, "errno", None)
    if number is None and not isinstance(error, OSError):
        match = re.search(r"os error (\d+)", str(error))
        number = int(match[1]) if match else None
    return number if number in _DISK_FULL_REASONS else None


@contextmanager
def disk_full_errors(path: "str | os.PathLike", kept: str = "what was there before is unchanged") -> Iterator[None]:
    """Convert errors that mean "disk full" within the block to `DiskFullError`.

    Args:
        path: the file or folder that the block writes.
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
        reason = f"{_DISK_FULL_REASONS[number]}{room}"
        message = f"{path} cannot be written: {reason}; {kept}; make room or choose another disk, and run again"
        disk_full = DiskFullError(message)
        disk_full.errno = number
        raise disk_full from error


def _free_bytes(path: Path) -> int | None:
    """Free bytes on the disk of `path`; None where unknown."""
    try:
        return shutil.disk_usage(next(folder for folder in path.absolute().parents if folder.is_dir())).free
    except (OSError, StopIteration):
        return None


@contextmanager
def atomic_file(path: "str | os.PathLike") -> Iterator[Path]:
    """An empty temporary file to write to. It replaces `path` when the block succeeds and is removed when it fails.

    The temporary file lies beside `path` and has the same suffix. Several processes may write the same path at once: the last to
    finish wins. Temporary files that killed processes left in the folder are removed.

    Raises:
        DiskFullError: the disk is full.
        OSError: the folder does not exist or cannot be written to.
    """
    path = Path(path)
    _remove_leftovers_once(path.parent)
    temporary = _temporary_path(path.with_suffix("") if path.suffix else path, "aside", path.suffix)
    with disk_full_errors(path):
        # Created here and not by the writer, so that a missing permission is told apart from other errors.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        permissions = temporary.stat().st_mode & 0o666
        try:
            yield temporary
            _open_private_file(temporary, permissions)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: "str | os.PathLike", text: str) -> None:
    """Write a text file atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text)


def replace_folder(final: "str | os.PathLike", write: Callable[[Path], None]) -> None:
    """Write a folder atomically.

    An existing folder is replaced only when the new one is complete. Leftovers of killed processes are removed.

    Args:
        final: the folder.
        write: fills the temporary folder that it is called with.

    Raises:
        DiskFullError: the disk is full; an existing folder stays.
    """
    final = Path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(final.parent, final.name)
    temporary, previous = _temporary_path(final, "aside"), _temporary_path(final, "before")
    with disk_full_errors(final):
        try:
            temporary.mkdir()
            write(temporary)
            open_private_files(temporary)
            if final.exists():
                os.replace(final, previous)
            os.replace(temporary, final)
        except BaseException:
            if previous.exists() and not final.exists():
                os.replace(previous, final)
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(previous, ignore_errors=True)


def open_private_files(folder: Path, pattern: str = "**/*") -> None:
    """Give files that only their owner can read the permissions of their folder, as the umask gives them to both.

    safetensors writes such files (mode 0600): others of a group could read the configs of a model, but not its weights.

    Args:
        folder: the folder, whose permissions count.
        pattern: the files.
    """
    permissions = folder.stat().st_mode & 0o666
    for path in folder.glob(pattern):
        if path.is_file():
            _open_private_file(path, permissions)


def _open_private_file(path: Path, permissions: int) -> None:
    """Set the permissions of a file that only its owner can read and write."""
    if not path.is_symlink() and path.stat().st_mode & 0o777 == 0o600 != permissions:
        path.chmod(permissions)


def remove_leftovers(folder: Path, name: str | None = None, *, exclusive: bool = False) -> None:
    """Remove temporary files and folders of killed processes. A folder that was moved away is moved back.

    Args:
        folder: where to look; subfolders are not searched.
        name: of the file or folder that was written; None: of all.
        exclusive: the caller knows that no other process, on any machine, writes to this folder.
    """
    for leftover in list(folder.glob(f".{glob.escape(name[:MAX_NAME_LENGTH])}.*-*-*" if name else ".*-*-*")):
        found = _TEMPORARY_NAME.fullmatch(leftover.name)
        if found is None or int(found["pid"]) == os.getpid() or (not exclusive and _writer_is_running(found, leftover)):
            continue
        original = folder / found["name"]
        if found["kind"] == "before" and len(original.name) == MAX_NAME_LENGTH:
            # The name may be truncated, so the original name is unknown.
            continue
        if found["kind"] == "before" and not original.exists():
            # Killed between the two renames: the folder that was moved away is the only complete one.
            os.replace(leftover, original)
        elif leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


@cache
def _remove_leftovers_once(folder: Path) -> None:
    """Remove leftovers at the first file that this process writes to a folder: a scan per file would take quadratic time."""
    try:
        remove_leftovers(folder)
    except OSError:
        # Missing or not readable: creating the file raises the right error.
        return


def _temporary_path(path: Path, kind: str, suffix: str = "") -> Path:
    token = secrets.token_hex(4)
    return path.with_name(f".{path.name[:MAX_NAME_LENGTH]}.{kind}-{_machine_id()}-{os.getpid()}-{token}{suffix}")


def _writer_is_running(found: re.Match, leftover: Path) -> bool:
    """Whether the process that wrote a temporary file may still run."""
    if found["machine"] == _machine_id():
        import psutil

        return psutil.pid_exists(int(found["pid"]))
    try:
        return time.time() - leftover.stat().st_mtime < STALE_SECONDS
    except FileNotFoundError:
        return False


@cache
def _machine_id() -> str:
    """Identifies the PID namespace: this machine since its last boot, in this container."""
    import hashlib
    import platform

    known = [platform.node()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            known.append(os.readlink(path) if os.path.islink(path) else Path(path).read_text())
        except OSError:
            known.append("")
    return hashlib.blake2b("\n".join(known).encode(), digest_size=4).hexdigest()
