"""The state of a training run: model, optimisers, EMA weights and step count, and their checkpoints."""

import copy
import itertools
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from sonovid.core import atomic
from sonovid.core.model import SavedWeightsMixin
from sonovid.pipelines import lora
from sonovid.training import checkpoint, frozen_weights, optimizers, sharding
from sonovid.training.batches import MicroBatch, SampleOrder
from sonovid.training.config import TrainingConfig
from sonovid.training.distributed import ProcessGroup
from sonovid.training.ema import EMA, trainable_parameters
from sonovid.training.gradient_checkpointing import enable_gradient_checkpointing
from sonovid.training.initialization import prepare_fine_tuning
from sonovid.training.job import Job
from sonovid.training.logs import LossMeter
from sonovid.training.objective_modules import AdversaryModule, ObjectiveModule, ObjectiveOutput
from sonovid.training.utilization import UtilizationMeter

log = logging.getLogger(__name__)


def resolve_accumulation(config: TrainingConfig, processes: int) -> TrainingConfig:
    """Set `accumulate` so that one step of all processes takes `global_batch` samples.

    Args:
        config: the training config; returned as it is if it has no `global_batch`.
        processes: number of processes.

    Raises:
        ValueError: `global_batch` is no multiple of `batch_size` times `processes`.
    """
    if config.global_batch is None:
        return config
    accumulate, rest = divmod(config.global_batch, config.batch_size * processes)
    if rest or not accumulate:
        raise ValueError(
            f"global_batch={config.global_batch}: is no multiple of batch_size={config.batch_size} in {processes} processes; "
            "use a batch_size that divides it"
        )
    return replace(config, accumulate=accumulate)


def _refuse_sharding() -> None:
    """Raise ValueError if an accelerate configuration asks for sharding, which would otherwise be ignored silently."""
    for name in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        if os.environ.get(f"ACCELERATE_USE_{name}", "false").lower() in ("true", "1", "yes"):
            raise ValueError(
                f"the accelerate configuration asks for {name}, which this loop does not support: launch with --multi_gpu and "
                "without it. To save memory, use strategy=fsdp, gradient_checkpointing=true, or a small batch_size with "
                "global_batch"
            )


def _compile(model: nn.Module, device: torch.device, *, by_block: bool) -> None:
    if device.type == "cpu":
        # Fusing the foreach loops of bf16 kernels crashes Inductor's C++ compiler (torch 2.13).
        import torch._inductor.config as inductor

        inductor.cpp.max_horizontal_fusion_size = 1
    # A sharded block gathers its weights around its forward pass, which is compiled without that.
    for module in (sharding.outer_blocks(model) if by_block else []) or [model]:
        module.compile()


