"""The processes of one distributed run: barriers, and agreement on small values.

These use a gloo group of their own, with a long timeout: one process may compute statistics, validate or write a large model for
longer than the ten minutes after which NCCL times out. Gloo also does not make the CPU wait for the GPU.
"""

from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from torch import distributed

Value = TypeVar("Value")
TIMEOUT = timedelta(days=7)


class ProcessGroup:
    """The process group of a run. All processes must call its methods in the same order.

    Attributes:
        size: number of processes.
        rank: index of this process.
        gloo: the gloo group; None with a single process.
    """

    def __init__(self) -> None:
        self._state = PartialState(cpu=not torch.cuda.is_available())
        self.size: int = self._state.num_processes
        self.rank: int = self._state.process_index
        self.gloo: Any = distributed.new_group(backend="gloo", timeout=TIMEOUT) if self.size > 1 else None

    @staticmethod
    @cache
    def current() -> "ProcessGroup":
        """The group of this process, created at the first call."""
        return ProcessGroup()

    @property
    def is_main(self) -> bool:
        """Whether this is the main process, which writes files and logs."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait until all processes have called this."""
        if self.size > 1:
            distributed.barrier(self.gloo)

    def broadcast(self, value: Value) -> Value:
        """The value of the main process."""
        if self.size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, 0, self.gloo)
        return values[0]

    def gather(self, value: Value) -> list[Value]:
        """The values of all processes, in the order of their ranks."""
        values: list[Any] = [value] * self.size
        if self.size > 1:
            distributed.all_gather_object(values, value, self.gloo)
        return values

    def max(self, value: float) -> float:
        """The maximum over all processes."""
        if self.size == 1:
            return value
        tensor = torch.tensor([value], dtype=torch.float64)
        distributed.all_reduce(tensor, distributed.ReduceOp.MAX, self.gloo)
        return float(tensor)
