"""The input of the training loop: a model, its objective, its data and its config."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from sonovid.training.config import TrainingConfig


@dataclass(frozen=True)
class Job:
    """One training.

    Args:
        model: the network that is trained.
        objective: (model, batch, generator) to an object with `losses`, named tensors [b] with one value per sample, NaN where a
            sample has no such loss; optionally `times`, the pair of noise times, and `discriminator_input`.
        batch: (indices of samples) to a batch of CPU tensors. Called from threads; it must depend on the indices alone.
        size: number of training samples.
        validation: `batch` of the held-out samples.
        validation_size: number of held-out samples.
        config: how the model is trained.
        weights: weight of each loss in their sum; 1 for names that are missing.
        adversary: a discriminator with an optimiser of its own. It is trained on the losses [b] that
            `objective.discriminate(adversary, discriminator_input)` returns.
        compare_pairs: (model, batch, generator) to the losses of `true` and `shuffled` pairs at equal times and noise.
        sample: (model with averaged weights, folder, step): writes validation samples.
        export: (model with averaged weights, folder): fills the folder of the exported model. None: `save_pretrained`.
        recipe: plain values that are written beside the weights.
    """

    model: nn.Module
    objective: Callable[..., Any]
    batch: Callable[[Sequence[int]], Any]
    size: int
    validation: Callable[[Sequence[int]], Any] | None = None
    validation_size: int = 0
    config: TrainingConfig = field(default_factory=TrainingConfig)
    weights: dict[str, float] = field(default_factory=dict)
    adversary: nn.Module | None = None
    compare_pairs: Callable[..., Any] | None = None
    sample: Callable[[nn.Module, Path, int], None] | None = None
    export: Callable[[nn.Module, Path], None] | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
