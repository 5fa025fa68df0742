"""The state of one run: the model, its optimiser, its averaged weights, and how all of them are saved and come back."""

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from sonovid.core import atomic
from sonovid.core.av import AV
from sonovid.diffusion.objective import LossOutput, total_loss
from sonovid.training import checkpoint, frozen_weights, optimizers
from sonovid.training.config import TrainingConfig
from sonovid.training.distributed import World
from sonovid.training.ema import EMA, trainable_parameters
from sonovid.training.gradient_checkpointing import enable_gradient_checkpointing
from sonovid.training.initialization import freeze_other_stream, initialize_from
from sonovid.training.job import Job, derive_seed
from sonovid.training.logs import LossMeter

log = logging.getLogger(__name__)


class SampleOrder:
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
            generator = torch.Generator().manual_seed(derive_seed(self.seed, "order", epoch))
            self._epochs[epoch] = torch.randperm(self.size, generator=generator)
        return self._epochs[epoch]


class LossModule(nn.Module):
    """A model with its objective as one module, so that distribution and precision wrap whatever methods the objective calls."""

    def __init__(self, model: nn.Module, objective: Callable, weights: dict[str, float], streams: str = "both") -> None:
        super().__init__()
        self.model, self.objective, self.weights = model, objective, weights
        self.left_out = {stream for stream in AV._fields if streams not in ("both", stream)}

    def forward(self, batch: Any, generator: torch.Generator) -> tuple:
        """The loss to descend, the losses [b] by name, the noise times, and what an adversary judges."""
        scored = self.objective(self.model, batch, generator)
        times = getattr(scored, "times", None)
        # Losses of a stream that is not trained are still logged ("video", "video_bound").
        silent = {name: 0.0 for name in scored.losses if name.split("_")[0] in self.left_out}
        loss = total_loss(LossOutput(scored.losses, times or AV(None, None)), {**self.weights, **silent})
        return loss, scored.losses, times, getattr(scored, "made", None)


class AdversaryLossModule(nn.Module):
    """An adversary with its losses as one module."""

    def __init__(self, adversary: nn.Module, objective: Any) -> None:
        super().__init__()
        self.adversary, self.objective = adversary, objective

    def forward(self, made: Any) -> tuple:
        """The adversary's loss, and its losses [b] by name."""
        losses = self.objective.discriminate(self.adversary, made)
        return torch.stack([loss.float().mean() for loss in losses.values()]).sum(), losses


def resolve_accumulation(settings: TrainingConfig, processes: int) -> TrainingConfig:
    """The settings with `accumulate` set so that one step of so many processes takes `global_batch` samples.

    Raises:
        ValueError: batches of `batch_size` do not add up to it.
    """
    if settings.global_batch is None:
        return settings
    passes, rest = divmod(settings.global_batch, settings.batch_size * processes)
    if rest or not passes:
        raise ValueError(
            f"global_batch={settings.global_batch}: is no multiple of batch_size={settings.batch_size} in {processes} processes; "
            "give a batch_size that divides it"
        )
    return replace(settings, accumulate=passes)


def _refuse_foreign_sharding() -> None:
    """Raises ValueError where an accelerate configuration asks for sharding, which would else be ignored in silence."""
    for name in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        if os.environ.get(f"ACCELERATE_USE_{name}", "false").lower() in ("true", "1", "yes"):
            raise ValueError(
                f"the accelerate configuration asks for {name}, which this loop does not do: launch with --multi_gpu and without "
                "it; memory is saved by gradient_checkpointing=true, and by a small batch_size with global_batch"
            )


