"""The improved MelGAN's training in three sizes: the paper's, one for scenes, a toy (CMMD, section 3.2 and appendix B.1)."""

from dataclasses import dataclass, field, replace
from fractions import Fraction

from sonovid.core.geometry import Geometry
from sonovid.recipes.codec import Mel
from sonovid.recipes.uniform import Data
from sonovid.training.config import TrainingConfig


@dataclass(frozen=True)
class Generator:
    """See `codecs.melgan.MelGAN`; the product of the ratios must be the mel's hop."""

    ratios: tuple[int, ...] = (8, 8, 2, 2)
    width: int = 32
    blocks: int = 3


@dataclass(frozen=True)
class Judge:
    """See `training.adversarial_vocoding.WaveformJudge`. on: whether there is one; without, distances alone are regressed."""

    on: bool = True
    width: int = 16
    widest: int = 1024


@dataclass(frozen=True)
class Losses:
    """See `training.adversarial_vocoding.MelGANVocoding`."""

    mel: float = 10.0
    adversarial: float = 1.0
    matching: float = 2.0
    spectrum: float = 0.0
    filters: bool = True
    floor: float = 1e-5


@dataclass(frozen=True)
class MelGANRecipe:
    """A training of the vocoder on any folder of sound.

    geometry: how long and at which rate sounds are cut and kept; its pictures are never read. samples: of one sequence.
    start: the folder of a trained one whose weights are begun from.
    """

    out: str = ""
    resume: str | None = None
    geometry: Geometry = field(default_factory=lambda: Geometry(256, Fraction(125, 2), 16, 16, 16000))
    data: Data = field(default_factory=Data)
    mel: Mel = field(default_factory=lambda: Mel(80, 512, 256, 1e-5))
    network: Generator = field(default_factory=Generator)
    judge: Judge = field(default_factory=Judge)
    losses: Losses = field(default_factory=Losses)
    samples: int = 65_536
    start: str = ""
    training: TrainingConfig = field(default_factory=TrainingConfig)


WORLDS = "hits+bounces+dance+kitchen+landscape"


def paper() -> MelGANRecipe:
    """The published vocoder: 4.27 million parameters, 80 bins at 16 kHz, sequences of 65,536 samples, on any folder of sound.

    Deviation: the paper gives weights and lengths alone. Rates and betas are MelGAN's, the batch too, and a million steps.
    """
    return MelGANRecipe(
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


def scenes() -> MelGANRecipe:
    """A quarter of the published vocoder, for sounds of scenes, an hour on one core; judge.on=true adds discriminators.

    Deviation: an hour is not enough for the discriminators to teach phases; spectral distances over several windows do so
    sooner, and short sequences give more of them.
    """
    return replace(
        paper(),
        data=Data(path=f"scenes:{WORLDS}:1000:seed=0"),
        network=Generator(width=16),
        judge=Judge(on=False, width=8, widest=256),
        losses=Losses(mel=1.0, adversarial=0.1, matching=0.2, spectrum=1.0, floor=1e-3),
        samples=16_384,
        training=TrainingConfig(
            steps=20_000, batch_size=8, learning_rate=1e-3, betas=(0.8, 0.99), weight_decay=0.0, validate_every=1000
        ),
    )


def tiny() -> MelGANRecipe:
    """A toy of it with its discriminators, trained in seconds."""
    return replace(
        paper(),
        geometry=Geometry(32, Fraction(125, 2), 16, 16, 16000),
        data=Data(path="scenes:hits+bounces:8:seed=0", held_out=0.2, workers=0, shard=8),
        network=Generator(width=2, blocks=1),
        judge=Judge(width=4, widest=16),
        samples=4096,
        training=TrainingConfig(
            steps=4, batch_size=2, warm_up=2, log_every=2, validate_every=4, validate_size=2, checkpoint_every=2, average=0.9
        ),
    )
