"""The processes of one distributed run: waiting for each other, and agreeing on small values.

Both go through a gloo group of their own. Its time-out is long, since one process may compute statistics, validate or write a
large model for longer than the ten minutes after which NCCL gives up; and it never makes the CPU wait for the GPU.
"""

from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from torch import distributed

Value = TypeVar("Value")
PATIENCE = timedelta(days=7)


class World:
    """This process among those of its run. Every method but the properties is called by all of them, in the same order."""

    def __init__(self) -> None:
        self._state = PartialState(cpu=not torch.cuda.is_available())
        self.count: int = self._state.num_processes
        self.index: int = self._state.process_index
        self._group: Any = distributed.new_group(backend="gloo", timeout=PATIENCE) if self.count > 1 else None

    @staticmethod
    @cache
    def of_this_run() -> "Ranks":
        """The one of this process."""
        return World()

    @property
    def main(self) -> bool:
        """Whether this process writes what is written once."""
        return self.index == 0

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self.count > 1:
            distributed.barrier(self._group)

    def told(self, value: Value) -> Value:
        """The value that the main process gave."""
        if self.count == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, 0, self._group)
        return values[0]

    def most(self, value: float) -> float:
        """The greatest of all processes' values."""
        if self.count == 1:
            return value
        held = torch.tensor([value], dtype=torch.float64)
        distributed.all_reduce(held, distributed.ReduceOp.MAX, self._group)
        return float(held)
