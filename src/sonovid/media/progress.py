"""Progress callbacks for reading and writing media files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from sonovid.core import renamed

# Arguments: the operation ("reading" or "writing"), the amount done, and the total.
ProgressCallback = Callable[[str, float, float], None]
_CALLBACK: ContextVar["ProgressCallback | None"] = ContextVar("report", default=None)


@contextmanager
def progress_callback(report: ProgressCallback) -> Iterator[None]:
    """Calls `report(operation, done, total)` as files are read and written in this thread, within the block.

    Example:
        >>> with progress_callback(lambda operation, done, total: print(f"{operation}: {done / total:.0%}")):
        ...     clip = media.read("film.mp4")
    """
    token = _CALLBACK.set(report)
    try:
        yield
    finally:
        _CALLBACK.reset(token)


def report(what: str, done: float, total: float) -> None:
    """Passes progress to the callback of this thread, if there is one."""
    callback = _CALLBACK.get()
    if callback is not None:
        callback(what, done, total)


__getattr__ = renamed.attributes(__name__, {"Report": "ProgressCallback", "reporting": "progress_callback"})
