"""Pre-emption: a scheduler's SIGTERM ends a training at the next step, with a checkpoint and an exit code to requeue by."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

# EX_TEMPFAIL of sysexits.h: the same command, run again with resume=latest, goes on.
RESUMABLE = 75


class Preempted(RuntimeError):
    """A training stopped because it was asked to; its checkpoint is written. The command line exits with `exit_code`."""

    exit_code = RESUMABLE


class SigtermWatch:
    """Within the block, SIGTERM does not end the process but sets `asked`. A second SIGTERM ends it.

    Signals reach the main thread only; in another thread nothing is watched.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None
        self._watching = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> "Watch":
        if self._watching:
            self._before = signal.signal(signal.SIGTERM, self._ask)
        return self

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(signal.SIGTERM, self._before)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._watching:
            signal.signal(signal.SIGTERM, self._before)
