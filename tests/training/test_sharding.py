"""Sharded training: the losses and weights of one process, kill and resume, other numbers of processes, frozen weights."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_run import Tiny, job
from torch import nn

from sonovid.core.av import AV, Task
from sonovid.core.condition import Condition
from sonovid.diffusion.objective import MultiTaskObjective
from sonovid.diffusion.schedule import RectifiedFlow
from sonovid.models.base import Output
from sonovid.training import checkpoint, logs, sharding
from sonovid.training.loop import train

SCRIPT = Path(__file__).with_name("tiny_run.py")


def run(processes: int, out: Path, *arguments: object) -> subprocess.CompletedProcess:
    """A sharded run whose steps are those of one process with four accumulated batches."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    words = [str(out), "--strategy", "fsdp", "--accumulate", str(4 // processes), *map(str, arguments)]
    return subprocess.run([*launch, str(SCRIPT), *words], env=environment, capture_output=True, text=True, timeout=900)


def assert_close_weights(a: Path, b: Path) -> None:
    ours, theirs = (load_file(folder / "model" / "diffusion_pytorch_model.safetensors") for folder in (a, b))
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """The run of one process."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    train(job(accumulate=4), folder)
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The sharded run of two processes."""
    folder = tmp_path_factory.mktemp("runs") / "two"
    done = run(2, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_two_processes_have_the_losses_and_weights_of_one(one, two):
    assert_close_weights(one, two)
    for a, b in zip(logs.read_log(one / "log.jsonl"), logs.read_log(two / "log.jsonl"), strict=True):
        names = [name for name in a if "loss" in name or name == "grad_norm"]
        assert {name: a[name] for name in names} == pytest.approx({name: b[name] for name in names}, rel=1e-4, nan_ok=True)


def test_each_process_writes_its_shards(two):
    path = two / "checkpoint-000020"
    files = json.loads((path / "state.json").read_text())["files"]
    assert {Path(name).parent.name for name in files} == {"model", "average", "optimizer"}
    assert len([name for name in files if name.startswith("model/shard-0000")]) == 2
    sizes = [file["bytes"] for name, file in files.items() if name.startswith("average/")]
    assert max(sizes) < 1.5 * min(sizes)
    assert checkpoint.find_damage(path) is None
    assert not list(path.rglob("*.distcp")) + list(path.rglob(".metadata")), "a pickle"
    whole, _ = checkpoint.load(path)
    assert {name: tensor.shape for name, tensor in whole["model"].items()} == {
        name: tensor.shape for name, tensor in Tiny().state_dict().items()
    }


def test_a_killed_and_resumed_run_equals_the_uninterrupted_run_bit_for_bit(two, tmp_path):
    # Two calls of the objective a step, and in the main process two more in the validation of step 10.
    killed = run(2, tmp_path / "run", "--kill-in-call", 30)
    assert killed.returncode != 0
    assert checkpoint.find_latest(tmp_path / "run").name == "checkpoint-000010"
    resumed = run(2, tmp_path / "run", "--resume", "latest")
    assert resumed.returncode == 0, resumed.stderr
    for path in sorted((two / "checkpoint-000020").rglob("*.safetensors")):
        ours, theirs = load_file(path), load_file(tmp_path / "run" / path.relative_to(two))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours), path


def test_a_run_continues_on_other_numbers_of_processes_and_without_sharding(one, tmp_path):
    """Four processes up to step 10, then one without sharding up to step 15, then two."""
    assert run(4, tmp_path / "run", "--kill-in-call", 15).returncode != 0
    assert checkpoint.find_latest(tmp_path / "run").name == "checkpoint-000010"
    train(
        job(accumulate=4, checkpoint_every=15, validate_every=100, max_minutes=None),
        tmp_path / "other",
        resume=tmp_path / "run" / "checkpoint-000010",
    )
    last = run(2, tmp_path / "last", "--resume", tmp_path / "other" / "checkpoint-000015")
    assert last.returncode == 0, last.stderr
    assert_close_weights(one, tmp_path / "other")
    assert_close_weights(one, tmp_path / "last")


def test_blocks_are_those_that_the_model_names():
    class Block(nn.Linear):
        pass

    inner = nn.Sequential(Block(1, 1), nn.ModuleDict({"a": nn.Sequential(Block(1, 1))}))
    model = nn.Sequential(inner, nn.Linear(1, 1))
    assert sharding.outer_blocks(model) == []
    inner._no_split_modules = ["Block"]
    assert sharding.outer_blocks(model) == [inner[0], inner[1]["a"][0]]
    model._no_split_modules = ["Sequential"]
    assert sharding.outer_blocks(model) == [inner]


class Recorder(nn.Module):
    """A network that notes its calls: the samples, and whether gradients are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[int, bool]] = []

    def forward(self, x, t, condition=None, previous=None):
        self.calls.append((len(x.video), torch.is_grad_enabled()))
        return Output(x)


@pytest.mark.parametrize("sharded", [False, True])
def test_no_process_skips_the_pass_of_self_conditioning(sharded):
    """Other processes may have drawn it, and gather the same blocks for it."""
    model = Recorder()
    if sharded:
        model.runs_all_blocks = True
    schedule = AV(RectifiedFlow(), RectifiedFlow())
    objective = MultiTaskObjective(schedule=schedule, predict="flow", tasks={Task.JOINT: 1.0}, self_conditioning=1e-12)
    ones = torch.ones(3, dtype=torch.bool)
    batch = {"x0": AV(torch.ones(3, 2, 2, 2, 2), torch.ones(3, 2, 2, 1)), "condition": Condition.empty(AV(ones, ones))}
    objective(model, batch, torch.Generator().manual_seed(0))
    assert model.calls == ([(1, False)] if sharded else []) + [(3, True)]
