"""Settings: how a run is trained. Plain values, so that recipes can be listed without loading torch."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TrainingConfig:
    """How a run is trained.

    batch_size: samples of one process in one pass; `accumulate` passes make one step. global_batch: samples of one step of all
    processes together; where it is given, `accumulate` follows from it and from the number of processes, so that a step stays
    the same step on another number of GPUs, and batch_size alone decides the memory. max_minutes: the run ends with a checkpoint
    after so long, resumed runs counted together, and a decay then follows the time where that is further on than the steps (such
    a run is not exactly repeatable). warm_up: steps of rising rate. final_rate: the share of the rate that a decay ends at.
    "staircase" multiplies the rate by `decay_factor` after every `decay_every` steps, down to `final_rate`.
    optimizer: "muon" is Muon for the matrices inside blocks, at `matrix_rate` times the rate, and AdamW for the rest;
    "muon_kernels" is the same for the convolutions inside blocks.
    average: the decay of the averaged weights. keep: how many checkpoints stay; those at the steps that `milestones` names are
    written whatever `checkpoint_every` says, and stay beside them. ahead: threads that prepare batches ahead.
    validate_size: samples of the held-out part that are scored each time. gradient_checkpointing: activations inside blocks are
    computed again in the backward pass: a fraction of their memory, for about a third more time. init: a model folder, or
    "packaged", whose network's weights a new run begins with: fine-tuning, where resume= continues a run. streams: "audio" trains
    what serves the sound alone and what both streams share, by the sound's loss; weights of the pictures alone do not move.
    compile: torch.compile of the network.
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
    compile: bool = False

    def __post_init__(self) -> None:
        counts = ("steps", "batch_size", "accumulate", "log_every", "validate_every", "validate_size", "checkpoint_every", "keep")
        for name in (*counts, "ahead", "decay_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected a whole number above zero")
        if self.global_batch is not None and self.global_batch < 1:
            raise ValueError(f"global_batch={self.global_batch}: expected a whole number above zero, or none")
        if not 0 <= self.average < 1:
            raise ValueError(f"average={self.average}: expected a decay of the averaged weights in [0, 1)")
