"""Averaged weights: an exponential moving average of what is trained, by which a model is validated and exported."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that ask for gradients, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


class EMA:
    """The averaged values of some parameters; frozen ones are never given to it and so cost nothing.

    Args:
        parameters: by name, such as `trained(model)`.
        decay: the share of the old average that stays at each step, in [0, 1). Early steps keep less: (1 + n) / (10 + n) after
            n steps, as in TensorFlow's ExponentialMovingAverage and in diffusers.
    """

    def __init__(self, parameters: dict[str, nn.Parameter], decay: float) -> None:
        self.parameters, self.decay, self.steps = parameters, decay, 0
        self.values: dict[str, Tensor] = {name: p.detach().clone() for name, p in parameters.items()}

    @torch.no_grad()
    def step(self) -> None:
        """Take in the parameters after one step of the optimiser."""
        self.steps += 1
        n = self.steps - 1
        share = 1.0 if n == 0 else 1 - min(self.decay, (1 + n) / (10 + n))
        if self.values:
            torch._foreach_lerp_(list(self.values.values()), [p.detach() for p in self.parameters.values()], share)

    @torch.no_grad()
    def load(self, values: dict[str, Tensor], steps: int) -> None:
        """Continue from saved values, which must be of the same parameters."""
        for name, value in self.values.items():
            value.copy_(values[name])
        self.steps = steps

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within the block the parameters hold the average; the trained values come back afterwards."""
        self._swap(self.parameters.values(), self.values.values())
        try:
            yield
        finally:
            self._swap(self.parameters.values(), self.values.values())

    @staticmethod
    @torch.no_grad()
    def _swap(some: Iterable[Tensor], others: Iterable[Tensor]) -> None:
        # One tensor at a time: no second copy of the whole model is ever held.
        for one, other in zip(some, others, strict=True):
            kept = one.detach().clone()
            one.copy_(other)
            other.copy_(kept)
