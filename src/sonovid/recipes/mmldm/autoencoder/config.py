"""Config and recipes of MM-LDM's hierarchical autoencoder."""

from dataclasses import dataclass, field, replace
from typing import Literal

from sonovid.recipes.configs import (
    RELEASED_AUDIO_IMAGE,
    TINY_GEOMETRY,
    TINY_TRAINING,
    AudioImageConfig,
    ClipRunConfig,
    DataConfig,
)
from sonovid.recipes.mmldm.presets import AUDIOSET_GEOMETRY, AUTOENCODER_TRAINING, PAPER_GEOMETRY, TINY_DATA
from sonovid.training.config import TrainingConfig

STABLE_DIFFUSION = "stable-diffusion-v1-5/stable-diffusion-v1-5"


@dataclass(frozen=True)
class BaseConfig:
    """The frozen parts below the autoencoder.

    Attributes:
        frames: source of the frame codec, for frames and for audio images: "uniform", a folder, such as one whose decoder
            codec.frames.fine_tuned trained, a repository of the Hub, or "tiny".
        vocoder: source of a vocoder: "uniform", where `picture` is its spectrogram, or a folder; empty for the Griffin-Lim
            algorithm, which needs no weights.
        picture: the audio image.
    """

    frames: str = "uniform"
    vocoder: str = ""
    picture: AudioImageConfig = field(default_factory=AudioImageConfig)


@dataclass(frozen=True)
class NetworkConfig:
    """The trained part of the autoencoder.

    Attributes:
        size: a size of `codecs.hierarchical.network`. Sizes that follow from the frame codec and the geometry are taken from
            them.
        semantic: whether there is a semantic space besides the signal latents.
        unet: Hub id or folder of a U-Net of Stable Diffusion to initialise the signal decoder from; empty for random weights.
        classes: names of the classes; empty for those of the clips' labels.
    """

    size: Literal["paper", "scenes", "tiny"] = "paper"
    semantic: bool = True
    unet: str = ""
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LossConfig:
    """The loss weights (Eq. 3). See `training.hierarchical.HierarchicalObjective`.

    Attributes:
        kl: weight of the KL divergence of the posteriors.
        classes: weight of the classification loss.
        contrast: weight of the contrastive loss.
        adversarial: weight of the adversarial loss; 0 for no discriminator.
        frames: number of frames of a clip that a step decodes.
        dropout: probability that the decoder's condition is dropped, for each stream independently.
    """

    kl: float = 1e-8
    classes: float = 0.1
    contrast: float = 0.1
    adversarial: float = 0.1
    frames: int = 2
    dropout: float = 0.1


@dataclass(frozen=True)
class DecodingConfig:
    """How the signal decoder samples frames and audio images. See `codecs.hierarchical.Decoding`.

    Attributes:
        steps: number of DDIM steps.
        video_scale: classifier-free guidance scale of the frames; 1 for none.
        audio_scale: classifier-free guidance scale of the audio images; 1 for none.
    """

    steps: int = 50
    video_scale: float = 2.5
    audio_scale: float = 2.5


@dataclass(frozen=True)
class MMLDMAutoencoderConfig(ClipRunConfig):
    """A training of the autoencoder.

    Attributes:
        shown: number of held-out clips that each validation writes, with their reconstructions.
    """

    base: BaseConfig = field(default_factory=BaseConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    shown: int = 2
    training: TrainingConfig = field(default_factory=TrainingConfig)


def landscape() -> MMLDMAutoencoderConfig:
    """The autoencoder on Landscape as published: 256x256, 1.6 s, initialised from Stable Diffusion.

    Deviation: the paper counts epochs, at most 30, without the number of clips in one. The number of steps is that of 30 epochs
    on AIST++, of which the paper says that 20 are 16 thousand. Half precision is bfloat16, clips are not mirrored, and the phases
    of the audio come from the Griffin-Lim algorithm unless base.vocoder names a vocoder for its spectrogram.
    """
    return MMLDMAutoencoderConfig(
        geometry=PAPER_GEOMETRY,
        base=BaseConfig(frames="stabilityai/sd-vae-ft-mse", picture=RELEASED_AUDIO_IMAGE),
        network=NetworkConfig(unet=STABLE_DIFFUSION),
        losses=LossConfig(kl=1e-9),
        training=AUTOENCODER_TRAINING,
    )


def aist() -> MMLDMAutoencoderConfig:
    """The autoencoder on AIST++ as published: that of Landscape with a KL weight of 1e-8."""
    return replace(landscape(), losses=LossConfig(kl=1e-8))


def audioset() -> MMLDMAutoencoderConfig:
    """The autoencoder on AudioSet: 4 s, no classes and no discriminator, as in the released code."""
    return replace(
        landscape(),
        geometry=AUDIOSET_GEOMETRY,
        losses=LossConfig(kl=1e-7, classes=0.0, adversarial=0.0),
        decoding=DecodingConfig(video_scale=3.0, audio_scale=1.5),
    )


def scenes() -> MMLDMAutoencoderConfig:
    """The autoencoder on bounces and hits, nine materials: 16 frames of 64x64 at 8 per second, small enough for one core.

    The frame codec of the packaged model was not trained on audio images. base.frames=FOLDER names one whose decoder
    codec.frames.fine_tuned.scenes trained on them.

    Deviation: the audio image is four times as wide as a frame, so that a column of latents is 62 ms of sound; at the width of a
    frame it would be 250 ms, where the paper has 50.
    """
    return MMLDMAutoencoderConfig(
        data=DataConfig(path="scenes:bounces+hits:5000:seed=0", held_out=0.02),
        base=BaseConfig(vocoder="uniform", picture=AudioImageConfig(low=-60.0, width=256)),
        network=NetworkConfig(size="scenes"),
        losses=LossConfig(kl=1e-6, adversarial=0.0, frames=4),
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


def tiny() -> MMLDMAutoencoderConfig:
    """A tiny autoencoder, trained with all losses within seconds: 32x32, 4 frames, half a second."""
    return MMLDMAutoencoderConfig(
        geometry=TINY_GEOMETRY,
        data=TINY_DATA,
        base=BaseConfig(frames="tiny"),
        network=NetworkConfig(size="tiny"),
        decoding=DecodingConfig(steps=2),
        shown=1,
        training=TINY_TRAINING,
    )
