"""The one training loop, for every recipe: steps, averaged weights, validation, checkpoints and exact resumption.

Nothing random is carried from step to step. The order of the samples is a permutation drawn from (seed, epoch), and the noise of
a batch comes from a generator made from (seed, step, slot), the slot counting batches across processes and accumulation. So a
resumed run is the run that was not interrupted, bit for bit on a CPU, and two processes see the noise that one process sees in
two accumulated batches.
"""

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from tqdm.auto import tqdm

from sonovid import atomic
from sonovid.av import AV
from sonovid.diffusion.objective import Scored, total
from sonovid.training import checkpoint, optimizers
from sonovid.training.logs import Log, Meter
from sonovid.training.settings import Settings

log = logging.getLogger(__name__)


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
    settings: Settings = field(default_factory=Settings)
    weights: dict[str, float] = field(default_factory=dict)
    adversary: nn.Module | None = None
    pairs: Callable[..., Any] | None = None
    sample: Callable[[nn.Module, Path, int], None] | None = None
    export: Callable[[nn.Module, Path], None] | None = None
    recipe: dict[str, Any] = field(default_factory=dict)


def seed_of(*keys: int | str) -> int:
    """A seed of 63 bits from anything that counts: the same keys, the same seed, on every machine."""
    return int.from_bytes(hashlib.blake2b(repr(keys).encode(), digest_size=8).digest(), "little") >> 1


