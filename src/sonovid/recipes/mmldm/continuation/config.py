"""MM-LDM's continuation network: the published settings, scenes, a toy (Sun et al. 2024, section 4.4)."""

from dataclasses import dataclass, field, replace

from sonovid.recipes.mmldm.generator import SHORT, TOY, Regression
from sonovid.recipes.uniform import Data
from sonovid.training.config import TrainingConfig


@dataclass(frozen=True)
class Before:
    """How much of the window before is not shown, see `diffusion.cross_modal.FollowingCrossModal`."""

    without_video: float = 0.2
    without_audio: float = 0.2
    alone: float = 0.1


@dataclass(frozen=True)
class ContinuationRecipe:
    """A whole training of the network that goes on from the window before, on pairs of consecutive windows.

    generator: the folder of a pipeline that a training of mmldm.* left; its network is begun from, its autoencoder and its ways
    of sampling are kept, and clips are as long as two of its windows. depth: blocks of the second transformer; 0: half as many as
    the generator's. regression: as of the generator, predict being its own. shown: held-out clips that a validation goes on from,
    to `windows` windows in all.
    """

    out: str = ""
    resume: str | None = None
    generator: str = ""
    depth: int = 0
    data: Data = field(default_factory=Data)
    before: Before = field(default_factory=Before)
    regression: Regression = field(default_factory=Regression)
    shown: int = 2
    windows: int = 3
    training: TrainingConfig = field(default_factory=TrainingConfig)


def paper() -> ContinuationRecipe:
    """The continuation of a trained generator, generator=FOLDER, as the released configuration has it: batches of 8 x 12.

    Deviation: up to 40 epochs are published, here steps; the rate is that of the generator's training, since none is given.
    """
    return ContinuationRecipe(
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


def scenes() -> ContinuationRecipe:
    """The continuation of mmldm.scenes on clips of 4 s of the same scenes, generator=FOLDER; streams given as often as there."""
    return ContinuationRecipe(
        data=Data(path="scenes:bounces+hits:3000:seed=0", held_out=0.03),
        regression=Regression(predict="v", video_to_audio=0.3, audio_to_video=0.3),
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


def tiny() -> ContinuationRecipe:
    """A toy of it on the toy of a generator, generator=FOLDER, in seconds."""
    return ContinuationRecipe(
        data=TOY, regression=Regression(video_to_audio=0.25, audio_to_video=0.25), shown=1, training=replace(SHORT, steps=4)
    )
