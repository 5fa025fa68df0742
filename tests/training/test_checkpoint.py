"""Checkpoints: saving, loading, damage, and what a crash leaves."""

import json

import pytest
import torch
from torch import nn

from sonovid.training import checkpoint


def save(out, step, value=1.0, keep=5):
    return checkpoint.save(out, step, {"model": {"w": torch.full((64,), value)}}, {"minutes": 0.5}, keep=keep)


def test_save_and_load(tmp_path):
    shared = torch.arange(6.0)
    groups = {"model": {"a": shared, "b": shared.view(2, 3), "half": torch.ones(2, dtype=torch.bfloat16)}, "empty": {}}
    path = checkpoint.save(tmp_path, 7, groups, {"minutes": 1.25, "names": ["x"]})
    tensors, state = checkpoint.load(path)
    assert torch.equal(tensors["model"]["b"], shared.view(2, 3))
    assert tensors["model"]["half"].dtype == torch.bfloat16
    assert tensors["empty"] == {}
    assert (state["step"], state["minutes"], state["names"]) == (7, 1.25, ["x"])


def test_only_the_last_checkpoints_are_kept_and_no_temporary_files_remain(tmp_path):
    for step in (5, 10, 100):
        save(tmp_path, step, keep=2)
    assert [path.name for path in checkpoint.list_checkpoints(tmp_path)] == ["checkpoint-000010", "checkpoint-000100"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-000010", "checkpoint-000100"]


@pytest.mark.parametrize("harm", ["cut", "flip", "missing", "state", "half"])
def test_find_latest_skips_damaged_checkpoints(tmp_path, harm, caplog):
    good, bad = save(tmp_path, 5), save(tmp_path, 10)
    weights = bad / "model.safetensors"
    if harm == "cut":
        weights.write_bytes(weights.read_bytes()[:-10])
    elif harm == "flip":
        raw = bytearray(weights.read_bytes())
        raw[-3] ^= 1
        weights.write_bytes(bytes(raw))
    elif harm == "missing":
        weights.unlink()
    elif harm == "state":
        (bad / "state.json").write_text("{")
    else:
        bad.rename(tmp_path / "checkpoint-000010.tmp")
    assert checkpoint.find_latest(tmp_path) == good
    if harm != "half":
        assert "skipping" in caplog.text
        with pytest.raises(ValueError, match="is a damaged checkpoint"):
            checkpoint.load(bad)


def test_find_latest_without_checkpoints(tmp_path):
    assert checkpoint.find_latest(tmp_path / "nowhere") is None


def test_a_restored_optimizer_continues_exactly(tmp_path):
    def made(seed):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
        groups = [
            {"params": [p for p in model.parameters() if p.ndim > 1]},
            {"params": [p for p in model.parameters() if p.ndim == 1]},
        ]
        return model, torch.optim.AdamW(groups, lr=0.1, betas=(0.8, 0.9))

    def step(model, optimizer, seed):
        model(torch.randn(5, 3, generator=torch.Generator().manual_seed(seed))).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    model, optimizer = made(0)
    step(model, optimizer, 1)
    tensors, rest = checkpoint.flatten_optimizer(optimizer)
    path = checkpoint.save(tmp_path, 1, {"model": model.state_dict(), "optimizer": tensors}, {"optimizer": rest})
    other, later = made(9)
    tensors, state = checkpoint.load(path)
    other.load_state_dict(tensors["model"])
    checkpoint.restore_optimizer(later, tensors["optimizer"], json.loads(json.dumps(state["optimizer"])))
    for seed in (2, 3):
        step(model, optimizer, seed)
        step(other, later, seed)
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)
