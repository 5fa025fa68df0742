"""Files and folders that appear whole or not at all: written beside their place, then renamed."""

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# A killed process leaves what it was writing; after this many seconds nobody is writing it any more.
STALE = 24 * 3600


@contextmanager
def new_file(path: "str | os.PathLike") -> Iterator[Path]:
    """An empty file beside `path`, of the same suffix, to write to; it becomes `path` when the block ends well, or vanishes.

    Several processes may write the same path at once: the last to finish stays.

    Raises:
        OSError: the folder does not exist or cannot be written to.
    """
    path = Path(path)
    aside = path.with_name(f".{path.stem[:80]}.{secrets.token_hex(4)}{path.suffix}")
    # Created here and not by whoever writes, so that a folder without leave to write is told apart from other faults.
    os.close(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_text(path: "str | os.PathLike", text: str) -> None:
    """A text file, whole or not at all."""
    with new_file(path) as aside:
        aside.write_text(text)


def replace_folder(final: "str | os.PathLike", write: Callable[[Path], None]) -> None:
    """Let `write` fill a folder aside, then put it in the place of `final`: no half is ever seen there.

    The folder that was there goes only when the new one is whole. What a killed process left of an earlier try is removed after
    a day.
    """
    final = Path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    _sweep(final)
    aside = final.with_name(f".{final.name}.{secrets.token_hex(4)}.aside")
    before = aside.with_suffix(".before")
    aside.mkdir()
    try:
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


def _sweep(final: Path) -> None:
    """Remove leftovers of killed processes beside `final`; the newest folder that was moved away, if there is no other."""
    for left in [*final.parent.glob(f".{final.name}.*.aside"), *final.parent.glob(f".{final.name}.*.before")]:
        if left.suffix == ".before" and not final.exists():
            # Killed between the two renames: what was moved away is the only whole one.
            os.replace(left, final)
        elif time.time() - left.stat().st_mtime > STALE:
            shutil.rmtree(left, ignore_errors=True)
