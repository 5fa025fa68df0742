import json

import pytest
import torch
from torch import nn

from sonovid.training import checkpoint
from sonovid.training.config import TrainingConfig
from sonovid.training.optimizers import BatchedMuon, MuonWithAdamW, build_optimizer, orthogonalize


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.blocks = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
        self.last = nn.Linear(8, 3)

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = x + torch.tanh(block(x))
        return self.last(x)


def made(kind):
    torch.manual_seed(0)
    network = Network()
    settings = TrainingConfig(optimizer=kind, learning_rate=1e-2, weight_decay=0.0)
    return network, build_optimizer(network, settings.learning_rate, settings, torch.device("cpu"))


def steps(network, opt, count, first=0):
    for i in range(first, first + count):
        generator = torch.Generator().manual_seed(i)
        x = torch.randn(16, 6, generator=generator)
        loss = (network(x) - x[:, :3] ** 2).square().mean()
        loss.backward()
        opt.step()
        opt.zero_grad()
    return float(loss.detach())


def test_muon_gets_only_the_matrices_inside_blocks():
    network, opt = made("muon")
    assert isinstance(opt, MuonWithAdamW)
    assert {id(p) for p in opt.muon.param_groups[0]["params"]} == {id(b.weight) for b in network.blocks}
    covered = [id(p) for group in opt.param_groups for p in group["params"]]
    assert sorted(covered) == sorted(id(p) for p in network.parameters())


def test_a_step_of_muon_equalises_singular_values():
    """The update is the gradient with singular values near one; the gradient itself has nearly rank one here."""

    def spread(kind):
        network, opt = made(kind)
        before = network.blocks[0].weight.detach().clone()
        x = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))
        (network(x) - x[:, :3] ** 2).square().mean().backward()
        gradient = torch.linalg.svdvals(network.blocks[0].weight.grad)
        opt.step()
        moved = torch.linalg.svdvals(network.blocks[0].weight.detach() - before)
        return moved[3] / moved[0], gradient[3] / gradient[0]

    moved, gradient = spread("muon")
    assert gradient < 0.4 < 0.6 < moved


def test_both_optimizers_learn():
    for kind in ("adamw", "muon"):
        network, opt = made(kind)
        first = steps(network, opt, 1)
        assert steps(network, opt, 60, 1) < 0.5 * first


def test_a_restored_muon_continues_exactly():
    network, opt = made("muon")
    steps(network, opt, 3)
    tensors, rest = checkpoint.flatten_optimizer(opt)
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    tensors = {name: value.clone() for name, value in tensors.items()}
    steps(network, opt, 3, 3)
    other, resumed = made("muon")
    other.load_state_dict(weights)
    # As a checkpoint file holds it.
    checkpoint.restore_optimizer(resumed, tensors, json.loads(json.dumps(rest)))
    steps(other, resumed, 3, 3)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 4, 3, padding=1))
        self.chain = nn.Sequential(nn.Conv2d(2, 4, 1), nn.ModuleDict({"inner": block})["inner"], nn.Conv2d(4, 1, 1))

    def forward(self, x):
        return self.chain(x)


def test_muon_updates_kernels_inside_blocks():
    torch.manual_seed(0)
    network = Convolutions()
    opt = build_optimizer(network, 1e-2, TrainingConfig(optimizer="muon_kernels", weight_decay=0.0), torch.device("cpu"))
    inner = [network.chain[1][0].weight, network.chain[1][2].weight]
    assert [p for p, _ in opt.kernels] == inner
    before = [p.detach().clone() for p in network.parameters()]
    for _ in range(2):
        loss = network(torch.randn(3, 2, 5, 5)).square().mean()
        loss.backward()
        opt.step()
        opt.zero_grad()
        assert all(p.grad is None for p in network.parameters())
    assert all(not torch.equal(p, old) for p, old in zip(network.parameters(), before, strict=True))
    # Muon's own step on the flattened kernel, from the same gradient.
    alone, moved = before[2].flatten(1).clone().requires_grad_(), inner[0]
    torch.manual_seed(0)
    again = Convolutions()
    loss = again(torch.randn(3, 2, 5, 5, generator=torch.Generator().manual_seed(1))).square().mean()
    loss.backward()
    alone.grad = again.chain[1][0].weight.grad.flatten(1)
    torch.optim.Muon([alone], lr=2.5e-2, weight_decay=0.0, adjust_lr_fn="match_rms_adamw").step()
    fresh = build_optimizer(again, 1e-2, TrainingConfig(optimizer="muon_kernels", weight_decay=0.0), torch.device("cpu"))
    fresh.step()
    torch.testing.assert_close(again.chain[1][0].weight.flatten(1), alone)
    assert moved.shape == (4, 4, 3, 3)


def test_muon_moves_kernels_alike_whatever_their_memory_format():
    results = []
    for memory in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        network = Convolutions().to(memory_format=memory)
        opt = build_optimizer(network, 1e-2, TrainingConfig(optimizer="muon_kernels"), torch.device("cpu"))
        generator = torch.Generator().manual_seed(1)
        for _ in range(3):
            # The same gradients: those of convolutions round differently, and bfloat16 enlarges that.
            for p in network.parameters():
                grad = torch.randn(p.shape, generator=generator)
                p.grad = grad.contiguous(memory_format=memory) if p.ndim == 4 else grad
            opt.step()
            opt.zero_grad()
        momentum = [state["momentum_buffer"] for state in opt.state.values() if "momentum_buffer" in state]
        results.append([*network.parameters(), *momentum])
    for usual, other in zip(*results, strict=True):
        torch.testing.assert_close(other, usual, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_batched_muon_is_torch_s_muon(decay):
    """Matrices of several shapes, tall, wide and single; one of them without a gradient at first."""
    torch.manual_seed(0)
    shapes = [(6, 9), (6, 9), (9, 6), (9, 6), (9, 6), (5, 5), (3, 8)]
    initial = [torch.randn(shape) for shape in shapes]
    options = {"lr": 0.02, "weight_decay": decay, "adjust_lr_fn": "match_rms_adamw"}
    runs = []
    for kind in (torch.optim.Muon, BatchedMuon):
        params = [torch.nn.Parameter(w.clone()) for w in initial]
        optimizer = kind(params, **options)
        generator = torch.Generator().manual_seed(1)
        for step in range(4):
            for number, p in enumerate(params):
                grad = torch.randn(p.shape, generator=generator)
                p.grad = None if number == 3 and step == 0 else grad
            optimizer.step()
        runs.append((params, [optimizer.state[p]["momentum_buffer"] for p in params]))
    for one, other in zip(*runs, strict=True):
        for a, b in zip(one, other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_orthogonalized_matrices_have_singular_values_near_one():
    found = orthogonalize(torch.randn(3, 12, 20), (3.4445, -4.7750, 2.0315), 5, 1e-7)
    values = torch.linalg.svdvals(found.float())
    assert values.min() > 0.5
    assert values.max() < 1.3
