"""One training step: gradient accumulation, the optimiser, the EMA weights, and the adversary if there is one."""

import math
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from sonovid.training import sharding
from sonovid.training.batches import to_device
from sonovid.training.run import TrainingRun
from sonovid.training.seeding import derive_seed, seed_global_state


def train_step(run: TrainingRun, batches: Iterator[tuple[Any, int]], rate: float) -> Tensor:
    """Do one optimiser step. The losses are added to `run.meter`.

    Args:
        run: the training run; its step count is not changed.
        batches: (batch, slot) of the micro-batches.
        rate: factor of the learning rates, see `learning_rate`.

    Returns:
        The gradient norm of the model before clipping.
    """
    config, accelerator = run.config, run.accelerator
    discriminator_inputs = []
    for turn in range(config.accumulate):
        batch, slot = next(batches)
        generator = torch.Generator(run.device).manual_seed(derive_seed(config.seed, "noise", run.step, slot))
        # Dropout draws from the global state.
        seed_global_state(generator)
        if run.adversary is not None:
            run.adversary.requires_grad_(False)
        with accelerator.no_sync(run.objective_module) if turn + 1 < config.accumulate else nullcontext():
            output = run.compute_losses(to_device(batch, run.device), generator)
            accelerator.backward(output.loss / config.accumulate)
        run.meter.add(output.losses, output.times)
        discriminator_inputs.append(output.discriminator_input)
    grad_norm = _update(run, run.objective_module, run.optimizer, rate * config.learning_rate)
    run.ema.step()
    if run.adversary is not None:
        _train_adversary(run, discriminator_inputs, rate)
    return grad_norm


def _train_adversary(run: TrainingRun, inputs: list[Any], rate: float) -> None:
    """Do one optimiser step of the adversary on the outputs of the model's step."""
    assert run.adversary is not None
    run.adversary.requires_grad_(True)
    for one in inputs:
        loss, losses = run.adversary_module(one)
        run.accelerator.backward(loss / run.config.accumulate)
        run.meter.add({f"adversary_{name}": value for name, value in losses.items()}, None)
    _update(run, run.adversary_module, run.adversary_optimizer, rate * run.config.adversary_learning_rate)


def _update(run: TrainingRun, module: nn.Module, optimizer: torch.optim.Optimizer, rate: float) -> Tensor:
    """Clip the gradients, step the optimiser, and return the gradient norm before clipping."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)
    norm = sharding.whole(torch.nn.utils.clip_grad_norm_(module.parameters(), run.config.clip or math.inf))
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm
