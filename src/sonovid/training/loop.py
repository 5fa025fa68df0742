"""The training loop of every recipe: steps, logs, checkpoints, validation and exact resumption.

No random state carries over from one step to the next. The order of the samples is a permutation drawn from (seed, epoch). The
noise of a micro-batch comes from a generator seeded with (seed, step, slot), where slots count micro-batches over processes and
accumulation. A resumed run therefore equals the uninterrupted run, bit for bit on a CPU, and two processes see the noise that one
process sees in two accumulated micro-batches.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sonovid.core import atomic
from sonovid.training import checkpoint
from sonovid.training.batches import prefetch
from sonovid.training.distributed import ProcessGroup
from sonovid.training.job import Job
from sonovid.training.lock import lock_folder
from sonovid.training.optimizers import learning_rate
from sonovid.training.preemption import Preempted, SigtermWatch
from sonovid.training.recorder import Recorder
from sonovid.training.run import TrainingRun
from sonovid.training.step import train_step
from sonovid.training.validation import run_validation

log = logging.getLogger(__name__)


def train(job: Job, out: Path | str, *, resume: str | Path | None = None) -> Path:
    """Train a job.

    Args:
        job: what is trained.
        out: folder of the run.
        resume: None starts a new run. "latest" continues from the last intact checkpoint in `out`, or starts a new run if there
            is none. A path continues from that checkpoint, which may belong to another run (see `checkpoint.find_start`).

    Returns:
        The folder of the exported model, `out/model`.

    Raises:
        ValueError: another process trains in `out`, `out` contains a run that would be overwritten, or a checkpoint does not fit.
        FloatingPointError: a loss is not finite.
        Preempted: SIGTERM stopped the run after writing a checkpoint.
        DiskFullError: a checkpoint does not fit on the disk. The earlier ones are intact.
    """
    out = Path(out)
    with lock_folder(out):
        start = _find_start(out, resume)
        run = TrainingRun(job, out, resumed=start is not None)
        if start is not None:
            run.load(start)
            log.info("resuming from %s", start)
        if run.processes.is_main:
            atomic.write_text(out / "recipe.json", json.dumps(job.recipe, indent=1))
            log.info("%d samples per step: %s", run.global_batch, _describe_batches(run))
        # Steps seed the global random state for dropout; it is restored in the end.
        devices = [run.device] if run.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), SigtermWatch() as sigterm:
            _train(run, sigterm)
    return out / "model"


@dataclass(frozen=True)
class Step:
    """A training step that is done.

    Args:
        rate: factor of the learning rate.
        grad_norm: gradient norm before clipping.
        is_last: whether the run ends here, by its steps or its time.
    """

    rate: float
    grad_norm: Tensor
    is_last: bool


def training_steps(run: TrainingRun, batches: Iterator[tuple[Any, int]]) -> Iterator[Step]:
    """Train a run, yielding after each step. All state is in `run`."""
    progress = run.progress()
    while run.step < run.config.steps and progress < 1:
        rate = learning_rate(run.config, run.step, progress)
        grad_norm = train_step(run, batches, rate)
        run.step += 1
        progress = run.progress()
        yield Step(rate, grad_norm, is_last=run.step >= run.config.steps or progress >= 1)


def _train(run: TrainingRun, sigterm: SigtermWatch) -> None:
    config, recorder, saved = run.config, Recorder(run), False
    with prefetch(run.job.batch, run.micro_batches(), config.ahead) as batches:
        for step in training_steps(run, batches):
            recorder.count_step()
            stop = run.processes.max(float(sigterm.requested)) > 0
            saved = step.is_last or stop or run.step % config.checkpoint_every == 0 or run.step in config.milestones
            # Every checkpoint follows a line of the log, so a resumed run writes the same lines as an uninterrupted one.
            if saved or run.step % config.log_every == 0:
                recorder.record_training(step.rate, step.grad_norm)
            if saved:
                run.save()
            if stop and not step.is_last:
                raise Preempted(
                    f"stopped by SIGTERM after step {run.step} of {config.steps}; checkpoint-{run.step:06d} is written, and the "
                    "same command with resume=latest continues it"
                )
            if step.is_last or run.step % config.validate_every == 0:
                recorder.record_validation(run_validation(run))
    if not saved:
        # The run was complete before: its model is exported again.
        run.save()
    recorder.close()


def _find_start(out: Path, resume: "str | Path | None") -> Path | None:
    """The checkpoint to start from. Only the main process looks for it, since checking for damage reads whole checkpoints."""
    processes = ProcessGroup.current()
    found, fault = None, None
    if processes.is_main:
        try:
            found = checkpoint.find_start(out, resume)
        except ValueError as error:
            fault = error
    found, fault = processes.broadcast((found, fault))
    if fault is not None:
        raise fault
    return found


def _describe_batches(run: TrainingRun) -> str:
    config = run.config
    return f"batch_size {config.batch_size} x accumulate {config.accumulate} x {run.processes.size} processes"