class TrainingRun:
    """The state of a training run: everything that a checkpoint contains.

    Args:
        job: what is trained.
        out: folder of the run.
        resumed: whether a checkpoint will be loaded, so that `init` is not read.
    """

    def __init__(self, job: Job, out: Path, *, resumed: bool = False) -> None:
        self.job, self.out, self.processes = job, out, ProcessGroup.current()
        self.config = config = resolve_accumulation(job.config, self.processes.size)
        # Accelerate keeps the precision of the first run in a process; a second run may have another.
        AcceleratorState._reset_state()
        self.accelerator = Accelerator(
            mixed_precision=config.precision,
            cpu=not torch.cuda.is_available(),
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        self.device = self.accelerator.device
        _refuse_sharding()
        self.sharded = config.strategy == "fsdp" and self.processes.size > 1
        prepare_fine_tuning(job.model, config, resumed=resumed)
        self.frozen_fingerprint = ""
        if self.processes.is_main:
            self.frozen_fingerprint = frozen_weights.fingerprint(frozen_weights.frozen_parameters(job.model))
        # The whole model, which validation and export use: on the CPU, and on the device only while it is used.
        self.whole_model = copy.deepcopy(job.model) if self.sharded and self.processes.is_main else None
        self.model, self.adversary = job.model.to(self.device), job.adversary
        if config.gradient_checkpointing:
            enable_gradient_checkpointing(self.model)
        if config.compile:
            _compile(self.model, self.device, by_block=self.sharded)
        self.model.train()
        prepare = self.accelerator.prepare
        module = ObjectiveModule(self.model, job.objective, job.weights, config.streams)
        if self.sharded:
            sharding.shard(module.to(self.device), self.model, self.device, self.processes, precision=config.precision)
        self.objective_module = module if self.sharded else prepare(module)
        # After sharding, which replaces the parameters.
        self.optimizer = optimizers.build_optimizer(self.model, config.learning_rate, config, self.device)
        self.ema = EMA(trainable_parameters(self.model), config.average)
        if self.adversary is not None:
            self.adversary = self.adversary.to(self.device).train()
            self.adversary_module = prepare(AdversaryModule(self.adversary, job.objective))
            self.adversary_optimizer = optimizers.build_optimizer(
                self.adversary, config.adversary_learning_rate, config, self.device
            )
        self.order = SampleOrder(job.size, config.seed)
        self.step, self.minutes_before, self.started = 0, 0.0, time.monotonic()
        self.branched_from: dict[str, Any] | None = None
        self.meter, self.utilization = LossMeter(self.device), UtilizationMeter(self.device)

    @property
    def minutes(self) -> float:
        """Training time in minutes, including that of earlier processes of a resumed run."""
        return self.minutes_before + (time.monotonic() - self.started) / 60

    @property
    def global_batch(self) -> int:
        """Samples per step over all micro-batches and processes."""
        return self.config.batch_size * self.config.accumulate * self.processes.size

    def progress(self) -> float:
        """How far the run is, by steps or by time, whichever is further on. Equal on all processes; 1 and above is the end."""
        share = self.step / self.config.steps
        if self.config.max_minutes is None:
            return share
        return max(share, self.processes.max(self.minutes / self.config.max_minutes))

    def micro_batches(self) -> Iterator[MicroBatch]:
        """The micro-batches of this process, from the current step to the last."""
        accumulate, size, processes = self.config.accumulate, self.config.batch_size, self.processes
        for step in range(self.step, self.config.steps):
            for turn in range(accumulate):
                slot = turn * processes.size + processes.rank
                yield MicroBatch(self.order((step * accumulate * processes.size + slot) * size, size), slot)

    def compute_losses(self, batch: Any, generator: torch.Generator) -> ObjectiveOutput:
        """The losses of a batch on the device, in the config's precision."""
        with self.utilization.counting(), self.accelerator.autocast() if self.sharded else nullcontext():
            return self.objective_module(batch, generator)

    def save(self) -> None:
        """Write a checkpoint and the exported model. Called by all processes; the main process writes whole tensors."""
        self.processes.barrier()
        keep, milestones = self.config.keep, self.config.milestones
        if self.sharded:
            checkpoint.save_sharded(self.out, self.step, *self._state(), self.processes, keep=keep, milestones=milestones)
        elif self.processes.is_main:
            checkpoint.save(self.out, self.step, *self._state(), keep=keep, milestones=milestones)
        self.with_ema_weights(lambda model: atomic.replace_folder(self.out / "model", lambda folder: self.export(model, folder)))
        if self.config.lora_rank:
            self.with_ema_weights(lambda model: atomic.replace_folder(self.out / "lora", partial(lora.save, model)))
        self.processes.barrier()

    def _state(self) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
        """The tensors and the plain values of a checkpoint. Frozen weights are saved beside it."""
        frozen = frozen_weights.frozen_parameters(self.model)
        weights = {name: value for name, value in self.model.state_dict().items() if name not in frozen}
        if self.sharded:
            frozen = sharding.gather(frozen, self.processes)
        if self.processes.is_main:
            frozen_weights.save(self.out, frozen, self.frozen_fingerprint)
        tensors = {"model": weights, "average": self.ema.values}
        state: dict[str, Any] = {"minutes": self.minutes, "settings": asdict(self.config), "frozen": self.frozen_fingerprint}
        state |= {"average_steps": self.ema.steps, "processes": self.processes.size, "branched_from": self.branched_from}
        tensors["optimizer"], state["optimizer"] = checkpoint.flatten_optimizer(self.optimizer)
        if self.adversary is not None:
            tensors["adversary"] = self.adversary.state_dict()
            flat = checkpoint.flatten_optimizer(self.adversary_optimizer)
            tensors["adversary_optimizer"], state["adversary_optimizer"] = flat
        if self.sharded:
            # Shards have at least one axis.
            for name in ("optimizer", "adversary_optimizer"):
                counts = {key: value.item() for key, value in tensors.get(name, {}).items() if not value.ndim}
                if counts:
                    state[name]["plain"] |= counts
                    tensors[name] = {key: value for key, value in tensors[name].items() if value.ndim}
        return tensors, state

    def export(self, model: nn.Module, folder: Path) -> None:
        """Fill the folder of the exported model, `out/model`. Its weights contain the LoRA updates."""
        fused = lora.fused_copy(model)
        frozen = self.out / frozen_weights.file_name(self.frozen_fingerprint)
        # Fused LoRA updates change the frozen weights.
        linked = fused is model and isinstance(model, SavedWeightsMixin) and frozen.is_file()
        with model.saved_weights(frozen) if linked else nullcontext():  # type: ignore[operator]
            if self.job.export is not None:
                self.job.export(fused, folder)
            else:
                fused.save_pretrained(folder, safe_serialization=True)  # type: ignore[operator]
        (folder / "recipe.json").write_text(json.dumps({**self.job.recipe, "steps_trained": self.step}, indent=1))

    def load(self, path: Path) -> None:
        """Continue from a checkpoint.

        Raises:
            ValueError: the checkpoint is damaged or belongs to another model.
        """
        tensors, state = self._read_shards(path) if self.sharded else checkpoint.load(path)
        if path.absolute().parent != self.out.absolute():
            self.branched_from = checkpoint.checkpoint_identity(path)
        else:
            self.branched_from = state.get("branched_from")
        frozen = state.get("frozen", "")
        self._load_weights(path, tensors["model"], without_frozen=bool(frozen))
        if frozen:
            # The frozen weights of `init` are not loaded again.
            own = self.processes.broadcast(self.frozen_fingerprint) if self.sharded else ""
            frozen_weights.restore(self.model, path, frozen, own_fingerprint=own, expected_to_differ=bool(self.config.init))
            self.frozen_fingerprint = frozen
        checkpoint.restore_optimizer(self.optimizer, tensors["optimizer"], state["optimizer"])
        self._load_ema(tensors["average"], state)
        if self.adversary is not None:
            self.adversary.load_state_dict(tensors["adversary"])
            checkpoint.restore_optimizer(self.adversary_optimizer, tensors["adversary_optimizer"], state["adversary_optimizer"])
        self.step, self.minutes_before = state["step"], state["minutes"]
        earlier = state["settings"]
        for name in ("seed", "batch_size", "accumulate"):
            now = getattr(self.config, name)
            if earlier[name] != now:
                log.warning("resuming with %s=%s, but the run started with %s: the data order changes", name, now, earlier[name])

    def _read_shards(self, path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
        """The tensors of a checkpoint, whole or sharded, sharded as in this run; and its plain values.

        Raises:
            ValueError: the checkpoint is damaged.
        """
        parameters = {
            "model": self.model.state_dict(),
            "average": self.ema.values,
            "optimizer": _parameters_by_index(self.optimizer),
        }

        def like(kind: str, name: str, shape: torch.Size, dtype: torch.dtype) -> Tensor:
            key = name.split(".")[0] if kind == "optimizer" else name
            own = parameters.get(kind, {}).get(key)
            fits = own is not None and own.shape == shape
            return torch.empty_like(own, dtype=dtype) if fits else torch.empty(shape, dtype=dtype)  # type: ignore[arg-type]

        # Only the main process looks for damage, which reads whole checkpoints.
        state = self.processes.broadcast(_read_state(path) if self.processes.is_main else {})
        if isinstance(state, ValueError):
            raise state
        tensors: dict[str, dict[str, Tensor]] = {}
        for name in checkpoint.shard_folders(state):
            targets = {key: like(name, key, *one) for key, one in sharding.shapes(path / name).items()}
            sharding.read_shards(path / name, targets, self.processes)
            tensors[name] = targets
        if tensors:
            return tensors, state
        for name, group in checkpoint.load(path)[0].items():
            tensors[name] = {key: like(name, key, value.shape, value.dtype) for key, value in group.items()}
            for key, value in group.items():
                sharding.copy_whole(tensors[name][key], value)
        return tensors, state

    def _load_weights(self, path: Path, weights: dict[str, Tensor], *, without_frozen: bool) -> None:
        """Load the model's weights of a checkpoint, which may lack the frozen ones."""
        optional = set(frozen_weights.frozen_parameters(self.model)) if without_frozen else set()
        try:
            known = self.model.load_state_dict(weights, strict=not without_frozen)
        except RuntimeError as error:
            fault = str(error).splitlines()[-1].strip()
            raise ValueError(f"resume: {path} contains another model than this recipe's: {fault}") from None
        if wrong := [*(set(known.missing_keys) - optional), *known.unexpected_keys]:
            raise ValueError(f"resume: {path} contains another model than this recipe's: only one of them has {min(wrong)}")

    def _load_ema(self, values: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Load the EMA weights of a checkpoint. Earlier versions saved those of all parameters, by number."""
        steps = state["average_steps"] if "average_steps" in state else state["average"]["optimization_step"]
        if "average_steps" not in state:
            values = {name: values[str(i)] for i, (name, _) in enumerate(self.model.named_parameters())}
        self.ema.load(values, steps)

    def with_ema_weights(self, use: Callable[[nn.Module], Any]) -> Any:
        """Call a function with the model in evaluation mode and with its EMA weights, which are swapped out again.

        Args:
            use: called in the main process only.

        Returns:
            The result of `use`, and None in the other processes.
        """
        if self.sharded:
            return self._with_whole_model(use)
        if not self.processes.is_main:
            return None
        with self.ema.swapped_in():
            self.model.eval()
            try:
                with torch.no_grad():
                    return use(self.model)
            finally:
                self.model.train()

    def _with_whole_model(self, use: Callable[[nn.Module], Any]) -> Any:
        """As `with_ema_weights` for a sharded model: its weights are gathered into a whole model in the main process."""
        weights = sharding.gather(self.model.state_dict(), self.processes)
        average = sharding.gather(self.ema.values, self.processes)
        if self.whole_model is None:
            return None
        self.whole_model.load_state_dict(weights)
        with torch.no_grad():
            # By parameters, since tied weights have several names in a state dict and one average.
            for name, parameter in self.whole_model.named_parameters():
                if name in average:
                    parameter.copy_(average[name])
            self.whole_model.to(self.device).eval()
            try:
                return use(self.whole_model)
            finally:
                self.whole_model.to("cpu")


def _parameters_by_index(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The parameters of an optimiser by the index that they have in its state dict."""
    parameters = itertools.chain(*(group["params"] for group in optimizer.param_groups))
    return {str(index): parameter for index, parameter in enumerate(parameters)}


def _read_state(path: Path) -> "dict[str, Any] | ValueError":
    """The plain values of a checkpoint, or what is wrong with it, for all processes."""
    try:
        return checkpoint.read_state(path)
    except ValueError as error:
        return error
