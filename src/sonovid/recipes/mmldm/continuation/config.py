"""Config and recipes of MM-LDM's continuation network."""

from dataclasses import dataclass, field

from sonovid.recipes.configs import TINY_TRAINING, DataConfig, RunConfig
from sonovid.recipes.mmldm.generator.config import ObjectiveConfig
from sonovid.recipes.mmldm.presets import TINY_DATA
from sonovid.training.config import TrainingConfig


@dataclass(frozen=True)
class DropoutConfig:
    """How often parts of the previous window are dropped. See `diffusion.cross_modal.ContinuationObjective`.

    Attributes:
        without_video: share of the samples without the previous video.
        without_audio: share of the samples without the previous audio.
        alone: share of the samples without a previous window.
    """

    without_video: float = 0.2
    without_audio: float = 0.2
    alone: float = 0.1


@dataclass(frozen=True)
class MMLDMContinuationConfig(RunConfig):
    """A training of the continuation network on pairs of consecutive windows.

    Attributes:
        generator: folder of the pipeline that a training of mmldm.* left. The network is initialised from its generator; its
            autoencoder and sampling options are kept, and clips are two of its windows long.
        depth: number of blocks of the second transformer; 0 for half as many as the generator has.
        before: how often parts of the previous window are dropped.
        regression: the objective; `predict` must be that of the generator.
        shown: number of held-out clips that each validation continues.
        windows: length of these continued clips, in windows.
    """

    generator: str = ""
    depth: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    before: DropoutConfig = field(default_factory=DropoutConfig)
    regression: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    shown: int = 2
    windows: int = 3
    training: TrainingConfig = field(default_factory=TrainingConfig)


def paper() -> MMLDMContinuationConfig:
    """The continuation of a trained generator, generator=FOLDER, as in the released configuration: batches of 8 x 12.

    Deviation: the release trains for up to 40 epochs; here the length is in steps. The learning rate is that of the generator's
    training, since none is published.
    """
    return MMLDMContinuationConfig(
        training=TrainingConfig(
            steps=50_000,
            batch_size=12,
            accumulate=8,
            learning_rate=1e-5,
            warm_up=0,
            decay="constant",
            betas=(0.9, 0.999),
            clip=0.0,
            precision="bf16",
            average=0.0,
            validate_every=5000,
            checkpoint_every=2500,
        ),
    )


def scenes() -> MMLDMContinuationConfig:
    """The continuation of mmldm.scenes on clips of 4 s of the same scenes, generator=FOLDER; with its objective."""
    return MMLDMContinuationConfig(
        data=DataConfig(path="scenes:bounces+hits:3000:seed=0", held_out=0.03),
        regression=ObjectiveConfig(predict="v", video_to_audio=0.3, audio_to_video=0.3),
        training=TrainingConfig(
            steps=10_000,
            batch_size=16,
            optimizer="muon",
            learning_rate=6e-4,
            average=0.998,
            validate_every=500,
            validate_size=64,
            checkpoint_every=250,
        ),
    )


def tiny() -> MMLDMContinuationConfig:
    """A tiny continuation of a tiny generator, generator=FOLDER; trains within seconds."""
    return MMLDMContinuationConfig(
        data=TINY_DATA,
        regression=ObjectiveConfig(video_to_audio=0.25, audio_to_video=0.25),
        shown=1,
        training=TINY_TRAINING,
    )
