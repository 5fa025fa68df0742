"""Fine-tuning of a frame codec's decoder on frames and audio images: MM-LDM's settings, scenes, a toy (Sun et al. 2024, 3.1)."""

from dataclasses import dataclass, field, replace
from fractions import Fraction

from sonovid.core.geometry import Geometry
from sonovid.recipes.codec import SHORT, SMALL, TOY
from sonovid.recipes.uniform import Data
from sonovid.training.config import TrainingConfig


@dataclass(frozen=True)
class AudioPicture:
    """The sound as a picture, see `codecs.mel.LogMel` and `codecs.audio_image.AudioImage`; as large as the frames.

    rate: samples per second that the bins are laid out for; 0: the sound's own. top: the highest frequency at that rate; 0: half
    of it. low, high: the levels that are black and white, in dB.
    """

    bins: int = 64
    n_fft: int = 1024
    hop: int = 250
    floor: float = 1e-3
    rate: int = 0
    top: float = 0.0
    low: float = -80.0
    high: float = 20.0


# The released code's: sound at 44.1 kHz read with the constants for 22.05 kHz.
RELEASED = AudioPicture(bins=80, hop=256, floor=1e-5, rate=22050, top=8000.0)


@dataclass(frozen=True)
class Judge:
    """The judge of patches. width: of its first layer. begins: the step from which it has a say. weight: see `DecoderTuning`."""

    on: bool = True
    width: int = 64
    begins: int = 10_001
    weight: float = 0.5


@dataclass(frozen=True)
class TuningRecipe:
    """A fine-tuning of a decoder, its encoder frozen: latents that were cached stay what they are.

    codec: a folder of a `FrameAutoencoder` or of diffusers' AutoencoderKL, a model's folder, the latter's id, or "shipped".
    sounds: how often a clip's audio image counts beside each of its frames. perceived: a safetensors file of the perceptual
    distance, see `training.perceptual`; empty: none. edge: the weight of the error of edges.
    """

    out: str = ""
    resume: str | None = None
    codec: str = "shipped"
    geometry: Geometry = field(default_factory=lambda: Geometry(16, Fraction(8), 64, 64, 16000))
    data: Data = field(default_factory=Data)
    picture: AudioPicture = field(default_factory=AudioPicture)
    sounds: int = 4
    perceived: str = ""
    edge: float = 0.0
    judge: Judge = field(default_factory=Judge)
    training: TrainingConfig = field(default_factory=TrainingConfig)


def paper() -> TuningRecipe:
    """Stable Diffusion's frame codec at MM-LDM's settings: 256x256, a judge from step 10 001, codec=FOLDER_OR_ID."""
    return TuningRecipe(
        codec="stabilityai/sd-vae-ft-mse",
        geometry=Geometry(16, Fraction(10), 256, 256, 44100),
        picture=RELEASED,
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


def scenes() -> TuningRecipe:
    """The frame codec in the package, on scenes and their sound as pictures."""
    return TuningRecipe(
        data=Data(path="scenes:landscape+hits+bounces:1500:seed=0"),
        picture=AudioPicture(low=-60.0),
        edge=1.0,
        judge=Judge(width=32, begins=250),
        training=TrainingConfig(
            steps=2000, batch_size=16, learning_rate=3e-4, adversary_learning_rate=1e-4, betas=(0.5, 0.9), weight_decay=0.0
        ),
    )


def tiny() -> TuningRecipe:
    """A toy codec's decoder, fine-tuned in seconds."""
    return replace(scenes(), codec="tiny", geometry=SMALL, data=TOY, judge=Judge(width=16, begins=2), training=SHORT)
