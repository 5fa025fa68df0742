"""What the loop is given: a model, its objective, its data, and what is asked of them."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from sonovid.training.config import TrainingConfig


@dataclass(frozen=True)
class Job:
    """What is trained, on what, and what is asked of it.

    objective: (model, batch, generator) to an object with `losses`, named tensors [b] of one value per sample, NaN where there is
    none, and, where there are such, `times`, the pair of noise times, and `made`, what an adversary judges.
    batch: (indices of samples) to a batch of tensors on the CPU; called from threads, it depends on nothing but the indices.
    validation: the same for the held-out samples.
    weights: of the losses in their sum; those not named weigh 1.
    adversary: a network with an optimiser of its own, fed by `objective.discriminate(adversary, made)`, which returns losses [b].
    pairs: (model, batch, generator) to the losses of `true` and of `shuffled` pairs at equal times and noises.
    sample: (averaged model, folder, step): leaves validation samples.
    export: (averaged model, folder): what `out/model` is to hold.
    recipe: plain values, written beside the weights.
    """

    model: nn.Module
    objective: Callable[..., Any]
    batch: Callable[[Sequence[int]], Any]
    size: int
    validation: Callable[[Sequence[int]], Any] | None = None
    validation_size: int = 0
    settings: TrainingConfig = field(default_factory=TrainingConfig)
    weights: dict[str, float] = field(default_factory=dict)
    adversary: nn.Module | None = None
    pairs: Callable[..., Any] | None = None
    sample: Callable[[nn.Module, Path, int], None] | None = None
    export: Callable[[nn.Module, Path], None] | None = None
    recipe: dict[str, Any] = field(default_factory=dict)


def derive_seed(*keys: int | str) -> int:
    """A seed of 63 bits from anything that counts: the same keys, the same seed, on every machine."""
    return int.from_bytes(hashlib.blake2b(repr(keys).encode(), digest_size=8).digest(), "little") >> 1
