"""The one training loop, for every recipe: steps, averaged weights, validation, checkpoints and exact resumption.

Nothing random is carried from step to step. The order of the samples is a permutation drawn from (seed, epoch), and the noise of
a batch comes from a generator made from (seed, step, slot), the slot counting batches across processes and accumulation. So a
resumed run is the run that was not interrupted, bit for bit on a CPU, and two processes see the noise that one process sees in
two accumulated batches.
"""

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sonovid.core import atomic, progress
from sonovid.training import checkpoint
from sonovid.training.config import TrainingConfig
from sonovid.training.distributed import World
from sonovid.training.job import Job, derive_seed
from sonovid.training.lock import lock_folder
from sonovid.training.logs import LossMeter, TrainingLog
from sonovid.training.preemption import Preempted, SigtermWatch
from sonovid.training.run import SampleOrder, TrainingRun

__all__ = ["Job", "Order", "drawn_from", "learning_rate", "seed_of", "train", "validate"]

log = logging.getLogger(__name__)


def learning_rate(settings: TrainingConfig, step: int, progress: float) -> float:
    """The share of the full rate at a step: a linear rise, then the decay, at `progress` in [0, 1] of the run or in stairs."""
    rise = min(1.0, (step + 1) / settings.warm_up) if settings.warm_up else 1.0
    if settings.decay == "constant":
        return rise
    if settings.decay == "staircase":
        return rise * max(settings.final_rate, settings.decay_factor ** (step // settings.decay_every))
    fall = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return rise * (settings.final_rate + (1 - settings.final_rate) * fall)


def _to(value: Any, device: torch.device) -> Any:
    """The same value with every tensor in it on a device, through mappings, tuples and dataclasses."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, Mapping):
        return {key: _to(v, device) for key, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_to(v, device) for v in value))
    if isinstance(value, tuple | list):
        return type(value)(_to(v, device) for v in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _to(getattr(value, f.name), device) for f in fields(value)})
    return value


def train(job: Job, out: Path | str, *, resume: str | Path | None = None) -> Path:
    """Train a job in the folder `out` and return the folder of the exported model, `out/model`.

    resume: None begins anew; "latest" continues from the last whole checkpoint in `out`, or begins where there is none; a path
    continues from that checkpoint, which may lie in another run's folder (see `checkpoint.start_of`).

    Raises:
        ValueError: another process trains in `out`, `out` holds an earlier run that would be written over, or a checkpoint does
            not fit.
        FloatingPointError: a loss is no longer a number.
        Preempted: SIGTERM asked the run to stop; its checkpoint is written.
        DiskFullError: there is no room for a checkpoint; the earlier ones are whole.
    """
    out = Path(out)
    with lock_folder(out):
        found = _start(out, resume)
        run = TrainingRun(job, out, resumed=found is not None)
        if found is not None:
            run.load(found)
            log.info("resuming from %s", found)
        if run.main:
            atomic.write_text(out / "recipe.json", json.dumps(job.recipe, indent=1))
            log.info("%d samples a step: %s", run.global_batch, _batches(run))
        # Dropout alone draws from the global state, which is set anew for each pass and put back in the end.
        devices = [run.device] if run.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), SigtermWatch() as watch:
            _loop(run, watch)
    return out / "model"


def _start(out: Path, resume: "str | Path | None") -> Path | None:
    """Where the run continues, found by the main process alone, since looking for damage reads whole checkpoints."""
    ranks = World.of_this_run()
    found, fault = None, None
    if ranks.main:
        try:
            found = checkpoint.find_start(out, resume)
        except ValueError as error:
            fault = error
    found, fault = ranks.told((found, fault))
    if fault is not None:
        raise fault
    return found


def _batches(run: TrainingRun) -> str:
    """How a step's samples come about, for the log."""
    own = run.settings
    return f"batch_size {own.batch_size} x accumulate {own.accumulate} x {run.ranks.count} processes"


def _loop(run: TrainingRun, watch: SigtermWatch) -> None:
    settings = run.settings
    lines = TrainingLog(run.out, step=run.step) if run.main else None
    bar = progress.bar(total=settings.steps, initial=run.step, desc="train", unit="step", quiet=not run.main)
    since, clips, saved = time.monotonic(), 0, -1
    with ThreadPoolExecutor(settings.ahead) as pool:
        queue = _prefetch(run, pool)
        done = run.progress()
        while run.step < settings.steps and done < 1:
            rate = learning_rate(settings, run.step, done)
            norm = _step(run, queue, rate)
            run.step += 1
            clips += run.global_batch
            bar.update()
            done = run.progress()
            stops = run.ranks.most(float(watch.asked)) > 0
            ends = run.step >= settings.steps or done >= 1
            saves = ends or stops or run.step % settings.checkpoint_every == 0 or run.step in settings.milestones
            # A line is closed before a checkpoint, so that a resumed run writes the lines of an uninterrupted one.
            if saves or run.step % settings.log_every == 0:
                values = {"rate": rate * settings.learning_rate, "grad_norm": float(norm), **run.meter.take(_reducer(run))}
                _refuse_nan(values, run.step)
                speed = clips / max(1e-9, time.monotonic() - since)
                since, clips = time.monotonic(), 0
                if lines is not None:
                    clock = {"clips_per_second": round(speed, 2), "minutes": round(run.minutes, 3)}
                    lines.write("train", run.step, {**values, "global_batch": run.global_batch, **clock})
                    bar.set_postfix_str(_brief(values) + f" {speed:.0f} clips/s")
            if saves:
                run.save()
                saved = run.step
            if stops and not ends:
                raise Preempted(
                    f"stopped by SIGTERM after step {run.step} of {settings.steps}; checkpoint-{run.step:06d} is written, and "
                    "the same command with resume=latest continues it"
                )
            if ends or run.step % settings.validate_every == 0:
                _validate(run, lines)
                since = time.monotonic()
    if saved != run.step:
        run.save()
    bar.close()
    if lines is not None:
        lines.close()


def _prefetch(run: TrainingRun, pool: ThreadPoolExecutor) -> Callable[[], tuple[Any, int, int]]:
    """The batches in order, with the next few being prepared in threads."""
    turns = ((step, turn) for step in range(run.step, run.settings.steps) for turn in range(run.settings.accumulate))
    waiting: list = []

    def submit() -> None:
        if (following := next(turns, None)) is not None:
            indices, slot = run.indices(*following)
            waiting.append((pool.submit(run.job.batch, indices), slot, following[1]))

    for _ in range(run.settings.ahead + 1):
        submit()

    def take() -> tuple[Any, int, int]:
        future, slot, turn = waiting.pop(0)
        submit()
        return future.result(), slot, turn

    return take


def _step(run: TrainingRun, queue: Callable, rate: float) -> Tensor:
    """One step of the model, and of its adversary where there is one; returns the norm of the gradient."""
    settings, accelerator = run.settings, run.accelerator
    made = []
    for turn in range(settings.accumulate):
        batch, slot, _ = queue()
        seed = derive_seed(settings.seed, "noise", run.step, slot)
        generator = torch.Generator(run.device).manual_seed(seed)
        _for_dropout(generator)
        if run.adversary is not None:
            run.adversary.requires_grad_(False)
        with accelerator.no_sync(run.scoring) if turn + 1 < settings.accumulate else nullcontext():
            loss, losses, times, judged = run.scoring(_to(batch, run.device), generator)
            accelerator.backward(loss / settings.accumulate)
        run.meter.add(losses, times)
        made.append(judged)
    norm = _update(run, run.scoring, run.optimizer, rate * settings.learning_rate)
    run.average.step()
    if run.adversary is not None:
        run.adversary.requires_grad_(True)
        for judged in made:
            loss, losses = run.judging(judged)
            accelerator.backward(loss / settings.accumulate)
            run.meter.add({f"adversary_{name}": value for name, value in losses.items()}, None)
        _update(run, run.judging, run.adversary_optimizer, rate * settings.adversary_learning_rate)
    return norm


@contextmanager
def seeded_init(seed: int) -> Iterator[None]:
    """Within, networks are initialised from a seed; the global random state comes back afterwards."""
    with torch.random.fork_rng(devices=[]):
        _for_dropout(torch.Generator().manual_seed(seed))
        yield


def _for_dropout(generator: torch.Generator) -> None:
    """Put the global random state, from which dropout alone draws, where `generator` is; `train` puts it back in the end."""
    if generator.device.type == "cuda":
        torch.cuda.set_rng_state(generator.get_state(), generator.device)
    else:
        torch.set_rng_state(generator.get_state())


def _update(run: TrainingRun, module: nn.Module, optimizer: torch.optim.Optimizer, rate: float) -> Tensor:
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)
    norm = torch.nn.utils.clip_grad_norm_(module.parameters(), run.settings.clip or math.inf)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


def _reducer(run: TrainingRun) -> Callable[[Tensor], Tensor]:
    return lambda x: run.accelerator.reduce(x, "sum")


def _refuse_nan(values: dict[str, float], step: int) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise FloatingPointError(
                f"{name} is {value} at step {step}: training has diverged; resume the last checkpoint with a lower learning rate"
            )


def _brief(values: dict[str, float]) -> str:
    return " ".join(f"{name[5:]} {value:.4f}" for name, value in values.items() if name.startswith("loss/"))


def _validate(run: TrainingRun, lines: TrainingLog | None) -> None:
    """Losses of the averaged weights on held-out samples, of true against shuffled pairs, and the recipe's samples."""
    with torch.random.fork_rng(devices=[run.device] if run.device.type == "cuda" else []), run.accelerator.autocast():
        values = run.averaged(lambda model: validate(model, run.job, run.device)) if run.job.validation_size else {}
        if (sample := run.job.sample) is not None:
            folder = run.out / "samples" / f"step-{run.step:06d}"
            with atomic.disk_full_errors(folder, "the checkpoints are whole"):
                run.averaged(lambda model: sample(model, folder, run.step))
    if lines is not None and values:
        lines.write("validation", run.step, values)
    run.ranks.wait()


@torch.no_grad()
def validate(model: nn.Module, job: Job, device: torch.device) -> dict[str, float]:
    """The mean losses on the held-out samples, each batch with a noise of its own that is the same at every validation."""
    assert job.validation is not None
    settings, losses, true, shuffled = job.settings, LossMeter(device), LossMeter(device), LossMeter(device)
    count = min(settings.validate_size, job.validation_size)
    for i, first in enumerate(range(0, count, settings.batch_size)):
        batch = _to(job.validation(range(first, min(count, first + settings.batch_size))), device)
        seed = derive_seed(settings.seed, "validation", i)
        scored = job.objective(model, batch, torch.Generator(device).manual_seed(seed))
        losses.add(scored.losses, getattr(scored, "times", None))
        if job.pairs is not None and len(next(iter(scored.losses.values()))) > 1:
            pairing = job.pairs(model, batch, torch.Generator(device).manual_seed(seed))
            true.add(*pairing.true)
            shuffled.add(*pairing.shuffled)
    compared = {f"true/{name}": value for name, value in true.take().items()}
    compared |= {f"shuffled/{name}": value for name, value in shuffled.take().items()}
    return {**losses.take(), **{name: value for name, value in compared.items() if "_at/" not in name}}
