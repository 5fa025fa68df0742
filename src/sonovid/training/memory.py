"""Memory of a training step, counted without running it: storages are followed on fake tensors of the real shapes."""

import weakref
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sonovid.training.config import TrainingConfig
from sonovid.training.ema import trainable_parameters
from sonovid.training.gradient_checkpointing import enable_gradient_checkpointing
from sonovid.training.sharding import outer_blocks

GIB = 2**30


class StorageTracker(TorchDispatchMode):
    """Counts the bytes of all storages that are created while it is active. `now` and `peak` are its results.

    Args:
        known: tensors whose storages are not counted.
    """

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.keys = {tensor.untyped_storage()._cdata for tensor in known}

    def _release(self, key: int, size: int) -> None:
        self.now -= size
        self.keys.discard(key)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in tree_leaves(out):
            if not isinstance(value, Tensor):
                continue
            storage = value.untyped_storage()
            if storage._cdata not in self.keys:
                self.keys.add(storage._cdata)
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._release, storage._cdata, storage.nbytes())
        return out


@dataclass(frozen=True)
class StepMemory:
    """Bytes that a training step needs.

    Attributes:
        parameters: parameters and buffers, frozen ones included.
        gradients: gradients of the trained parameters.
        optimizer: both moments of AdamW.
        average: EMA weights.
        kept: what the forward pass keeps for the backward pass, copies of the weights in half precision included.
        peak: the most that the forward and backward passes hold at a time, beside all others but `kept`.
    """

    parameters: int
    gradients: int
    optimizer: int
    average: int
    kept: int
    peak: int

    @property
    def total(self) -> int:
        """Bytes in all at the peak."""
        return self.parameters + self.gradients + self.optimizer + self.average + self.peak


def measure_step(
    build: Callable[[], nn.Module], loss: Callable[[nn.Module], Tensor], config: TrainingConfig, *, fake: bool = True
) -> StepMemory:
    """Count the memory of a training step: AdamW and EMA, single-precision weights, the config's precision and checkpointing.

    The gradients are there before the step, as where passes are accumulated. The operators are those of the CPU; a GPU's may
    keep a little more or less.

    Args:
        build: builds the network. Parameters that are not trained have `requires_grad` off.
        loss: computes the scalar loss of one forward pass from inputs that it creates.
        config: its precision, gradient checkpointing and averaging count. The batch is that of `loss`.
        fake: whether tensors have no values. With values, the step is computed.
    """
    with FakeTensorMode() if fake else nullcontext():
        model = build().train()
        if config.gradient_checkpointing:
            enable_gradient_checkpointing(model)
        trained = list(trainable_parameters(model).values())
        for parameter in trained:
            parameter.grad = torch.zeros_like(parameter)
        fixed = [*model.parameters(), *model.buffers()]
        known = [*fixed, *(parameter.grad for parameter in trained if parameter.grad is not None)]
        with StorageTracker(known) as tracker:
            with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16"):
                value = loss(model)
            kept = tracker.now
            value.backward()
        gradients = sum(parameter.nbytes for parameter in trained)
        average = gradients if config.average else 0
        return StepMemory(sum(one.nbytes for one in fixed), gradients, 2 * gradients, average, kept, tracker.peak)


def sharded_total(memory: StepMemory, model: nn.Module, config: TrainingConfig, processes: int) -> int:
    """Bytes of one process at the peak with strategy=fsdp (`training.sharding`), an upper bound.

    Beside its share of weights, gradients, optimiser state and averages, a process holds what is gathered: weights and gradients
    outside of blocks, the weights of two blocks, one of them in advance, and the gradients of one.

    Args:
        memory: of one process without sharding, for its own batch.
        model: the model; it may be on the meta device.
        config: its precision counts.
        processes: number of processes.
    """
    if processes == 1:
        return memory.total
    sizes = [sum(p.numel() for p in block.parameters()) for block in outer_blocks(model)]
    outside = sum(p.numel() for p in model.parameters()) - sum(sizes)
    gathered = (2 if config.precision == "bf16" else 4) * (2 * outside + 3 * max(sizes, default=0))
    return (memory.total - memory.peak) // processes + gathered + memory.peak
