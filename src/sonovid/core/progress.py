"""Progress bars: tqdm on a terminal, a few lines of text in a file or a log."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
# Off a terminal a line is written after each tenth of the work, but never more often than every ten seconds.
NUM_LINES, MIN_SECONDS = 10, 10.0


class TextProgress(Generic[Item]):
    """Progress as lines of text, with the methods of tqdm that this package uses.

    A line is written when a tenth of the work has been done since the last one and ten seconds have passed, and at the end of
    work that took longer than that. Where the total is unknown, a line is written after ten seconds and then at twice the time.

    Args:
        iterable: what to iterate over, or None.
        total: the total; None: the length of the iterable, if it has one.
        initial: how much was done before.
        desc: what is done.
        unit: what is counted.
        file: where the lines are written.
    """

    def __init__(
        self, iterable: Iterable[Item] | None, *, total: int | None, initial: int, desc: str, unit: str, file: Any
    ) -> None:
        self.iterable, self.desc, self.unit, self.file = iterable, desc, unit, file
        self.total = len(iterable) if total is None and isinstance(iterable, Sized) else total
        self.n = self.initial = initial
        self.start_time = time.monotonic()
        self._last_n, self._last_time, self._postfix = initial, self.start_time, ""

    def __iter__(self) -> Iterator[Item]:
        assert self.iterable is not None
        try:
            for item in self.iterable:
                yield item
                self.update()
        finally:
            self.close()

    def __enter__(self) -> "TextProgress":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, n: int = 1) -> None:
        """Count `n` more as done."""
        self.n += n
        now = time.monotonic()
        interval = MIN_SECONDS if self.total else max(MIN_SECONDS, self._last_time - self.start_time)
        if now - self._last_time >= interval and (not self.total or self.n - self._last_n >= self.total / NUM_LINES):
            self._write(now)

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        """Set the text after the numbers."""
        self._postfix = text

    def set_description(self, desc: str, refresh: bool = True) -> None:
        """Set the text before the numbers."""
        self.desc = desc

    def close(self) -> None:
        """Write the last line, unless the work took less than ten seconds."""
        now = time.monotonic()
        if self.n != self._last_n and now - self.start_time >= MIN_SECONDS:
            self._write(now)

    def _write(self, now: float) -> None:
        self._last_n, self._last_time = self.n, now
        elapsed = now - self.start_time
        of = f" of {self.total:g} {self.unit} ({self.n / self.total:.0%})" if self.total else f" {self.unit}"
        rate = (self.n - self.initial) / max(elapsed, 1e-9)
        left = ""
        if self.total and rate > 0 and self.n < self.total:
            left = f", about {_format_seconds((self.total - self.n) / rate)} left"
        postfix = f"; {self._postfix}" if self._postfix else ""
        self.file.write(f"{self.desc}: {self.n:g}{of} in {_format_seconds(elapsed)}{left}{postfix}\n")
        self.file.flush()


def _format_seconds(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def is_interactive() -> bool:
    """Whether stderr is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def bar(
    iterable: Iterable[Item] | None = None,
    *,
    total: int | None = None,
    initial: int = 0,
    desc: str = "",
    unit: str = "it",
    quiet: bool = False,
) -> Any:
    """A progress bar on stderr.

    Args:
        iterable: what to iterate over; None: progress is counted with `update`.
        total: the total; None: the length of the iterable, if it has one.
        initial: how much was done before.
        desc: what is done.
        unit: what is counted.
        quiet: write nothing.

    Returns:
        tqdm's bar on a terminal, `TextProgress` elsewhere; both are iterable, and context managers with `update`.
    """
    if not quiet and not is_interactive():
        return TextProgress(iterable, total=total, initial=initial, desc=desc, unit=unit, file=sys.stderr)
    from tqdm.auto import tqdm

    return tqdm(iterable, total=total, initial=initial, desc=desc, unit=unit, disable=quiet, dynamic_ncols=True)