class TrainingRun:
    """The state of one run: everything that a checkpoint holds."""

    def __init__(self, job: Job, out: Path, *, resumed: bool = False) -> None:
        self.job, self.out, self.ranks = job, out, World.of_this_run()
        self.settings = settings = resolve_accumulation(job.settings, self.ranks.count)
        # Accelerate keeps the precision of a process's first run; a second one in it may have another.
        AcceleratorState._reset_state()
        self.accelerator = Accelerator(
            mixed_precision=settings.precision,
            cpu=not torch.cuda.is_available(),
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        self.device = self.accelerator.device
        _refuse_foreign_sharding()
        if settings.init and not resumed:
            initialize_from(job.model, settings.init)
        self.model, self.adversary = job.model.to(self.device), job.adversary
        if settings.streams != "both":
            freeze_other_stream(self.model, settings.streams)
        if settings.gradient_checkpointing:
            enable_gradient_checkpointing(self.model)
        if settings.compile:
            if self.device.type == "cpu":
                # Fusing the foreach loops of bf16 kernels crashes Inductor's C++ compiler (torch 2.13).
                import torch._inductor.config as inductor

                inductor.cpp.max_horizontal_fusion_size = 1
            self.model.compile()
        self.model.train()
        self.optimizer = optimizers.build_optimizer(self.model, settings.learning_rate, settings, self.device)
        prepare = self.accelerator.prepare
        self.scoring = prepare(LossModule(self.model, job.objective, job.weights, settings.streams))
        self.average = EMA(trainable_parameters(self.model), settings.average)
        if self.adversary is not None:
            self.adversary = self.adversary.to(self.device).train()
            self.judging = prepare(AdversaryLossModule(self.adversary, job.objective))
            self.adversary_optimizer = optimizers.build_optimizer(
                self.adversary, settings.adversary_learning_rate, settings, self.device
            )
        self.order = SampleOrder(job.size, settings.seed)
        self.step, self.minutes_before, self.began = 0, 0.0, time.monotonic()
        self.branched_from: dict[str, Any] | None = None
        self.frozen = frozen_weights.fingerprint(frozen_weights.frozen_parameters(self.model)) if self.main else ""
        self.meter = LossMeter(self.device)

    @property
    def minutes(self) -> float:
        """How long the run has trained, earlier parts of it counted in."""
        return self.minutes_before + (time.monotonic() - self.began) / 60

    @property
    def main(self) -> bool:
        """Whether this process writes what is written once."""
        return self.ranks.main

    @property
    def global_batch(self) -> int:
        """Samples of one step, of all passes and processes."""
        return self.settings.batch_size * self.settings.accumulate * self.ranks.count

    def progress(self) -> float:
        """How far the run is, by its steps or by its time, whichever is further on; the same on all processes."""
        share = self.step / self.settings.steps
        if self.settings.max_minutes is None:
            return share
        return max(share, self.ranks.most(self.minutes / self.settings.max_minutes))

    def indices(self, step: int, turn: int) -> tuple[list[int], int]:
        """The samples of this process in one pass of a step, and the slot that its noise is drawn for."""
        processes, size = self.ranks.count, self.settings.batch_size
        slot = turn * processes + self.ranks.index
        return self.order((step * self.settings.accumulate * processes + slot) * size, size), slot

    def save(self) -> None:
        """A checkpoint and the exported model, by the main process."""
        self.ranks.wait()
        if self.main:
            apart = frozen_weights.frozen_parameters(self.model)
            weights = {name: value for name, value in self.model.state_dict().items() if name not in apart}
            frozen_weights.save(self.out, apart, self.frozen)
            tensors = {"model": weights, "average": self.average.values}
            state: dict[str, Any] = {"minutes": self.minutes, "settings": asdict(self.settings), "frozen": self.frozen}
            state |= {"average_steps": self.average.steps, "processes": self.ranks.count, "branched_from": self.branched_from}
            tensors["optimizer"], state["optimizer"] = checkpoint.flatten_optimizer(self.optimizer)
            if self.adversary is not None:
                tensors["adversary"] = self.adversary.state_dict()
                judge = checkpoint.flatten_optimizer(self.adversary_optimizer)
                tensors["adversary_optimizer"], state["adversary_optimizer"] = judge
            own = self.settings
            checkpoint.save(self.out, self.step, tensors, state, keep=own.keep, milestones=own.milestones)
        self.averaged(lambda model: atomic.replace_folder(self.out / "model", lambda folder: self.export(model, folder)))
        self.ranks.wait()

    def export(self, model: nn.Module, folder: Path) -> None:
        """Fill a folder with what `out/model` is to hold."""
        if self.job.export is not None:
            self.job.export(model, folder)
        else:
            model.save_pretrained(folder, safe_serialization=True)  # type: ignore[operator]
        (folder / "recipe.json").write_text(json.dumps({**self.job.recipe, "steps_trained": self.step}, indent=1))

    def load(self, path: Path) -> None:
        """Continue from a checkpoint.

        Raises:
            ValueError: it is not whole, or of another model.
        """
        tensors, state = checkpoint.load(path)
        if path.absolute().parent != self.out.absolute():
            self.branched_from = checkpoint.checkpoint_identity(path)
        else:
            self.branched_from = state.get("branched_from")
        apart = state.get("frozen", "")
        self._load_weights(path, tensors["model"], beside=bool(apart))
        if apart:
            frozen_weights.restore(self.model, path, apart)
            self.frozen = apart
        checkpoint.restore_optimizer(self.optimizer, tensors["optimizer"], state["optimizer"])
        self._load_average(tensors["average"], state)
        if self.adversary is not None:
            self.adversary.load_state_dict(tensors["adversary"])
            checkpoint.restore_optimizer(self.adversary_optimizer, tensors["adversary_optimizer"], state["adversary_optimizer"])
        self.step, self.minutes_before = state["step"], state["minutes"]
        earlier = state["settings"]
        for name in ("seed", "batch_size", "accumulate"):
            now = getattr(self.settings, name)
            if earlier[name] != now:
                log.warning("resuming with %s=%s, begun with %s: the data order changes", name, now, earlier[name])

    def _load_weights(self, path: Path, weights: dict[str, Tensor], *, beside: bool) -> None:
        """The model's weights of a checkpoint; `beside`: the frozen ones are not among them."""
        left_out = set(frozen_weights.frozen_parameters(self.model)) if beside else set()
        try:
            known = self.model.load_state_dict(weights, strict=not beside)
        except RuntimeError as error:
            fault = str(error).splitlines()[-1].strip()
            raise ValueError(f"resume: {path} holds another model than this recipe's: {fault}") from None
        if wrong := [*(set(known.missing_keys) - left_out), *known.unexpected_keys]:
            raise ValueError(f"resume: {path} holds another model than this recipe's: {min(wrong)} is in one of them only")

    def _load_average(self, values: dict[str, Tensor], state: dict[str, Any]) -> None:
        """The averaged weights of a checkpoint; earlier versions wrote those of all parameters, numbered."""
        steps = state["average_steps"] if "average_steps" in state else state["average"]["optimization_step"]
        if "average_steps" not in state:
            values = {name: values[str(i)] for i, (name, _) in enumerate(self.model.named_parameters())}
        self.average.load(values, steps)

    def averaged(self, use: Callable[[nn.Module], Any]) -> Any:
        """What `use` makes of the model with averaged weights, in evaluation mode; the trained weights come back afterwards.

        Called by all processes; `use` runs in the main one, and None comes back in the others.
        """
        if not self.main:
            return None
        with self.average.in_place():
            self.model.eval()
            try:
                with torch.no_grad():
                    return use(self.model)
            finally:
                self.model.train()
