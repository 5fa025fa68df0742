"""How far reading and writing have come, told to whoever asked for it: a bar of a command, a task queue, a test."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# Called with what is done ("reading" or "writing"), how much of it, and of how much.
ProgressCallback = Callable[[str, float, float], None]
_CALLBACK: ContextVar["Report | None"] = ContextVar("report", default=None)


@contextmanager
def progress_callback(report: ProgressCallback) -> Iterator[None]:
    """Within the block, `report(what, done, total)` is called as files are read and written, in this thread.

    Example:
        >>> with reporting(lambda what, done, total: print(f"{what}: {done / total:.0%}")):
        ...     clip = media.read("film.mp4")
    """
    token = _CALLBACK.set(report)
    try:
        yield
    finally:
        _CALLBACK.reset(token)


def report(what: str, done: float, total: float) -> None:
    """Say how far a piece of work has come, to whoever asked."""
    callback = _CALLBACK.get()
    if callback is not None:
        callback(what, done, total)
