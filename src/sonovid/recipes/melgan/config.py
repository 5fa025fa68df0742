"""Config and recipes of the improved MelGAN vocoder."""

from dataclasses import dataclass, field, replace
from fractions import Fraction

from sonovid.core.geometry import Geometry
from sonovid.recipes.configs import TINY_TRAINING, ClipRunConfig, DataConfig, MelConfig
from sonovid.training.config import TrainingConfig


@dataclass(frozen=True)
class GeneratorConfig:
    """See `codecs.melgan.MelGAN`. The product of the upsampling ratios must be the mel's hop."""

    ratios: tuple[int, ...] = (8, 8, 2, 2)
    width: int = 32
    blocks: int = 3


@dataclass(frozen=True)
class DiscriminatorConfig:
    """See `training.melgan.WaveformDiscriminator`.

    Attributes:
        on: whether there is a discriminator; without one only spectral distances are trained.
        width: channels of the first layer.
        widest: largest number of channels.
    """

    on: bool = True
    width: int = 16
    widest: int = 1024


@dataclass(frozen=True)
class LossConfig:
    """The weights of the losses. See `training.melgan.MelGANObjective`."""

    mel: float = 10.0
    adversarial: float = 1.0
    matching: float = 2.0
    spectrum: float = 0.0
    filters: bool = True
    floor: float = 1e-5


@dataclass(frozen=True)
class MelGANConfig(ClipRunConfig):
    """A training of the vocoder on any folder of audio files.

    Attributes:
        geometry: length and sample rate of the cached audio clips; frames are never read.
        mel: the spectrogram.
        samples: length of a training sequence, in samples.
        start: folder of a trained vocoder to initialise from; empty for random weights.
    """

    geometry: Geometry = field(default_factory=lambda: Geometry(256, Fraction(125, 2), 16, 16, 16000))
    mel: MelConfig = field(default_factory=lambda: MelConfig(80, 512, 256, 1e-5))
    network: GeneratorConfig = field(default_factory=GeneratorConfig)
    judge: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    samples: int = 65_536
    start: str = ""
    training: TrainingConfig = field(default_factory=TrainingConfig)


WORLDS = "hits+bounces+dance+kitchen+landscape"


def paper() -> MelGANConfig:
    """The published vocoder: 4.27 million parameters, 80 bins at 16 kHz, sequences of 65,536 samples, on any folder of sound.

    Deviation: the paper states only loss weights and lengths. Learning rates, betas and batch size are those of MelGAN, for a
    million steps.
    """
    return MelGANConfig(
        training=TrainingConfig(
            steps=1_000_000,
            batch_size=16,
            learning_rate=1e-4,
            adversary_learning_rate=1e-4,
            betas=(0.5, 0.9),
            weight_decay=0.0,
            warm_up=0,
            decay="constant",
            clip=0.0,
            validate_every=10_000,
            checkpoint_every=5000,
        )
    )


def scenes() -> MelGANConfig:
    """A quarter of the published vocoder, for sounds of scenes, an hour on one core; judge.on=true adds discriminators.

    Deviation: in an hour the discriminators do not teach the vocoder its phases. Multi-resolution spectral distances do so
    sooner, and short sequences give more of them.
    """
    return replace(
        paper(),
        data=DataConfig(path=f"scenes:{WORLDS}:1000:seed=0"),
        network=GeneratorConfig(width=16),
        judge=DiscriminatorConfig(on=False, width=8, widest=256),
        losses=LossConfig(mel=1.0, adversarial=0.1, matching=0.2, spectrum=1.0, floor=1e-3),
        samples=16_384,
        training=TrainingConfig(
            steps=20_000, batch_size=8, learning_rate=1e-3, betas=(0.8, 0.99), weight_decay=0.0, validate_every=1000
        ),
    )


def tiny() -> MelGANConfig:
    """A tiny vocoder with its discriminators that trains within seconds."""
    return replace(
        paper(),
        geometry=Geometry(32, Fraction(125, 2), 16, 16, 16000),
        data=DataConfig(path="scenes:hits+bounces:8:seed=0", held_out=0.2, workers=0, shard=8),
        network=GeneratorConfig(width=2, blocks=1),
        judge=DiscriminatorConfig(width=4, widest=16),
        samples=4096,
        training=TINY_TRAINING,
    )
