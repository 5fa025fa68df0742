"""Start Ray on this machine, or join a running cluster, for the duration of a block."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def open_ray(missing: type[ValueError] = ValueError) -> Iterator[Any]:
    """Ray, started on this machine or joined at RAY_ADDRESS, without progress bars and dashboard.

    Ray is shut down at the end of the block if it was started here.

    Args:
        missing: the type of the error where Ray is not installed.

    Raises:
        ValueError: Ray is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError:
        raise missing("Ray is not installed: pip install 'sonovid[ray]'") from None
    own = not ray.is_initialized()
    # Errors are raised, or counted by the caller.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # Ray replaces the handler of SIGTERM, from the main thread, and does not restore it.
    handler = signal.getsignal(signal.SIGTERM) if threading.current_thread() is threading.main_thread() else None
    if own:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    context = ray.data.DataContext.get_current()
    bars, context.enable_progress_bars = context.enable_progress_bars, False
    try:
        yield ray
    finally:
        context.enable_progress_bars = bars
        if own:
            ray.shutdown()
            if handler is not None:
                signal.signal(signal.SIGTERM, handler)
