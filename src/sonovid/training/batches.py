"""Training batches: the order of the samples, batches prepared ahead in threads, and their transfer to the device."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from sonovid.training.seeding import derive_seed


class SampleOrder:
    """The order of the training samples: one random permutation per epoch, drawn from (seed, epoch).

    Args:
        size: number of samples.
        seed: of the permutations.
    """

    def __init__(self, size: int, seed: int) -> None:
        if size < 1:
            raise ValueError("training data: got no clips; expected at least one")
        self.size, self.seed = size, seed
        self._epochs: dict[int, Tensor] = {}

    def __call__(self, first: int, count: int) -> list[int]:
        """Indices of the samples at the positions first ... first + count - 1, counted from the start of the training."""
        return [int(self._epoch(position // self.size)[position % self.size]) for position in range(first, first + count)]

    def _epoch(self, epoch: int) -> Tensor:
        if epoch not in self._epochs:
            self._epochs = {e: p for e, p in self._epochs.items() if e >= epoch - 1}
            generator = torch.Generator().manual_seed(derive_seed(self.seed, "order", epoch))
            self._epochs[epoch] = torch.randperm(self.size, generator=generator)
        return self._epochs[epoch]


@dataclass(frozen=True)
class MicroBatch:
    """The samples of one process in one forward pass.

    Args:
        indices: of the samples.
        slot: number of the micro-batch within its step, over all processes. Its noise is drawn for (seed, step, slot).
    """

    indices: list[int]
    slot: int


@contextmanager
def prefetch(
    load: Callable[[list[int]], Any], micro_batches: Iterator[MicroBatch], threads: int
) -> Iterator[Iterator[tuple[Any, int]]]:
    """Load batches in order, the next few of them ahead in threads.

    Args:
        load: (indices) to a batch.
        micro_batches: what is loaded.
        threads: number of threads; as many batches are prepared ahead.

    Yields:
        An iterator over (batch, slot).
    """
    with ThreadPoolExecutor(threads) as pool:

        def submitted() -> Iterator[tuple[Future, int]]:
            for one in micro_batches:
                yield pool.submit(load, one.indices), one.slot

        def batches() -> Iterator[tuple[Any, int]]:
            pending = submitted()
            queue = deque(islice(pending, threads + 1))
            while queue:
                future, slot = queue.popleft()
                queue.extend(islice(pending, 1))
                yield future.result(), slot

        yield batches()


def to_device(value: Any, device: torch.device) -> Any:
    """Move every tensor in nested mappings, sequences and dataclasses to a device, to a GPU through pinned memory."""
    if isinstance(value, Tensor):
        pinned = value.pin_memory() if device.type == "cuda" and value.device.type == "cpu" else value
        return pinned.to(device, non_blocking=True)
    if isinstance(value, Mapping):
        return {key: to_device(v, device) for key, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(to_device(v, device) for v in value))
    if isinstance(value, tuple | list):
        return type(value)(to_device(v, device) for v in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: to_device(getattr(value, f.name), device) for f in fields(value)})
    return value
