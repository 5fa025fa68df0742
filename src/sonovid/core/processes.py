"""A `map` by spawned processes that keeps order, whatever their number."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import Any

# Names by which the libraries under numpy, torch and OpenCV read how many threads they may start.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")


@contextmanager
def process_pool(workers: int) -> Iterator[Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[Any]]]:
    """A `map` that keeps order and never holds more than a few results per process; in this process for no workers.

    Processes are spawned, never forked: a fork of a process with threads may hang. Each has one thread.
    """
    if workers <= 0:
        yield map
        return
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(before, "1"))
    executor = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
    try:
        yield partial(_map_in_order, executor, 4 * workers)
    except BrokenProcessPool:
        raise ValueError("a process that was reading files ended suddenly (short of memory?); try with fewer workers") from None
    finally:
        executor.shutdown(cancel_futures=True)
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def _map_in_order(executor: ProcessPoolExecutor, ahead: int, function: Any, items: Sequence[Any]) -> Iterator[Any]:
    waiting: list[Any] = []
    for item in items:
        waiting.append(executor.submit(function, item))
        if len(waiting) >= ahead:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()
