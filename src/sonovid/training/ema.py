"""Exponential moving average (EMA) of the trained weights. Validation and export use it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters with `requires_grad`, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


class EMA:
    """Exponential moving average of parameters.

    Args:
        parameters: by name, such as `trainable_parameters(model)`. Frozen parameters need no average.
        decay: in [0, 1). After n steps at most (1 + n) / (10 + n) is used, as in TensorFlow's ExponentialMovingAverage and in
            diffusers.
    """

    def __init__(self, parameters: dict[str, nn.Parameter], decay: float) -> None:
        self.parameters, self.decay, self.steps = parameters, decay, 0
        self.values: dict[str, Tensor] = {name: p.detach().clone() for name, p in parameters.items()}

    @torch.no_grad()
    def step(self) -> None:
        """Update the average after a step of the optimiser."""
        self.steps += 1
        n = self.steps - 1
        share = 1.0 if n == 0 else 1 - min(self.decay, (1 + n) / (10 + n))
        if self.values:
            torch._foreach_lerp_(list(self.values.values()), [p.detach() for p in self.parameters.values()], share)

    @torch.no_grad()
    def load(self, values: dict[str, Tensor], steps: int) -> None:
        """Restore saved averages of the same parameters.

        Args:
            values: averages by name.
            steps: number of updates so far.
        """
        for name, value in self.values.items():
            value.copy_(values[name])
        self.steps = steps

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """A context in which the parameters hold the average. The trained values are restored afterwards."""
        self._swap(self.parameters.values(), self.values.values())
        try:
            yield
        finally:
            self._swap(self.parameters.values(), self.values.values())

    @staticmethod
    @torch.no_grad()
    def _swap(some: Iterable[Tensor], others: Iterable[Tensor]) -> None:
        # One tensor at a time, so that memory never holds a second copy of the whole model.
        for one, other in zip(some, others, strict=True):
            copy = one.detach().clone()
            one.copy_(other)
            other.copy_(copy)
