"""A lock on the output folder of a training. The operating system releases it when the process ends, however it ends."""

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from sonovid.core import atomic
from sonovid.training.distributed import ProcessGroup

LOCK_FILE, HOLDER_FILE = ".lock", ".lock.json"
_locked: set[Path] = set()


@contextmanager
def lock_folder(out: "str | os.PathLike") -> Iterator[None]:
    """A context in which no other run can train in a folder. The folder is created.

    The processes of one run share the lock. A nested call for the same folder in the same process does nothing.

    Args:
        out: output folder.

    Raises:
        ValueError: another run has locked the folder. The message names its process, its machine and its start.
    """
    out = Path(out).absolute()
    if out in _locked:
        yield
        return
    group = ProcessGroup.current()
    lock = FileLock(out / LOCK_FILE, is_singleton=False)
    fault = None
    if group.is_main:
        out.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            fault = f"out={out}: {_holder(out)} is training there; wait for it, stop it, or use another folder"
        else:
            holder = {"pid": os.getpid(), "machine": platform.node(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
            atomic.write_text(out / HOLDER_FILE, json.dumps(holder))
            # Nobody else writes here, so all temporary files were left by killed runs, possibly on other machines.
            for folder in (out, out / "samples"):
                atomic.remove_leftovers(folder, exclusive=True)
    if fault := group.broadcast(fault):
        raise ValueError(fault)
    _locked.add(out)
    try:
        yield
    finally:
        _locked.discard(out)
        if group.is_main:
            (out / HOLDER_FILE).unlink(missing_ok=True)
            lock.release()


def _holder(out: Path) -> str:
    """The process that has the lock, if known: the lock is taken shortly before its holder is written."""
    with suppress(OSError, ValueError, KeyError):
        known = json.loads((out / HOLDER_FILE).read_text())
        return f"process {known['pid']} on {known['machine']} (since {known['since']})"
    return "another process"
