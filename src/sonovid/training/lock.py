"""One training per output folder: a lock that the operating system releases when its process ends, however it ends."""

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from sonovid.core import atomic
from sonovid.training.distributed import World

LOCK, HOLDER = ".lock", ".lock.json"
_held: set[Path] = set()


@contextmanager
def lock_folder(out: "str | os.PathLike") -> Iterator[None]:
    """Within the block, no other process trains in the folder `out`, which is created; the processes of one run share the lock.

    A second `held` of the same folder in the same process, inside the first, does nothing.

    Raises:
        ValueError: another run holds the folder; the message says which process, on which machine, since when.
    """
    out = Path(out).absolute()
    if out in _held:
        yield
        return
    ranks = World.of_this_run()
    lock = FileLock(out / LOCK, is_singleton=False)
    fault = None
    if ranks.main:
        out.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            fault = f"out={out}: {_holder(out)} trains there now; wait for it, stop it, or give another folder"
        else:
            holder = {"pid": os.getpid(), "machine": platform.node(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
            atomic.write_text(out / HOLDER, json.dumps(holder))
            # Nobody else writes here, so whatever lies aside was left by killed runs, also of other machines.
            for folder in (out, out / "samples"):
                atomic.remove_leftovers(folder, exclusive=True)
    if fault := ranks.told(fault):
        raise ValueError(fault)
    _held.add(out)
    try:
        yield
    finally:
        _held.discard(out)
        if ranks.main:
            (out / HOLDER).unlink(missing_ok=True)
            lock.release()


def _holder(out: Path) -> str:
    """Who has the lock, as far as is known: it is taken a moment before its holder is written down."""
    with suppress(OSError, ValueError, KeyError):
        known = json.loads((out / HOLDER).read_text())
        return f"process {known['pid']} on {known['machine']} (since {known['since']})"
    return "another process"
