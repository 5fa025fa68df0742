"""The training config. It holds plain values only, so that recipes can be listed without importing torch."""

from dataclasses import dataclass
from typing import Literal

from sonovid.core import renamed


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained.

    Args:
        steps: number of optimiser steps.
        batch_size: samples of one process in one forward pass.
        accumulate: forward passes per step (gradient accumulation).
        global_batch: samples of one step over all processes. If set, `accumulate` follows from it and the number of processes, so
            a step is the same on any number of GPUs, and `batch_size` only sets the memory.
        max_minutes: training time after which the run ends with a checkpoint, summed over resumed runs. The decay of the learning
            rate then follows the time where that is further on than the steps. Such a run is not exactly repeatable.
        optimizer: "adamw". "muon": Muon for the matrices inside blocks and AdamW for the rest. "muon_kernels": Muon for the
            convolution kernels inside blocks instead.
        learning_rate: peak learning rate.
        matrix_rate: factor of the learning rate of Muon.
        adversary_learning_rate: peak learning rate of the adversary.
        warm_up: steps of linear warm-up.
        decay: decay of the learning rate. "cosine" ends at `final_rate`. "staircase" multiplies the rate by `decay_factor` every
            `decay_every` steps, down to `final_rate`.
        decay_every: see `decay`.
        decay_factor: see `decay`.
        final_rate: share of the learning rate at which a decay ends.
        weight_decay: of matrices and kernels; biases, norms and vectors have none.
        betas: of AdamW.
        clip: maximum gradient norm; 0 for no clipping.
        precision: "no" (float32) or "bf16" (autocast).
        average: decay of the EMA weights, in [0, 1).
        seed: of the order of the samples, the noise and the dropout.
        log_every: steps between lines of the log.
        validate_every: steps between validations.
        validate_size: held-out samples per validation.
        checkpoint_every: steps between checkpoints.
        keep: number of checkpoints to keep.
        milestones: steps whose checkpoints are written regardless of `checkpoint_every`, and always kept.
        ahead: threads that prepare batches in advance.
        gradient_checkpointing: recompute activations inside blocks in the backward pass: a fraction of their memory for about a
            third more time.
        init: a model folder, or "packaged", from whose network a new run is initialised (fine-tuning). `resume=` continues a run
            instead.
        streams: "both", or one stream to train. "audio" minimises the audio loss; weights that serve only the video are frozen,
            weights that both streams share are trained.
        lora_rank: rank of LoRA layers (Hu et al. 2021), which are trained in place of the weights of `init`. 0: all weights are
            trained.
        lora_alpha: scale of the LoRA update, which is multiplied by alpha / rank; none: the rank.
        lora_layers: ends of the names of the linear layers with LoRA, such as "qkv"; empty: all linear layers that the recipe
            trains.
        compile: use torch.compile for the network.
        strategy: what several processes share. "ddp": each has all weights. "fsdp": weights, gradients, optimiser state and
            averages are sharded (FSDP2), see `training.sharding`. A single process is the same with both.
    """

    steps: int = 10_000
    batch_size: int = 32
    accumulate: int = 1
    global_batch: int | None = None
    max_minutes: float | None = None
    optimizer: Literal["adamw", "muon", "muon_kernels"] = "adamw"
    learning_rate: float = 3e-4
    matrix_rate: float = 2.5
    adversary_learning_rate: float = 2e-4
    warm_up: int = 200
    decay: Literal["constant", "cosine", "staircase"] = "cosine"
    decay_every: int = 80_000
    decay_factor: float = 0.8
    final_rate: float = 0.02
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0
    precision: Literal["no", "bf16"] = "no"
    average: float = 0.999
    seed: int = 0
    log_every: int = 50
    validate_every: int = 1000
    validate_size: int = 256
    checkpoint_every: int = 500
    keep: int = 2
    milestones: tuple[int, ...] = ()
    ahead: int = 2
    gradient_checkpointing: bool = False
    init: str = ""
    streams: Literal["both", "video", "audio"] = "both"
    lora_rank: int = 0
    lora_alpha: float | None = None
    lora_layers: tuple[str, ...] = ()
    compile: bool = False
    strategy: Literal["ddp", "fsdp"] = "ddp"

    def __post_init__(self) -> None:
        counts = ("steps", "batch_size", "accumulate", "log_every", "validate_every", "validate_size", "checkpoint_every", "keep")
        for name in (*counts, "ahead", "decay_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected a whole number above zero")
        if self.global_batch is not None and self.global_batch < 1:
            raise ValueError(f"global_batch={self.global_batch}: expected a whole number above zero, or none")
        if self.lora_rank < 0:
            raise ValueError(f"lora_rank={self.lora_rank}: expected a rank above zero, or 0 to train all weights")
        if not self.lora_rank and (self.lora_alpha is not None or self.lora_layers):
            raise ValueError("lora_alpha and lora_layers need lora_rank=RANK")
        if not 0 <= self.average < 1:
            raise ValueError(f"average={self.average}: expected a decay of the averaged weights in [0, 1)")


__getattr__ = renamed.attributes(__name__, {"Settings": "TrainingConfig"})
