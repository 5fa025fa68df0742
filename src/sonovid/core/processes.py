"""An ordered parallel `map` on spawned processes."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import Any

# Environment variables that limit the threads of the libraries under NumPy, torch and OpenCV.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")


@contextmanager
def process_pool(workers: int) -> Iterator[Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[Any]]]:
    """A `map` on worker processes that keeps the order and holds at most four results per process.

    Processes are spawned, not forked: a fork of a process with threads may hang. Each has one thread.

    Args:
        workers: number of processes; 0: the built-in `map`, in this process.

    Raises:
        ValueError: a worker process died.
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
        raise ValueError("a worker process that read files died (out of memory?); try with fewer workers") from None
    finally:
        executor.shutdown(cancel_futures=True)
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def _map_in_order(executor: ProcessPoolExecutor, max_pending: int, function: Any, items: Sequence[Any]) -> Iterator[Any]:
    pending: list[Any] = []
    for item in items:
        pending.append(executor.submit(function, item))
        if len(pending) >= max_pending:
            yield pending.pop(0).result()
    for future in pending:
        yield future.result()
