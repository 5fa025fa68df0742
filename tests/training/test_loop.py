"""The training loop: exact resumption after a kill, several processes, configs and errors."""

import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_run import Tiny, job
from torch import nn

from sonovid.core import atomic
from sonovid.training import checkpoint, logs
from sonovid.training.batches import SampleOrder
from sonovid.training.config import TrainingConfig
from sonovid.training.loop import train
from sonovid.training.optimizers import learning_rate
from sonovid.training.preemption import Preempted
from sonovid.training.run import resolve_accumulation
from sonovid.training.seeding import derive_seed

SCRIPT = Path(__file__).with_name("tiny_run.py")


LAUNCHERS = {
    "torchrun": ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"],
    # On a CPU too: without --multi_gpu, Accelerate starts one process there.
    "accelerate": [
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
        "--main_process_port",
        "0",
    ],
}


def run(*arguments: object, launcher: str | None = None) -> subprocess.CompletedProcess:
    launch = [sys.executable] if launcher is None else [sys.executable, "-m", *LAUNCHERS[launcher]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [*launch, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)


def read_log_without_times(out: Path) -> list[dict]:
    """The log without values that depend on the clock."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("clips_per_second", "minutes")} for line in lines]


def assert_equal_weights(a: Path, b: Path) -> None:
    for path in sorted(a.glob("*.safetensors")):
        ours, theirs = load_file(path), load_file(b / path.name)
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert torch.equal(ours[name], theirs[name]), f"{path.name}: {name}"


def test_a_killed_and_resumed_run_equals_the_uninterrupted_run_bit_for_bit(tmp_path):
    train(job(accumulate=2), tmp_path / "whole")
    # Two calls of the objective a step, and two more in the validation of step 10: this is the second batch of step 14.
    killed = run(tmp_path / "killed", "--accumulate", 2, "--kill-in-call", 30)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert checkpoint.find_latest(tmp_path / "killed").name == "checkpoint-000010"
    resumed = run(tmp_path / "killed", "--accumulate", 2, "--resume", "latest")
    assert resumed.returncode == 0, resumed.stderr
    assert_equal_weights(tmp_path / "whole" / "checkpoint-000020", tmp_path / "killed" / "checkpoint-000020")
    assert_equal_weights(tmp_path / "whole" / "model", tmp_path / "killed" / "model")
    assert read_log_without_times(tmp_path / "whole") == read_log_without_times(tmp_path / "killed")


@pytest.mark.parametrize("launcher", sorted(LAUNCHERS))
def test_two_processes_equal_one_process_with_two_accumulated_batches(launcher, tmp_path):
    train(job(accumulate=2), tmp_path / "one")
    two = run(tmp_path / "two", launcher=launcher)
    assert two.returncode == 0, two.stderr
    ours, theirs = (load_file(tmp_path / name / "checkpoint-000020" / "model.safetensors") for name in ("one", "two"))
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-5)
    for a, b in zip(logs.read_log(tmp_path / "one" / "log.jsonl"), logs.read_log(tmp_path / "two" / "log.jsonl"), strict=True):
        assert a["loss/audio"] == pytest.approx(b["loss/audio"], rel=1e-4)


def test_sigterm_writes_a_checkpoint_and_the_resumed_run_is_exact(tmp_path):
    train(job(accumulate=2), tmp_path / "whole")
    # Call 27 is the first of step 13: two calls a step, and two in the validation of step 10. The signal comes to this process.
    with pytest.raises(Preempted, match="stopped by SIGTERM after step 13 of 20; checkpoint-000013 is written") as raised:
        train(job(27, accumulate=2, by=signal.SIGTERM), tmp_path / "stopped")
    assert raised.value.exit_code == 75
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert checkpoint.find_latest(tmp_path / "stopped").name == "checkpoint-000013"
    train(job(accumulate=2), tmp_path / "stopped", resume="latest")
    assert_equal_weights(tmp_path / "whole" / "checkpoint-000020", tmp_path / "stopped" / "checkpoint-000020")
    assert_equal_weights(tmp_path / "whole" / "model", tmp_path / "stopped" / "model")


def read_all_files(folder: Path) -> dict[str, bytes]:
    """All files of a run that resuming could change, with their bytes."""
    kept = [path for path in folder.rglob("*") if path.is_file() and ".lock" not in path.name and "tensorboard" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


def test_resuming_an_older_checkpoint_raises_if_newer_ones_would_be_lost(tmp_path):
    train(job(), tmp_path / "run")
    train(job(steps=5), tmp_path / "other")
    before = read_all_files(tmp_path / "run")
    with pytest.raises(ValueError, match=r"already contains checkpoint-000020, which is newer and would be.*out=ANOTHER_FOLDER"):
        train(job(steps=25), tmp_path / "run", resume=tmp_path / "run" / "checkpoint-000010")
    with pytest.raises(ValueError, match="of another run"):
        train(job(), tmp_path / "other", resume=tmp_path / "run" / "checkpoint-000010")
    assert read_all_files(tmp_path / "run") == before


def test_a_branch_is_continued_by_the_same_command(tmp_path, caplog):
    train(job(decay="constant"), tmp_path / "run")
    before, start = read_all_files(tmp_path / "run"), tmp_path / "run" / "checkpoint-000010"
    train(job(steps=15, decay="constant"), tmp_path / "branch", resume=start)
    assert [path.name for path in checkpoint.list_checkpoints(tmp_path / "branch")] == ["checkpoint-000015"]
    # As a requeued job does: the assert_equal_weights words again.
    with caplog.at_level("INFO"):
        train(job(decay="constant"), tmp_path / "branch", resume=start)
    assert "continues from checkpoint-000015" in caplog.text
    assert_equal_weights(tmp_path / "run" / "checkpoint-000020", tmp_path / "branch" / "checkpoint-000020")
    assert read_all_files(tmp_path / "run") == before


def test_milestones_are_written_and_kept(tmp_path):
    train(job(steps=12, checkpoint_every=4, keep=1, milestones=(3, 8)), tmp_path)
    assert [path.name for path in checkpoint.list_checkpoints(tmp_path)] == [
        "checkpoint-000003",
        "checkpoint-000008",
        "checkpoint-000012",
    ]


def test_a_second_training_in_a_folder_raises_and_the_lock_ends_with_its_process(tmp_path):
    # Slow enough to be met: the first is stopped in its second call of the objective and continued afterwards.
    first = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(tmp_path), "--kill-in-call", "2", "--by", str(int(signal.SIGSTOP))],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    try:
        os.waitpid(first.pid, os.WUNTRACED)
        with pytest.raises(ValueError, match=rf"process {first.pid} on .* is training there"):
            train(job(), tmp_path)
        assert not (tmp_path / "log.jsonl").read_text()
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    train(job(steps=5), tmp_path)
    assert checkpoint.find_latest(tmp_path).name == "checkpoint-000005"


class Halved(Tiny):
    """A model whose first layer is frozen and larger than the rest."""

    def __init__(self, width: int = 256, dropout: float = 0.0) -> None:
        super().__init__(width, dropout)
        self.layers[0].requires_grad_(False)


def test_frozen_weights_are_saved_once_without_ema_and_optimizer(tmp_path):
    def job_with_frozen_layer(seed, **settings):
        own = job(**settings)
        torch.manual_seed(seed)
        return replace(own, model=Halved())

    train(job_with_frozen_layer(1), tmp_path / "run")
    saved = tmp_path / "run" / "checkpoint-000020"
    weights, average = (load_file(saved / f"{name}.safetensors") for name in ("model", "average"))
    assert not {"layers.0.weight", "layers.0.bias"} & (weights.keys() | average.keys())
    (apart,) = (tmp_path / "run").glob("frozen-*.safetensors")
    assert load_file(apart).keys() == {"layers.0.weight", "layers.0.bias"}
    # A recipe that now loads other frozen parts is read_log_without_times so, and trains beside those of the run.
    train(job_with_frozen_layer(2, steps=25), tmp_path / "run", resume="latest")
    exported = load_file(tmp_path / "run" / "model" / "diffusion_pytorch_model.safetensors")
    assert torch.equal(exported["layers.0.weight"], load_file(apart)["layers.0.weight"])
    apart.unlink()
    with pytest.raises(ValueError, match="with other frozen weights"):
        train(job_with_frozen_layer(3, steps=30), tmp_path / "run", resume="latest")


def test_global_batch_sets_the_accumulation(tmp_path):
    assert resolve_accumulation(TrainingConfig(batch_size=4, global_batch=32), 2).accumulate == 4
    assert resolve_accumulation(TrainingConfig(batch_size=4), 2).accumulate == 1
    with pytest.raises(ValueError, match="global_batch=6: is no multiple of batch_size=4 in 1 processes"):
        resolve_accumulation(TrainingConfig(batch_size=4, global_batch=6), 1)
    train(job(accumulate=2), tmp_path / "two")
    train(job(global_batch=12), tmp_path / "global")
    assert_equal_weights(tmp_path / "two" / "checkpoint-000020", tmp_path / "global" / "checkpoint-000020")
    assert logs.read_log(tmp_path / "global" / "log.jsonl")[-1]["global_batch"] == 12


def test_a_full_disk_keeps_the_checkpoints_and_raises_one_line(tmp_path):
    def large(**settings):
        return replace(job(**settings), model=Tiny(width=4096))

    train(large(steps=10), tmp_path)
    before = read_all_files(tmp_path)
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, allowed[1]))
    try:
        with pytest.raises(atomic.DiskFullError) as raised:
            train(large(), tmp_path, resume="latest")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert "checkpoint-000015 cannot be written: the file is larger than this system allows" in str(raised.value)
    assert "the earlier checkpoints are intact, and resume=latest continues" in str(raised.value)
    assert "\n" not in str(raised.value)
    after = read_all_files(tmp_path)
    assert after.pop("log.jsonl").startswith(before.pop("log.jsonl"))
    assert after == before
    train(large(), tmp_path, resume="latest")
    assert checkpoint.find_latest(tmp_path).name == "checkpoint-000020"


def test_runs_in_one_process_may_have_different_precisions(tmp_path):
    train(job(steps=2, precision="bf16"), tmp_path / "half")
    train(job(steps=2), tmp_path / "single")
    train(job(steps=2, gradient_checkpointing=True), tmp_path / "again")
    assert_equal_weights(tmp_path / "single" / "checkpoint-000002", tmp_path / "again" / "checkpoint-000002")


def test_sharding_raises(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ValueError, match="asks for FSDP, which this loop does not support"):
        train(job(steps=2), tmp_path)


def test_training_lowers_the_loss_and_true_pairs_score_below_shuffled_ones(tmp_path):
    often = {"log_every": 50, "checkpoint_every": 400, "validate_every": 400}
    train(job(dropout=0.0, steps=400, batch_size=32, learning_rate=1e-2, **often), tmp_path)
    lines = logs.read_log(tmp_path / "log.jsonl")
    assert lines[-1]["loss/audio"] < 0.8 * lines[0]["loss/audio"]
    held_out = logs.read_log(tmp_path / "log.jsonl", "validation")[-1]
    assert held_out["true/loss/audio"] < held_out["shuffled/loss/audio"]
    assert any(name.startswith("loss_given_at/audio/") for name in lines[-1])
    assert "loss_given/video" not in lines[-1]


def test_the_exported_model_has_the_ema_weights(tmp_path):
    folder = train(job(), tmp_path)
    exported = Tiny.from_pretrained(folder)
    average = load_file(tmp_path / "checkpoint-000020" / "average.safetensors")
    for name, parameter in exported.named_parameters():
        assert torch.equal(parameter, average[name])
    assert json.loads((folder / "recipe.json").read_text()) == {"name": "tiny", "steps_trained": 20}


class Squared(nn.Module):
    """An adversary that scores vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Linear(4, 1)

    def forward(self, x):
        return self.score(x.square())[:, 0]


def test_an_adversary_is_trained_and_resumed(tmp_path):
    def with_adversary(**settings):
        tiny = job(**settings)
        torch.manual_seed(3)
        adversary = Squared()
        inner = tiny.objective

        class Adversarial:
            def __call__(self, model, batch, generator):
                scored = inner(model, batch, generator)
                fake = model(batch["x0"], scored.times).audio
                losses = {**scored.losses, "adversarial": (adversary(fake) - 1).square()}
                return replace(scored, losses=losses, discriminator_input={"true": batch["x0"].audio, "fake": fake.detach()})

            def discriminate(self, adversary, made):
                return {"true": (adversary(made["true"]) - 1).square(), "fake": adversary(made["fake"]).square()}

        return replace(tiny, objective=Adversarial(), adversary=adversary)

    train(with_adversary(), tmp_path / "whole")
    before = Squared.__call__(with_adversary().adversary, torch.ones(1, 4))
    interrupted = with_adversary()
    stopping = replace(interrupted, batch=lambda indices: stop_after(12, indices, interrupted))
    with pytest.raises(KeyboardInterrupt):
        train(stopping, tmp_path / "parts")
    train(with_adversary(), tmp_path / "parts", resume="latest")
    assert_equal_weights(tmp_path / "whole" / "checkpoint-000020", tmp_path / "parts" / "checkpoint-000020")
    trained = with_adversary().adversary
    trained.load_state_dict(load_file(tmp_path / "whole" / "checkpoint-000020" / "adversary.safetensors"))
    assert not torch.equal(before, trained(torch.ones(1, 4)))
    assert "loss/adversary_fake" in logs.read_log(tmp_path / "whole" / "log.jsonl")[-1]


def stop_after(steps: int, indices, interrupted):
    order = SampleOrder(50, 0)
    if list(indices) == order(steps * 6, 6):
        raise KeyboardInterrupt
    return interrupted.batch(indices)


def test_max_minutes_ends_with_a_checkpoint(tmp_path):
    train(job(steps=100_000, max_minutes=0.02, checkpoint_every=100_000, validate_every=100_000), tmp_path)
    assert 0 < checkpoint.load(checkpoint.find_latest(tmp_path))[1]["step"] < 100_000


def test_an_existing_run_is_not_overwritten(tmp_path):
    train(job(steps=5), tmp_path)
    with pytest.raises(ValueError, match="resume=latest"):
        train(job(steps=5), tmp_path)


def test_resume_latest_starts_a_new_run_and_a_missing_path_raises(tmp_path):
    train(job(steps=2), tmp_path / "a", resume="latest")
    with pytest.raises(ValueError, match="no such checkpoint folder"):
        train(job(steps=2), tmp_path / "b", resume=tmp_path / "checkpoint-000004")


def test_resuming_another_model_raises(tmp_path):
    train(job(steps=2), tmp_path)
    with pytest.raises(ValueError, match="another model"):
        train(replace(job(steps=4), model=Tiny(width=8)), tmp_path, resume="latest")


def test_a_diverged_loss_raises(tmp_path):
    with pytest.raises(FloatingPointError, match="diverged"):
        train(job(learning_rate=1e30, clip=0.0, warm_up=0), tmp_path)


def test_every_epoch_has_its_own_permutation():
    order = SampleOrder(10, seed=3)
    first, second = order(0, 10), order(10, 10)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert order(5, 10) == first[5:] + second[:5]
    assert SampleOrder(10, seed=4)(0, 10) != first


def test_derive_seed_depends_on_every_key():
    assert len({derive_seed(0, "noise", step, slot) for step in range(50) for slot in range(4)}) == 200
    assert derive_seed(1, "a") == derive_seed(1, "a")


def test_learning_rate_schedules():
    settings = TrainingConfig(warm_up=10, final_rate=0.1)
    assert learning_rate(settings, 4, 0.0) == pytest.approx(0.5)
    assert learning_rate(settings, 100, 0.5) == pytest.approx(0.55)
    assert learning_rate(settings, 100, 1.0) == pytest.approx(0.1)
    assert learning_rate(replace(settings, decay="constant"), 100, 1.0) == 1.0
    stairs = replace(settings, decay="staircase", decay_every=80_000, decay_factor=0.8, final_rate=0.2, warm_up=0)
    wanted = {0: 1.0, 79_999: 1.0, 80_000: 0.8, 400_000: 0.8**5, 639_999: 0.8**7, 640_000: 0.2, 700_000: 0.2}
    assert {step: learning_rate(stairs, step, 0.5) for step in wanted} == pytest.approx(wanted)


def test_invalid_configs_raise():
    with pytest.raises(ValueError, match="batch_size=0"):
        TrainingConfig(batch_size=0)
    with pytest.raises(ValueError, match="average"):
        TrainingConfig(average=1.0)
