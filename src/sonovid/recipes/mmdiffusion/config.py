"""Config and recipes of MM-Diffusion."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

from sonovid.core.geometry import Geometry
from sonovid.recipes.configs import TINY_DATA, TINY_GEOMETRY, TINY_TRAINING, ClipRunConfig, DataConfig
from sonovid.training.config import TrainingConfig


@dataclass(frozen=True)
class NetworkConfig:
    """The coupled U-Net. See `models.mmdiffusion.MMDiffusion`."""

    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 3, 4)
    blocks: int = 2
    windows: tuple[int, ...] = (0, 1, 4, 8)
    heads: int = 4
    head_width: int = 64
    groups: int = 32
    dropout: float = 0.1


@dataclass(frozen=True)
class ObjectiveConfig:
    """The diffusion objective; both streams have the same timestep, and generation of both is the only task.

    Attributes:
        audio_scale: factor of the waveform, see `codecs.raw.WaveformCodec`.
        audio_weight: weight of the audio loss in the sum of the losses.
    """

    audio_scale: float = 1.0
    audio_weight: float = 1.0


@dataclass(frozen=True)
class SamplingConfig:
    """Default sampling options of the saved pipeline, and the samples of a validation.

    Attributes:
        steps: number of inference steps.
        reconstruction: scale of reconstruction guidance, for generation of one stream from the other; 0: replacement alone.
        step: solver; "ddpm" is ancestral sampling, with the learnt variance where the network has one.
        validation_clips: number of held-out clips that each validation generates samples for.
    """

    steps: int = 50
    reconstruction: float = 0.0
    step: Literal["ddim", "dpm_solver", "ddpm"] = "ddim"
    validation_clips: int = 2


@dataclass(frozen=True)
class MMDiffusionConfig(ClipRunConfig):
    """A training of MM-Diffusion on pixels and samples."""

    geometry: Geometry = field(default_factory=lambda: Geometry(16, Fraction(10), 64, 64, 16000))
    network: NetworkConfig = field(default_factory=NetworkConfig)
    regression: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


def paper() -> MMDiffusionConfig:
    """MM-Diffusion as published: 16 frames of 64x64 at 10 per second, 1.6 s, 133.7 million parameters.

    The batch of 128 counts all GPUs: four clips each on 32 GPUs, or 32 accumulated passes on one.

    Deviation: the authors train in float16, here in bfloat16. They sample by a third-order DPM-Solver in 20 steps; here it is
    DPM-Solver++(2M). Their DDPM of 1000 steps is sampling.step=ddpm sampling.steps=1000.

    Memory of a step on one GPU: 2.5 GiB for weights, gradients, AdamW and averages, and 18.3 GiB for the passes of 4 clips
    (benchmarks/training/memory.py).
    """
    return MMDiffusionConfig(
        sampling=SamplingConfig(steps=20, step="dpm_solver"),
        training=TrainingConfig(
            steps=100_000,
            batch_size=4,
            global_batch=128,
            learning_rate=1e-4,
            warm_up=0,
            decay="constant",
            weight_decay=0.0,
            betas=(0.9, 0.999),
            clip=0.0,
            precision="bf16",
            average=0.9999,
            log_every=100,
            validate_every=10_000,
            checkpoint_every=10_000,
        ),
    )


def scenes() -> MMDiffusionConfig:
    """MM-Diffusion on scenes of bounces and hits: 16 frames of 64x64 at 8 per second, 2 s, small enough for a CPU.

    Deviation: a quarter of the published width and one block per level, Muon, and a waveform scaled by four.
    """
    return MMDiffusionConfig(
        geometry=Geometry(16, Fraction(8), 64, 64, 16000),
        data=DataConfig(path="scenes:bounces+hits:16000:seed=0", held_out=0.01),
        network=NetworkConfig(width=32, blocks=1, head_width=32, groups=8, dropout=0.0),
        regression=ObjectiveConfig(audio_scale=4.0),
        training=TrainingConfig(
            steps=2000,
            batch_size=16,
            optimizer="muon",
            learning_rate=8e-4,
            decay="cosine",
            precision="bf16",
            average=0.998,
            validate_every=250,
            validate_size=32,
            checkpoint_every=250,
        ),
    )


def tiny() -> MMDiffusionConfig:
    """A tiny model that trains and samples within seconds on a CPU: 32x32, 4 frames, half a second."""
    return replace(
        scenes(),
        geometry=TINY_GEOMETRY,
        data=TINY_DATA,
        network=NetworkConfig(16, (1, 2), 1, (0, 1), 2, 16, 8, 0.0),
        sampling=SamplingConfig(steps=2, validation_clips=1),
        training=TINY_TRAINING,
    )
