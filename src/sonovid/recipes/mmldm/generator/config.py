"""MM-LDM's autoencoder and generator: three data sets at the paper's settings, scenes, a toy (Sun et al. 2024)."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

from sonovid.core.geometry import Geometry
from sonovid.recipes.fine_tuning import RELEASED, AudioPicture
from sonovid.recipes.uniform import Data
from sonovid.training.config import TrainingConfig


@dataclass(frozen=True)
class Base:
    """What the autoencoder stands on, and never trains.

    frames: the frame codec, for frames and for the sound's picture: "shipped", a folder such as one whose decoder
    codec.frames.fine_tuned left, a repository of the Hub, or "tiny". vocoder: log-mel frames to a waveform: "shipped", where
    `picture` is its spectrogram, or a folder of one; empty: phases by iteration (Griffin & Lim), which needs none.
    """

    frames: str = "shipped"
    vocoder: str = ""
    picture: AudioPicture = field(default_factory=AudioPicture)


@dataclass(frozen=True)
class AutoencoderNetwork:
    """What the autoencoder learns.

    size: see `codecs.hierarchical.network`; what follows from the frame codec and the geometry is taken from them. semantic:
    whether there is a semantic space. unet: a released U-Net of Stable Diffusion, by hub id or folder, that the signal decoder is
    begun from; empty: none. classes: their names; empty: those that the clips carry.
    """

    size: Literal["paper", "scenes", "tiny"] = "paper"
    semantic: bool = True
    unet: str = ""
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Losses:
    """The weights of eq. 3; see `training.hierarchical.HierarchicalLosses`. adversarial 0: there is no discriminator."""

    kl: float = 1e-8
    classes: float = 0.1
    contrast: float = 0.1
    adversarial: float = 0.1
    frames: int = 2
    dropout: float = 0.1


@dataclass(frozen=True)
class Decoding:
    """How the autoencoder draws pictures, see `codecs.hierarchical.Decoding`."""

    steps: int = 50
    video_scale: float = 2.5
    audio_scale: float = 2.5


@dataclass(frozen=True)
class AutoencoderRecipe:
    """A whole training of the autoencoder. shown: held-out clips that a validation leaves as they are and decoded."""

    out: str = ""
    resume: str | None = None
    geometry: Geometry = field(default_factory=lambda: Geometry(16, Fraction(8), 64, 64, 16000))
    data: Data = field(default_factory=Data)
    base: Base = field(default_factory=Base)
    network: AutoencoderNetwork = field(default_factory=AutoencoderNetwork)
    losses: Losses = field(default_factory=Losses)
    decoding: Decoding = field(default_factory=Decoding)
    shown: int = 2
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(frozen=True)
class Codec:
    """autoencoder: the folder that a training of one left. whiten: whether its latents are brought to mean 0 and deviation 1 by
    the statistics of the training clips. text, text_width, text_words: for a generator told words, see `uniform.Codecs`."""

    autoencoder: str = ""
    whiten: bool = True
    text: str = "hashed"
    text_width: int = 256
    text_words: int = 32


@dataclass(frozen=True)
class Network:
    """The generator's own settings, see `models.mmldm.MMLDM`; S is 12 x 768, B 20 x 1024, L 36 x 1536.

    streams: "video" and "audio" train MM-LDM-v and MM-LDM-a, of one stream alone.
    """

    depth: int = 12
    width: int = 768
    heads: int = 12
    context: Literal["learnt", "class", "text"] = "learnt"
    context_tokens: int = 77
    context_width: int = 768
    streams: Literal["both", "video", "audio"] = "both"


@dataclass(frozen=True)
class Regression:
    """What is regressed, at which times, and how often a stream is given, see `diffusion.cross_modal.CrossModal`.

    law: "table", the entries of a table of a thousand alike often; "logit_normal", with this mean and standard deviation.
    """

    predict: Literal["eps", "v", "x0"] = "eps"
    video_to_audio: float = 0.05
    audio_to_video: float = 0.05
    context_dropout: float = 0.1
    law: Literal["table", "logit_normal"] = "table"
    mean: float = 0.0
    std: float = 1.0
    audio_weight: float = 1.0


@dataclass(frozen=True)
class Sampling:
    """What the pipeline that is saved samples with, and how many clips a validation leaves.

    guidance, audio_guidance: phi of the pictures and of the sound (eq. 9). against: see `SoundingVideoPipeline`.
    """

    steps: int = 50
    guidance: float = 9.0
    audio_guidance: float = 9.0
    against: Literal["modality", "context", "both"] = "modality"
    step: Literal["ddim", "dpm_solver"] = "ddim"
    validation_clips: int = 2


@dataclass(frozen=True)
class MMLDMRecipe:
    """A whole training of the generator on an autoencoder's latents; the geometry is the autoencoder's."""

    out: str = ""
    resume: str | None = None
    geometry: Geometry = field(default_factory=lambda: Geometry(16, Fraction(8), 64, 64, 16000))
    data: Data = field(default_factory=Data)
    codec: Codec = field(default_factory=Codec)
    network: Network = field(default_factory=Network)
    regression: Regression = field(default_factory=Regression)
    sampling: Sampling = field(default_factory=Sampling)
    training: TrainingConfig = field(default_factory=TrainingConfig)


# 16 frames at 10 a second, and the sound at 44.1 kHz; AudioSet at 4 a second.
WINDOW = Geometry(16, Fraction(10), 256, 256, 44100)
LONG = replace(WINDOW, fps=Fraction(4))
STABLE_DIFFUSION = "stable-diffusion-v1-5/stable-diffusion-v1-5"
# Batches of 8 processes, 20 and 28 each; one process takes the same by accumulate=8.
FIRST = TrainingConfig(
    steps=24_000,
    batch_size=20,
    learning_rate=1e-4,
    adversary_learning_rate=1e-4,
    warm_up=0,
    decay="constant",
    betas=(0.9, 0.999),
    clip=0.0,
    precision="bf16",
    average=0.0,
    validate_every=2000,
    validate_size=64,
    checkpoint_every=1000,
)
SECOND = replace(FIRST, steps=500_000, batch_size=28, learning_rate=1e-5, validate_every=10_000, checkpoint_every=5000)


def landscape_autoencoder() -> AutoencoderRecipe:
    """The autoencoder on Landscape as published: 256x256, 1.6 s, Stable Diffusion's parts.

    Deviation: the paper counts epochs, at most 30, and not the clips of one; the steps are those of 30 epochs on AIST++, of which
    it says that 20 are 16 thousand. Half precision is bfloat16, clips are not mirrored, and the sound's phases are found by
    iteration unless base.vocoder names a vocoder for its spectrogram.
    """
    return AutoencoderRecipe(
        geometry=WINDOW,
        base=Base(frames="stabilityai/sd-vae-ft-mse", picture=RELEASED),
        network=AutoencoderNetwork(unet=STABLE_DIFFUSION),
        losses=Losses(kl=1e-9),
        training=FIRST,
    )


def aist_autoencoder() -> AutoencoderRecipe:
    """The autoencoder on AIST++ as published: that of Landscape with a KL weight of 1e-8."""
    return replace(landscape_autoencoder(), losses=Losses(kl=1e-8))


def audioset_autoencoder() -> AutoencoderRecipe:
    """The autoencoder on AudioSet: 4 s, no classes and no discriminator, as in the released code."""
    return replace(
        landscape_autoencoder(),
        geometry=LONG,
        losses=Losses(kl=1e-7, classes=0.0, adversarial=0.0),
        decoding=Decoding(video_scale=3.0, audio_scale=1.5),
    )


def landscape() -> MMLDMRecipe:
    """MM-LDM-S on Landscape as published: unconditional, both directions learnt at once, codec.autoencoder=FOLDER.

    Deviation: up to 1000 epochs are published, here steps, as many as those have on AIST++. Which of the sizes Table 1 was made
    with is not said.
    """
    return MMLDMRecipe(geometry=WINDOW, codec=Codec(whiten=False), training=SECOND)


def aist() -> MMLDMRecipe:
    """MM-LDM-S on AIST++ as published, which is as on Landscape."""
    return landscape()


def audioset() -> MMLDMRecipe:
    """MM-LDM-S on AudioSet as published: told words, ten times the rate."""
    return replace(
        landscape(),
        geometry=LONG,
        codec=Codec(whiten=False, text="openai/clip-vit-large-patch14", text_width=768, text_words=77),
        network=Network(context="text"),
        training=replace(SECOND, learning_rate=1e-4, batch_size=24),
    )


def scenes_autoencoder() -> AutoencoderRecipe:
    """The autoencoder on bounces and hits, nine materials: 16 frames of 64x64 at 8 per second, small enough for one core.

    The frame codec in the package has never seen an audio image: base.frames=FOLDER names one whose decoder was tuned on them, by
    codec.frames.fine_tuned.scenes.
    """
    return AutoencoderRecipe(
        data=Data(path="scenes:bounces+hits:5000:seed=0", held_out=0.02),
        base=Base(vocoder="shipped", picture=AudioPicture(low=-60.0)),
        network=AutoencoderNetwork(size="scenes"),
        losses=Losses(kl=1e-6, adversarial=0.0, frames=4),
        training=TrainingConfig(
            steps=5000,
            batch_size=8,
            learning_rate=1.5e-3,
            warm_up=50,
            average=0.995,
            validate_every=500,
            validate_size=96,
            checkpoint_every=500,
        ),
    )


def scenes() -> MMLDMRecipe:
    """MM-LDM on the same scenes, told their material; codec.autoencoder=FOLDER. docs/training-log.md has a longer run.

    Deviation: v is predicted, and streams are given far more often than published, since the training is short: near pure noise
    an error of the noise is an error of the latents fifteen times as large.
    """
    return MMLDMRecipe(
        data=Data(path="scenes:bounces+hits:6000:seed=0", held_out=0.02),
        network=Network(depth=6, width=128, heads=2, context="class", context_tokens=4, context_width=128),
        regression=Regression(predict="v", video_to_audio=0.3, audio_to_video=0.3),
        sampling=Sampling(steps=25, guidance=2.0, audio_guidance=2.0),
        training=TrainingConfig(
            steps=2500,
            batch_size=16,
            optimizer="muon",
            learning_rate=1e-3,
            warm_up=50,
            precision="bf16",
            average=0.998,
            validate_every=400,
            validate_size=96,
            checkpoint_every=200,
        ),
    )


TOY = Data(path="scenes:landscape:10:seed=0", held_out=0.2, workers=0, shard=8)
SHORT = TrainingConfig(
    steps=4, batch_size=2, warm_up=2, log_every=2, validate_every=4, validate_size=2, checkpoint_every=2, average=0.9
)
SMALL = Geometry(4, Fraction(8), 32, 32, 16000)


def tiny_autoencoder() -> AutoencoderRecipe:
    """A toy of the autoencoder's training, all its losses, in seconds: 32x32, 4 frames, half a second."""
    return AutoencoderRecipe(
        geometry=SMALL,
        data=TOY,
        base=Base(frames="tiny"),
        network=AutoencoderNetwork(size="tiny"),
        decoding=Decoding(steps=2),
        shown=1,
        training=SHORT,
    )


def tiny() -> MMLDMRecipe:
    """A toy of the generator's training on a toy's latents, codec.autoencoder=FOLDER, in seconds."""
    return MMLDMRecipe(
        geometry=SMALL,
        data=TOY,
        network=Network(depth=2, width=32, heads=2, context="class", context_tokens=2, context_width=16),
        regression=Regression(video_to_audio=0.25, audio_to_video=0.25),
        sampling=Sampling(steps=2, guidance=2.0, audio_guidance=2.0, validation_clips=1),
        training=SHORT,
    )
