"""One progress bar for the whole package: a bar on a terminal, a few lines in a file or a log."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
# Where nobody watches, a line is written at each of so many equal parts of the work, but never more often than this.
NUM_LINES, MIN_SECONDS = 10, 10.0


class TextProgress(Generic[Item]):
    """Progress as lines of text, with the methods of tqdm that this package uses.

    A line is written when a tenth of the work has been done since the last one and ten seconds have passed, and at the end of
    work that took longer than that. Of work without a known length, a line is written every ten seconds, then at twice the time.
    """

    def __init__(
        self, iterable: Iterable[Item] | None, *, total: int | None, initial: int, desc: str, unit: str, file: Any
    ) -> None:
        self.iterable, self.desc, self.unit, self.file = iterable, desc, unit, file
        self.total = len(iterable) if total is None and isinstance(iterable, Sized) else total
        self.n = self.first = initial
        self.began = time.monotonic()
        self._last, self._said, self._beside = initial, self.began, ""

    def __iter__(self) -> Iterator[Item]:
        assert self.iterable is not None
        try:
            for item in self.iterable:
                yield item
                self.update()
        finally:
            self.close()

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, n: int = 1) -> None:
        """Count so much as done."""
        self.n += n
        now = time.monotonic()
        waits = MIN_SECONDS if self.total else max(MIN_SECONDS, self._said - self.began)
        if now - self._said >= waits and (not self.total or self.n - self._last >= self.total / NUM_LINES):
            self._say(now)

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        """What is written behind the numbers."""
        self._beside = text

    def set_description(self, desc: str, refresh: bool = True) -> None:
        """What is written before the numbers."""
        self.desc = desc

    def close(self) -> None:
        """Write the last line, where any was worth writing."""
        now = time.monotonic()
        if self.n != self._last and now - self.began >= MIN_SECONDS:
            self._say(now)

    def _say(self, now: float) -> None:
        self._last, self._said = self.n, now
        took = now - self.began
        of = f" of {self.total:g} {self.unit} ({self.n / self.total:.0%})" if self.total else f" {self.unit}"
        rate = (self.n - self.first) / max(took, 1e-9)
        left = (
            f", about {_format_seconds((self.total - self.n) / rate)} left"
            if self.total and rate > 0 and self.n < self.total
            else ""
        )
        beside = f"; {self._beside}" if self._beside else ""
        self.file.write(f"{self.desc}: {self.n:g}{of} in {_format_seconds(took)}{left}{beside}\n")
        self.file.flush()


def _format_seconds(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def is_interactive() -> bool:
    """Whether somebody may be looking: stderr is a terminal."""
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
    """Progress through an iterable, or through what `update` counts; written to stderr.

    Args:
        total: how much there is; the length of the iterable where it has one. initial: how much was done before.
        desc, unit: what is done, and what is counted.
        quiet: nothing is written.

    Returns:
        tqdm's bar on a terminal, `Lines` elsewhere; both are iterated over, or used as a context with `update`.
    """
    if not quiet and not is_interactive():
        return TextProgress(iterable, total=total, initial=initial, desc=desc, unit=unit, file=sys.stderr)
    from tqdm.auto import tqdm

    return tqdm(iterable, total=total, initial=initial, desc=desc, unit=unit, disable=quiet, dynamic_ncols=True)
