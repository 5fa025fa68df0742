"""CMMD in three sizes, with and without its contrastive loss: the paper's, one for scenes, a toy (Yang, Gamper & Braun 2023)."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

from sonovid.core.geometry import Geometry
from sonovid.recipes.codec import Mel
from sonovid.recipes.uniform import Data
from sonovid.training.config import TrainingConfig


@dataclass(frozen=True)
class Codecs:
    """The spaces of the two streams.

    video: a frame codec: "shipped", a folder, a repository of the Hub, or "tiny". mel: the spectrogram, whose frames are the
    audio latents. low, high: the natural logarithms of the mel magnitudes that become -1 and 1. vocoder: the folder of one for
    this spectrogram; empty: phases by iteration (Griffin & Lim), which needs none.
    """

    video: str = "shipped"
    mel: Mel = field(default_factory=lambda: Mel(80, 512, 256, 1e-5))
    low: float = -11.5
    high: float = 0.5
    vocoder: str = ""


@dataclass(frozen=True)
class Network:
    """The two U-Nets' own settings; the channels of the latents are the codecs'. See `models.cmmd.unet.CMMD`."""

    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 3, 4)
    blocks: int = 1
    head_width: int = 64
    groups: int = 32
    time_width: int = 128
    audio_widths: tuple[int, ...] = ()
    fusion: bool = True
    dropout: float = 0.1


@dataclass(frozen=True)
class Regression:
    """What is regressed, and at which noise levels, both streams at one.

    predict: "v" as published, which needs a stream of sound wider than the mel has bins (`Network.audio_widths`): near the data v
    is the noise itself, of all bins at once, and what a narrower one cannot say of it stays in the sound. "x0" asks for no more
    than the data. law: "table": the entries of a table of a thousand, alike often; "logit_normal": with this mean and standard
    deviation.
    """

    predict: Literal["v", "x0"] = "v"
    law: Literal["table", "logit_normal"] = "table"
    mean: float = 0.0
    std: float = 1.0
    audio_weight: float = 1.0


@dataclass(frozen=True)
class Contrast:
    """The contrastive loss (CMMD, eq. 9); eta = 0 leaves it out, which is nCMMD.

    margin: frames before and after each clip that are cached with it, from which shifted negatives are cut. shift, segment,
    swap: how often each kind of negative is drawn. count: negatives of each stream for each sample. least, most: the seconds of
    a shift.
    """

    eta: float = 0.0
    margin: int = 4
    count: int = 1
    shift: float = 1.0
    segment: float = 0.0
    swap: float = 0.0
    least: float = 0.2
    most: float = 0.4


@dataclass(frozen=True)
class Sampling:
    """What the pipeline that is saved samples with, and how many clips a validation leaves.

    reconstruction: the paper's lambda, the scale of reconstruction guidance.
    """

    steps: int = 200
    reconstruction: float = 0.0
    step: Literal["ddim", "dpm_solver"] = "ddim"
    validation_clips: int = 2


@dataclass(frozen=True)
class CMMDRecipe:
    """A whole training of CMMD: data, codecs, network, objective, loop.

    out: the folder of the run. resume: "latest", or the folder of a checkpoint: the contrastive training goes on from a plain
    one.
    """

    out: str = ""
    resume: str | None = None
    geometry: Geometry = field(default_factory=lambda: Geometry(18, Fraction(10), 128, 128, 16000))
    data: Data = field(default_factory=Data)
    codecs: Codecs = field(default_factory=Codecs)
    network: Network = field(default_factory=Network)
    regression: Regression = field(default_factory=Regression)
    contrast: Contrast = field(default_factory=Contrast)
    sampling: Sampling = field(default_factory=Sampling)
    training: TrainingConfig = field(default_factory=TrainingConfig)


PUBLISHED = TrainingConfig(
    steps=700_000,
    batch_size=8,
    learning_rate=1e-4,
    warm_up=0,
    decay="staircase",
    decay_every=80_000,
    decay_factor=0.8,
    final_rate=0.2,
    weight_decay=0.0,
    betas=(0.9, 0.999),
    clip=0.0,
    average=0.9999,
    log_every=100,
    validate_every=10_000,
    checkpoint_every=10_000,
    keep=3,
    # Where the contrastive training branches off (CMMD, section 4).
    milestones=(400_000,),
)


def paper() -> CMMDRecipe:
    """nCMMD as published: 18 frames of 128x128, 1.8 s, 106 million parameters, no contrastive loss.

    Deviation: the paper leaves the mel's scale, the averaging and the dropout open. Of the frame autoencoder's posterior the mode
    is taken, so that a clip has one code. A cosine of continuous time has no betas to clip.
    """
    return CMMDRecipe(codecs=Codecs(video="stabilityai/sd-vae-ft-mse"), training=PUBLISHED)


def contrastive(plain: CMMDRecipe) -> CMMDRecipe:
    """A plain recipe, gone on with under the contrastive loss at its published weight (CMMD, section 4)."""
    return replace(plain, contrast=replace(plain.contrast, eta=5e-5))


def paper_contrastive() -> CMMDRecipe:
    """CMMD as published: from nCMMD's checkpoint at step 400,000 (resume=FOLDER) to 700,000, batches of 2, eta 5e-5."""
    plain = contrastive(paper())
    return replace(plain, training=replace(plain.training, batch_size=2))


def scenes() -> CMMDRecipe:
    """nCMMD on bounces and hits: 16 frames of 64x64 at 10 per second, 1.6 s, small enough for one core.

    As trained for docs/systems/cmmd.md, sampled at a lambda that was good there for both tasks. The stream of pictures is narrow;
    that of sound is wider than its mel has bins, which costs little along one axis, and which v needs (see `Regression`).
    """
    return CMMDRecipe(
        geometry=Geometry(16, Fraction(10), 64, 64, 16000),
        data=Data(path="scenes:bounces+hits:6000:seed=0", held_out=0.02),
        network=Network(32, (1, 2, 3), head_width=32, groups=8, time_width=64, audio_widths=(96, 96, 96), dropout=0.0),
        sampling=Sampling(steps=25, reconstruction=4.0),
        training=TrainingConfig(
            steps=4000,
            batch_size=8,
            optimizer="muon",
            learning_rate=8e-4,
            decay="constant",
            precision="bf16",
            average=0.998,
            validate_every=500,
            validate_size=64,
            checkpoint_every=250,
            keep=6,
        ),
    )


def scenes_contrastive() -> CMMDRecipe:
    """CMMD on the same scenes, from a checkpoint of cmmd.scenes on (resume=FOLDER)."""
    return contrastive(scenes())


def tiny() -> CMMDRecipe:
    """A toy of the contrastive training, which trains and samples on a CPU in seconds: 32x32, 6 frames, 0.6 s."""
    plain = contrastive(scenes())
    return replace(
        plain,
        geometry=Geometry(6, Fraction(10), 32, 32, 16000),
        data=Data(path="scenes:bounces+hits:12:seed=0", held_out=0.2, workers=0, shard=16),
        codecs=Codecs(video="tiny"),
        network=Network(width=16, multipliers=(1, 2), head_width=16, groups=8, time_width=32, dropout=0.0),
        contrast=replace(plain.contrast, segment=0.5, swap=0.5),
        sampling=Sampling(steps=2, validation_clips=1),
        training=TrainingConfig(
            steps=4, batch_size=2, warm_up=2, log_every=2, validate_every=4, validate_size=2, checkpoint_every=2, average=0.9
        ),
    )
