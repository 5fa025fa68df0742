"""UniForm in three sizes: the paper's, the one that ships in the package, and a toy (Zhao et al. 2025)."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

from sonovid.core.geometry import Geometry
from sonovid.training.config import TrainingConfig


@dataclass(frozen=True)
class Data:
    """What is trained on.

    path: a folder, a manifest, or "scenes:WORLD:COUNT:seed=N". held_out: the share kept for validation. most: clips taken from
    one file. workers: processes that read or render. cache: where latents are kept; empty: under the output. shard: clips in one
    file of it. precision: what encoders compute in.
    """

    path: str = ""
    held_out: float = 0.03
    most: int | None = None
    workers: int = 2
    cache: str = ""
    shard: int = 256
    precision: Literal["no", "bf16"] = "no"


@dataclass(frozen=True)
class Codecs:
    """Where the codecs and the text encoder come from: a folder of this library's, a model folder, a repository, or "shipped".

    vocoder: the folder of one, where `audio` names a mel autoencoder alone. text: "hashed", or the id or folder of a T5, CLIP or
    CLAP encoder.
    """

    video: str = "shipped"
    audio: str = "shipped"
    vocoder: str = ""
    text: str = "hashed"
    text_width: int = 256
    text_words: int = 32


@dataclass(frozen=True)
class Network:
    """The transformer's own settings; sizes that follow from the codecs are taken from them.

    layout: "columns" is the paper's, "tokens" embeds the streams apart, both in STDiT blocks (`models.uniform.transformer.UniForm`);
    "sequence" is one sequence with full attention (`models.uniform.sequence.SequenceUniForm`), without patches and variances.
    pixart: a PixArt-alpha by hub id or folder whose weights are begun from.
    """

    layout: Literal["tokens", "columns", "sequence"] = "tokens"
    depth: int = 5
    width: int = 192
    heads: int = 3
    patch_size: tuple[int, int, int] = (2, 2, 2)
    learn_variance: bool = False
    pixart: str = ""


@dataclass(frozen=True)
class Regression:
    """What is regressed, at which noise levels, for which tasks.

    joint, video_to_audio, audio_to_video: how often each task is drawn. video_mean, audio_mean, std: of logit t, the law of each
    stream's times; given_audio_mean, given_video_mean: the mean for one stream where the other, which is named, is given: when
    things happen is decided at high noise levels, of pictures higher than of sound. law: "uniform" takes all times alike often,
    "table" only the entries of a table of a thousand.
    """

    schedule: Literal["flow", "cosine", "linear"] = "flow"
    predict: Literal["x0", "eps", "v", "flow"] = "flow"
    joint: float = 0.4
    video_to_audio: float = 0.2
    audio_to_video: float = 0.4
    times: Literal["shared", "independent"] = "shared"
    law: Literal["logit_normal", "uniform", "table"] = "logit_normal"
    video_mean: float = 1.2
    audio_mean: float = 0.8
    std: float = 1.2
    given_audio_mean: float = 1.8
    given_video_mean: float = 0.8
    text_dropout: float = 0.3
    bound: float = 0.0
    audio_weight: float = 1.0


@dataclass(frozen=True)
class Sampling:
    """What the pipeline that is saved samples with, and how many clips a validation leaves."""

    steps: int = 25
    guidance: float = 3.0
    shift: float = 1.0
    step: Literal["ddim", "dpm_solver"] = "ddim"
    validation_clips: int = 2


@dataclass(frozen=True)
class UniFormRecipe:
    """A whole training of UniForm: data, codecs, network, objective, loop.

    out: the folder of the run. resume: "latest", or a checkpoint's folder.
    """

    out: str = ""
    resume: str | None = None
    geometry: Geometry = field(default_factory=lambda: Geometry(16, Fraction(8), 64, 64, 16000))
    data: Data = field(default_factory=Data)
    codecs: Codecs = field(default_factory=Codecs)
    network: Network = field(default_factory=Network)
    regression: Regression = field(default_factory=Regression)
    sampling: Sampling = field(default_factory=Sampling)
    training: TrainingConfig = field(default_factory=TrainingConfig)


def paper() -> UniFormRecipe:
    """The published model: 256x256 at 17 frames per second, 4 s, 1.2 billion parameters, begun from PixArt.

    Deviation: the paper does not say the steps, the averaging or the law of the times; those of Open-Sora and of improved DDPM
    are taken. docs/uniform.md lists all deviations.
    """
    return UniFormRecipe(
        geometry=Geometry(68, Fraction(17), 256, 256, 16000),
        # The first 4 s of each clip (Sec. 4.1).
        data=Data(most=1),
        codecs=Codecs(
            video="hpcai-tech/OpenSora-VAE-v1.2",
            audio="cvssp/audioldm-m-full",
            # T5-v1.1-XXL's encoder; Google's own repository holds it as a pickle alone.
            text="PixArt-alpha/PixArt-XL-2-512x512",
            text_width=4096,
            text_words=300,
        ),
        network=Network(
            layout="columns",
            depth=28,
            width=1152,
            heads=16,
            patch_size=(1, 2, 2),
            learn_variance=True,
            pixart="PixArt-alpha/PixArt-XL-2-512x512",
        ),
        regression=Regression(
            schedule="linear",
            predict="eps",
            joint=1 / 3,
            video_to_audio=1 / 3,
            audio_to_video=1 / 3,
            law="table",
            text_dropout=0.5,
            bound=1.0,
        ),
        sampling=Sampling(steps=100, guidance=4.0),
        training=TrainingConfig(
            steps=1_000_000,
            batch_size=1,
            global_batch=32,
            gradient_checkpointing=True,
            learning_rate=1e-4,
            warm_up=1000,
            decay="constant",
            weight_decay=0.0,
            betas=(0.9, 0.999),
            precision="bf16",
            average=0.9999,
            checkpoint_every=2000,
            validate_every=10_000,
        ),
    )


def scenes() -> UniFormRecipe:
    """The model that ships in the package: bounces and hits, 64x64, 16 frames at 8 per second, 2 s at 16 kHz."""
    return UniFormRecipe(
        data=Data(path="scenes:hits+bounces:16000:seed=0", held_out=0.02),
        training=TrainingConfig(
            steps=30_000,
            batch_size=32,
            optimizer="muon",
            learning_rate=8e-4,
            weight_decay=0.02,
            precision="bf16",
            average=0.998,
            validate_every=1000,
            checkpoint_every=500,
        ),
    )


def tiny_columns() -> UniFormRecipe:
    """A toy of the paper's layout and objective: columns, the noise and its variance, a CPU's seconds.

    16 channels of sound are 8 channels times 2 rows of the frames, and one step of it falls on each latent frame, so that its
    column, the task's and the frames' two are whole patches.
    """
    return replace(
        tiny(),
        geometry=Geometry(8, Fraction(16), 16, 16, 16000),
        network=Network(layout="columns", depth=1, width=32, heads=2, patch_size=(1, 2, 2), learn_variance=True),
        regression=paper().regression,
    )


def tiny() -> UniFormRecipe:
    """A toy that trains and samples on a CPU in seconds: 32x32, 4 frames, half a second."""
    return replace(
        scenes(),
        geometry=Geometry(4, Fraction(8), 32, 32, 16000),
        data=Data(path="scenes:bounces+hits:24:seed=0", held_out=0.2, workers=0, shard=16),
        codecs=Codecs(video="tiny", audio="tiny", text_width=32),
        network=Network(depth=1, width=32, heads=2),
        sampling=Sampling(steps=4, validation_clips=1),
        training=TrainingConfig(
            steps=4, batch_size=4, warm_up=2, log_every=2, validate_every=4, validate_size=4, checkpoint_every=2, average=0.9
        ),
    )