class Order:
    """Which samples a step takes: position after position through one permutation per epoch, drawn from (seed, epoch)."""

    def __init__(self, size: int, seed: int) -> None:
        if size < 1:
            raise ValueError("training data: got no clips; expected at least one")
        self.size, self.seed = size, seed
        self._epochs: dict[int, Tensor] = {}

    def __call__(self, first: int, count: int) -> list[int]:
        """The indices of the samples at the positions first, first + 1, ..., counted from the beginning of the run."""
        return [int(self._epoch(position // self.size)[position % self.size]) for position in range(first, first + count)]

    def _epoch(self, epoch: int) -> Tensor:
        if epoch not in self._epochs:
            self._epochs = {e: p for e, p in self._epochs.items() if e >= epoch - 1}
            generator = torch.Generator().manual_seed(seed_of(self.seed, "order", epoch))
            self._epochs[epoch] = torch.randperm(self.size, generator=generator)
        return self._epochs[epoch]


def learning_rate(settings: Settings, step: int, progress: float) -> float:
    """The share of the full rate at a step: a linear rise, then the decay, at `progress` in [0, 1] of the run or in stairs."""
    rise = min(1.0, (step + 1) / settings.warm_up) if settings.warm_up else 1.0
    if settings.decay == "constant":
        return rise
    if settings.decay == "staircase":
        return rise * max(settings.final_rate, settings.decay_factor ** (step // settings.decay_every))
    fall = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return rise * (settings.final_rate + (1 - settings.final_rate) * fall)


class _Scoring(nn.Module):
    """A model with its objective as one module, so that distribution and precision wrap whatever methods the objective calls."""

    def __init__(self, model: nn.Module, objective: Callable, weights: dict[str, float]) -> None:
        super().__init__()
        self.model, self.objective, self.weights = model, objective, weights

    def forward(self, batch: Any, generator: torch.Generator) -> tuple:
        scored = self.objective(self.model, batch, generator)
        times = getattr(scored, "times", None)
        loss = total(Scored(scored.losses, times or AV(None, None)), self.weights)
        return loss, scored.losses, times, getattr(scored, "made", None)


class _Judging(nn.Module):
    def __init__(self, adversary: nn.Module, objective: Any) -> None:
        super().__init__()
        self.adversary, self.objective = adversary, objective

    def forward(self, made: Any) -> tuple:
        losses = self.objective.discriminate(self.adversary, made)
        return torch.stack([loss.float().mean() for loss in losses.values()]).sum(), losses


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


class _Run:
    """The state of one run: everything that a checkpoint holds."""

    def __init__(self, job: Job, out: Path) -> None:
        settings = job.settings
        self.job, self.out, self.settings = job, out, settings
        self.accelerator = Accelerator(
            mixed_precision=settings.precision,
            cpu=not torch.cuda.is_available(),
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        self.device = self.accelerator.device
        self.model, self.adversary = job.model.to(self.device), job.adversary
        if settings.compile:
            self.model.compile()
        self.model.train()
        self.optimizer = optimizers.optimizer(self.model, settings.learning_rate, settings, self.device)
        prepare = self.accelerator.prepare
        self.scoring = prepare(_Scoring(self.model, job.objective, job.weights))
        self.average = EMAModel(self.model.parameters(), decay=settings.average, foreach=True)
        if self.adversary is not None:
            self.adversary = self.adversary.to(self.device).train()
            self.judging = prepare(_Judging(self.adversary, job.objective))
            self.adversary_optimizer = optimizers.optimizer(
                self.adversary, settings.adversary_learning_rate, settings, self.device
            )
        self.order = Order(job.size, settings.seed)
        self.step, self.minutes_before, self.began = 0, 0.0, time.monotonic()
        self.meter = Meter(self.device)

    @property
    def minutes(self) -> float:
        return self.minutes_before + (time.monotonic() - self.began) / 60

    @property
    def main(self) -> bool:
        return self.accelerator.is_main_process

    def progress(self) -> float:
        """How far the run is, by its steps or by its time, whichever is further on; the same on all processes."""
        share = self.step / self.settings.steps
        if self.settings.max_minutes is None:
            return share
        spent = torch.tensor([self.minutes / self.settings.max_minutes], device=self.device)
        return max(share, float(self.accelerator.gather(spent).max()))

    def indices(self, step: int, turn: int) -> tuple[list[int], int]:
        """The samples of this process in one pass of a step, and the slot that its noise is drawn for."""
        processes, size = self.accelerator.num_processes, self.settings.batch_size
        slot = turn * processes + self.accelerator.process_index
        return self.order((step * self.settings.accumulate * processes + slot) * size, size), slot

    def save(self) -> None:
        """A checkpoint and the exported model, by the main process."""
        self.accelerator.wait_for_everyone()
        if self.main:
            tensors, state = {"model": self.model.state_dict()}, {"minutes": self.minutes, "settings": asdict(self.settings)}
            tensors["optimizer"], state["optimizer"] = checkpoint.flatten_optimizer(self.optimizer)
            average = self.average.state_dict()
            tensors["average"] = {str(i): value for i, value in enumerate(average.pop("shadow_params"))}
            state["average"], state["processes"] = average, self.accelerator.num_processes
            if self.adversary is not None:
                tensors["adversary"] = self.adversary.state_dict()
                judge = checkpoint.flatten_optimizer(self.adversary_optimizer)
                tensors["adversary_optimizer"], state["adversary_optimizer"] = judge
            checkpoint.save(self.out, self.step, tensors, state, keep=self.settings.keep)
            self.averaged(lambda model: atomic.replace_folder(self.out / "model", lambda folder: self.export(model, folder)))
        self.accelerator.wait_for_everyone()

    def export(self, model: nn.Module, folder: Path) -> None:
        if self.job.export is not None:
            self.job.export(model, folder)
        else:
            model.save_pretrained(folder, safe_serialization=True)  # type: ignore[operator]
        (folder / "recipe.json").write_text(json.dumps({**self.job.recipe, "steps_trained": self.step}, indent=1))

    def load(self, path: Path) -> None:
        """Continue from a checkpoint."""
        tensors, state = checkpoint.load(path)
        try:
            self.model.load_state_dict(tensors["model"])
        except RuntimeError as error:
            fault = str(error).splitlines()[-1].strip()
            raise ValueError(f"resume: {path} holds another model than this recipe's: {fault}") from None
        checkpoint.restore_optimizer(self.optimizer, tensors["optimizer"], state["optimizer"])
        count = len(self.average.shadow_params)
        shadow = [tensors["average"][str(i)].to(self.device) for i in range(count)]
        self.average.load_state_dict({**state["average"], "decay": self.settings.average, "shadow_params": shadow})
        if self.adversary is not None:
            self.adversary.load_state_dict(tensors["adversary"])
            checkpoint.restore_optimizer(self.adversary_optimizer, tensors["adversary_optimizer"], state["adversary_optimizer"])
        self.step, self.minutes_before = state["step"], state["minutes"]
        earlier = state["settings"]
        for name in ("seed", "batch_size", "accumulate"):
            now = getattr(self.settings, name)
            if earlier[name] != now:
                log.warning("resuming with %s=%s, begun with %s: the data order changes", name, now, earlier[name])

    def averaged(self, use: Callable[[nn.Module], Any]) -> Any:
        """What `use` makes of the model with averaged weights, in evaluation mode; the trained weights come back afterwards."""
        self.average.store(self.model.parameters())
        self.average.copy_to(self.model.parameters())
        self.model.eval()
        try:
            with torch.no_grad():
                return use(self.model)
        finally:
            self.average.restore(self.model.parameters())
            self.model.train()


def train(job: Job, out: Path | str, *, resume: str | Path | None = None) -> Path:
    """Train a job in the folder `out` and return the folder of the exported model, `out/model`.

    resume: None begins anew, "latest" goes on from the last whole checkpoint in `out`, or begins where there is none, and a path
    goes on from that checkpoint.

    Raises:
        ValueError: `out` holds an earlier run that was not asked to be resumed, or a checkpoint does not fit.
        FloatingPointError: a loss is no longer a number.
    """
    out = Path(out)
    found = checkpoint.latest(out) if resume in (None, "latest") else Path(resume)
    if resume is None and found is not None:
        raise ValueError(f"out={out}: already holds {found.name}; give resume=latest to go on with it, or another folder")
    out.mkdir(parents=True, exist_ok=True)
    run = _Run(job, out)
    run.accelerator.wait_for_everyone()
    if found is not None:
        run.load(found)
        log.info("resuming from %s", found)
    if run.main:
        (out / "recipe.json").write_text(json.dumps(job.recipe, indent=1))
    # Dropout alone draws from the global state, which is set anew for each pass and put back in the end.
    devices = [run.device] if run.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        _loop(run)
    return out / "model"


def _loop(run: _Run) -> None:
    settings = run.settings
    lines = Log(run.out, step=run.step) if run.main else None
    bar = tqdm(total=settings.steps, initial=run.step, desc="train", unit="step", disable=not run.main, dynamic_ncols=True)
    since, clips, saved = time.monotonic(), 0, -1
    with ThreadPoolExecutor(settings.ahead) as pool:
        queue = _prefetch(run, pool)
        progress = run.progress()
        while run.step < settings.steps and progress < 1:
            rate = learning_rate(settings, run.step, progress)
            norm = _step(run, queue, rate)
            run.step += 1
            clips += settings.batch_size * settings.accumulate * run.accelerator.num_processes
            bar.update()
            progress = run.progress()
            ends = run.step >= settings.steps or progress >= 1
            saves = ends or run.step % settings.checkpoint_every == 0
            # A line is closed before a checkpoint, so that a resumed run writes the lines of an uninterrupted one.
            if saves or run.step % settings.log_every == 0:
                values = {"rate": rate * settings.learning_rate, "grad_norm": float(norm), **run.meter.take(_reducer(run))}
                _refuse_nan(values, run.step)
                speed = clips / max(1e-9, time.monotonic() - since)
                since, clips = time.monotonic(), 0
                if lines is not None:
                    clock = {"clips_per_second": round(speed, 2), "minutes": round(run.minutes, 3)}
                    lines.write("train", run.step, {**values, **clock})
                    bar.set_postfix_str(_brief(values) + f" {speed:.0f} clips/s")
            if saves:
                run.save()
                saved = run.step
            if ends or run.step % settings.validate_every == 0:
                _validate(run, lines)
                since = time.monotonic()
    if saved != run.step:
        run.save()
    bar.close()
    if lines is not None:
        lines.close()


def _prefetch(run: _Run, pool: ThreadPoolExecutor) -> Callable[[], tuple[Any, int, int]]:
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


def _step(run: _Run, queue: Callable, rate: float) -> Tensor:
    """One step of the model, and of its adversary where there is one; returns the norm of the gradient."""
    settings, accelerator = run.settings, run.accelerator
    made = []
    for turn in range(settings.accumulate):
        batch, slot, _ = queue()
        seed = seed_of(settings.seed, "noise", run.step, slot)
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
    run.average.step(run.model.parameters())
    if run.adversary is not None:
        run.adversary.requires_grad_(True)
        for judged in made:
            loss, losses = run.judging(judged)
            accelerator.backward(loss / settings.accumulate)
            run.meter.add({f"adversary_{name}": value for name, value in losses.items()}, None)
        _update(run, run.judging, run.adversary_optimizer, rate * settings.adversary_learning_rate)
    return norm


@contextmanager
def drawn_from(seed: int) -> Iterator[None]:
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


def _update(run: _Run, module: nn.Module, optimizer: torch.optim.Optimizer, rate: float) -> Tensor:
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)
    norm = torch.nn.utils.clip_grad_norm_(module.parameters(), run.settings.clip or math.inf)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


def _reducer(run: _Run) -> Callable[[Tensor], Tensor]:
    return lambda x: run.accelerator.reduce(x, "sum")


def _refuse_nan(values: dict[str, float], step: int) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise FloatingPointError(
                f"{name} is {value} at step {step}: training has diverged; resume the last checkpoint with a lower learning rate"
            )


def _brief(values: dict[str, float]) -> str:
    return " ".join(f"{name[5:]} {value:.4f}" for name, value in values.items() if name.startswith("loss/"))


def _validate(run: _Run, lines: Log | None) -> None:
    """Losses of the averaged weights on held-out samples, of true against shuffled pairs, and the recipe's samples."""
    if run.main:
        with torch.random.fork_rng(devices=[run.device] if run.device.type == "cuda" else []), run.accelerator.autocast():
            values = run.averaged(lambda model: validate(model, run.job, run.device)) if run.job.validation_size else {}
            if run.job.sample is not None:
                sample = run.job.sample
                run.averaged(lambda model: sample(model, run.out / "samples" / f"step-{run.step:06d}", run.step))
        if lines is not None and values:
            lines.write("validation", run.step, values)
    run.accelerator.wait_for_everyone()


@torch.no_grad()
def validate(model: nn.Module, job: Job, device: torch.device) -> dict[str, float]:
    """The mean losses on the held-out samples, each batch with a noise of its own that is the same at every validation."""
    assert job.validation is not None
    settings, losses, true, shuffled = job.settings, Meter(device), Meter(device), Meter(device)
    count = min(settings.validate_size, job.validation_size)
    for i, first in enumerate(range(0, count, settings.batch_size)):
        batch = _to(job.validation(range(first, min(count, first + settings.batch_size))), device)
        seed = seed_of(settings.seed, "validation", i)
        scored = job.objective(model, batch, torch.Generator(device).manual_seed(seed))
        losses.add(scored.losses, getattr(scored, "times", None))
        if job.pairs is not None and len(next(iter(scored.losses.values()))) > 1:
            pairing = job.pairs(model, batch, torch.Generator(device).manual_seed(seed))
            true.add(*pairing.true)
            shuffled.add(*pairing.shuffled)
    compared = {f"true/{name}": value for name, value in true.take().items()}
    compared |= {f"shuffled/{name}": value for name, value in shuffled.take().items()}
    return {**losses.take(), **{name: value for name, value in compared.items() if "_at/" not in name}}
