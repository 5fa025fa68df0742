"""The ordered parallel map."""

import math
import os

import pytest

from sonovid.core.processes import THREADS, process_pool


def test_order_does_not_depend_on_the_number_of_processes():
    items = list(range(20))
    for workers in (0, 2):
        with process_pool(workers) as run:
            assert list(run(math.factorial, items)) == [math.factorial(i) for i in items]


def test_workers_have_one_thread_and_this_process_keeps_its_own():
    before = [os.environ.get(name) for name in THREADS]
    with process_pool(1) as run:
        assert list(run(os.getenv, THREADS)) == ["1"] * len(THREADS)
    assert [os.environ.get(name) for name in THREADS] == before


def test_a_dead_worker_is_a_one_line_error():
    with pytest.raises(ValueError, match="worker process"), process_pool(1) as run:
        list(run(os._exit, [3]))
