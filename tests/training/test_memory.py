"""Memory of a training step, counted on fake tensors: against a count by hand, and against tensors with values."""

import pytest
import torch
from torch import nn

from sonovid.training.config import TrainingConfig
from sonovid.training.memory import measure_step


def block():
    return nn.Sequential(nn.Linear(64, 64, bias=False), nn.Tanh(), nn.Linear(64, 64, bias=False), nn.Tanh())


class Network(nn.Module):
    """Two linear layers of which the first is frozen where asked, and blocks for gradient checkpointing."""

    def __init__(self, frozen: bool = False, blocks: int = 0) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(32, 64, bias=False), nn.Linear(64, 8, bias=False)
        self.blocks = nn.ModuleList(block() for _ in range(blocks))
        self.first.requires_grad_(not frozen)

    def forward(self, x):
        x = self.first(x).tanh()
        for block in self.blocks:
            x = block(x)
        return self.last(x)


def loss(model):
    return model(torch.zeros(16, 32)).square().mean()


def test_a_small_network_counted_by_hand():
    counted = measure_step(Network, loss, TrainingConfig(average=0.9))
    weights = 4 * (32 * 64 + 64 * 8)
    assert (counted.parameters, counted.gradients, counted.optimizer, counted.average) == (weights, weights, 2 * weights, weights)
    # The input, the output of tanh, that of the last layer, and the loss.
    assert counted.kept == 4 * (16 * 32 + 16 * 64 + 16 * 8 + 1)
    assert counted.peak > counted.kept
    assert counted.total == 5 * weights + counted.peak


def test_frozen_weights_have_no_gradient_and_no_average_is_none():
    counted = measure_step(lambda: Network(frozen=True), loss, TrainingConfig(average=0.0))
    assert (counted.parameters, counted.gradients, counted.average) == (4 * (32 * 64 + 64 * 8), 4 * 64 * 8, 0)


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_fake_tensors_take_as_much_as_tensors_with_values(precision, checkpointing):
    config = TrainingConfig(precision=precision, gradient_checkpointing=checkpointing)
    counted, real = (measure_step(lambda: Network(blocks=4), loss, config, fake=fake) for fake in (True, False))
    assert counted.kept == pytest.approx(real.kept, rel=0.01)
    assert counted.peak == pytest.approx(real.peak, rel=0.01)


def test_gradient_checkpointing_keeps_less():
    kept = [measure_step(lambda: Network(blocks=4), loss, TrainingConfig(gradient_checkpointing=on)).kept for on in (False, True)]
    assert kept[1] < 0.7 * kept[0]
