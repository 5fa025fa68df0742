"""Config and recipes of the fine-tuning of a frame codec's decoder."""

from dataclasses import dataclass, field, replace
from fractions import Fraction

from sonovid.core.geometry import Geometry
from sonovid.recipes.configs import (
    RELEASED_AUDIO_IMAGE,
    TINY_DATA,
    TINY_GEOMETRY,
    TINY_TRAINING,
    AudioImageConfig,
    DataConfig,
    RunConfig,
)
from sonovid.training.config import TrainingConfig


@dataclass(frozen=True)
class DiscriminatorConfig:
    """The patch discriminator. See `training.decoder_fine_tuning.PatchDiscriminator`.

    Attributes:
        on: whether there is a discriminator.
        width: channels of its first layer.
        begins: step from which its loss counts.
        weight: weight of the adversarial loss, relative to the gradients of the other losses.
    """

    on: bool = True
    width: int = 64
    begins: int = 10_001
    weight: float = 0.5


@dataclass(frozen=True)
class DecoderFineTuningConfig(RunConfig):
    """A fine-tuning of a decoder with a frozen encoder, so that latents cached before remain valid.

    Attributes:
        codec: folder of a `FrameAutoencoder` or of diffusers' AutoencoderKL, Hub id of the latter, a model folder, or "uniform".
        picture: the audio image.
        sounds: how often a clip's audio image counts beside each of its frames, 0 or more.
        perceived: safetensors file of LPIPS, see `training.perceptual`; empty for no perceptual loss.
        edge: weight of the error of differences between neighbouring pixels.
        judge: the discriminator.
    """

    codec: str = "uniform"
    geometry: Geometry = field(default_factory=lambda: Geometry(16, Fraction(8), 64, 64, 16000))
    data: DataConfig = field(default_factory=DataConfig)
    picture: AudioImageConfig = field(default_factory=AudioImageConfig)
    sounds: int = 4
    perceived: str = ""
    edge: float = 0.0
    judge: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


def paper() -> DecoderFineTuningConfig:
    """Stable Diffusion's frame codec at MM-LDM's settings: 256x256, a discriminator from step 10,001, codec=FOLDER_OR_ID."""
    return DecoderFineTuningConfig(
        codec="stabilityai/sd-vae-ft-mse",
        geometry=Geometry(16, Fraction(10), 256, 256, 44100),
        picture=RELEASED_AUDIO_IMAGE,
        training=TrainingConfig(
            steps=100_000,
            batch_size=10,
            learning_rate=1e-5,
            adversary_learning_rate=1e-5,
            betas=(0.5, 0.9),
            weight_decay=0.0,
            warm_up=0,
            decay="constant",
            clip=0.0,
        ),
    )


def scenes() -> DecoderFineTuningConfig:
    """The frame codec of the packaged model, on frames and audio images of scenes."""
    return DecoderFineTuningConfig(
        data=DataConfig(path="scenes:landscape+hits+bounces:1500:seed=0"),
        picture=AudioImageConfig(low=-60.0, width=256),
        edge=1.0,
        judge=DiscriminatorConfig(width=32, begins=250),
        training=TrainingConfig(
            steps=2000, batch_size=16, learning_rate=3e-4, adversary_learning_rate=1e-4, betas=(0.5, 0.9), weight_decay=0.0
        ),
    )


def tiny() -> DecoderFineTuningConfig:
    """A tiny codec whose decoder is fine-tuned within seconds."""
    return replace(
        scenes(),
        codec="tiny",
        picture=AudioImageConfig(low=-60.0),
        geometry=TINY_GEOMETRY,
        data=TINY_DATA,
        judge=DiscriminatorConfig(width=16, begins=2),
        training=TINY_TRAINING,
    )
