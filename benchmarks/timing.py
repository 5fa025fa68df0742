"""Clocks that benchmarks share."""

import time
from collections.abc import Callable

import torch


def clock(work: Callable[[], object], threads: int, device: str = "cpu") -> float:
    """Seconds that a function takes.

    Args:
        work: what is timed.
        threads: with one thread on a CPU the process's own time counts, so that other processes do not disturb the figure.
        device: on an accelerator the clock stops when the device has finished.
    """
    now = time.process_time if threads == 1 and device == "cpu" else time.perf_counter
    start = now()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return now() - start
