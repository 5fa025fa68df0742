"""Preemption: SIGTERM of a scheduler ends a training after the current step, with a checkpoint and a distinct exit code."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

# EX_TEMPFAIL of sysexits.h: the same command with resume=latest continues the training.
RESUMABLE = 75


class Preempted(RuntimeError):
    """A training was stopped by SIGTERM after writing its checkpoint. The command line exits with `exit_code`."""

    exit_code = RESUMABLE


class SigtermWatch:
    """A context in which SIGTERM sets `requested` instead of ending the process. A second SIGTERM ends it.

    Signals reach the main thread only; in other threads the context does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous_handler: Any = None
        self._watching = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> "SigtermWatch":
        if self._watching:
            self._previous_handler = signal.signal(signal.SIGTERM, self._handle)
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(signal.SIGTERM, self._previous_handler)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._watching:
            signal.signal(signal.SIGTERM, self._previous_handler)
