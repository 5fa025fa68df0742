"""The light codecs' trainings: frames, mel spectrograms, and waveforms from them."""

from dataclasses import dataclass, field, replace
from fractions import Fraction

from sonovid.core.geometry import Geometry
from sonovid.recipes.uniform import Data
from sonovid.training.config import TrainingConfig


@dataclass(frozen=True)
class Mel:
    """The spectrogram: mel bins, samples of the window and between two of them, floor."""

    bins: int = 64
    n_fft: int = 1024
    hop: int = 250
    floor: float = 1e-3


@dataclass(frozen=True)
class FrameNetwork:
    """See `codecs.video.FrameAutoencoder`."""

    latent_channels: int = 8
    patch: int = 4
    widths: tuple[int, ...] = (64, 128)
    blocks: int = 2


@dataclass(frozen=True)
class VideoNetwork:
    """See `codecs.spacetime.VideoAutoencoder`."""

    latent_channels: int = 32
    patch: int = 4
    widths: tuple[int, int, int] = (96, 192, 320)
    encoder_blocks: tuple[int, int, int] = (1, 2, 2)
    decoder_blocks: tuple[int, int, int] = (2, 3, 4)


@dataclass(frozen=True)
class MelNetwork:
    """See `codecs.audio.MelAutoencoder`."""

    latent_channels: int = 16
    width: int = 192
    blocks: int = 2
    levels: int = 2


@dataclass(frozen=True)
class VocoderNetwork:
    """See `codecs.vocoder.SpectralVocoder`."""

    width: int = 256
    depth: int = 8
    expansion: int = 3
    accumulate: bool = False


@dataclass(frozen=True)
class FramesRecipe:
    """A training of the frame autoencoder. frames: how many of a clip, side by side in time, one sample takes."""

    out: str = ""
    resume: str | None = None
    geometry: Geometry = field(default_factory=lambda: Geometry(16, Fraction(8), 64, 64, 16000))
    data: Data = field(default_factory=Data)
    network: FrameNetwork = field(default_factory=FrameNetwork)
    frames: int = 1
    kl: float = 1e-4
    edge: float = 1.0
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(frozen=True)
class VideoRecipe:
    """A training of the video autoencoder, in space and time. frames: length of a sample, a multiple of four.

    motion: how much more moving pixels weigh than still ones. initial: the folder of a trained one to initialise from.
    decoder_only: whether the encoder stays as it is, so that latents made before remain good.
    """

    out: str = ""
    resume: str | None = None
    geometry: Geometry = field(default_factory=lambda: Geometry(32, Fraction(16), 96, 96, 16000))
    data: Data = field(default_factory=Data)
    network: VideoNetwork = field(default_factory=VideoNetwork)
    initial: str = ""
    decoder_only: bool = False
    frames: int = 12
    kl: float = 1e-4
    edge: float = 1.0
    motion: float = 6.0
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(frozen=True)
class MelRecipe:
    """A training of the mel autoencoder."""

    out: str = ""
    resume: str | None = None
    geometry: Geometry = field(default_factory=lambda: Geometry(16, Fraction(8), 64, 64, 16000))
    data: Data = field(default_factory=Data)
    mel: Mel = field(default_factory=Mel)
    network: MelNetwork = field(default_factory=MelNetwork)
    kl: float = 1e-3
    rise: float = 0.5
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(frozen=True)
class VocoderRecipe:
    """A training of the vocoder.

    through: the folder of a mel autoencoder that half of the spectrograms pass first. adversary: whether a discriminator judges.
    seconds: the length of a sample.
    """

    out: str = ""
    resume: str | None = None
    geometry: Geometry = field(default_factory=lambda: Geometry(16, Fraction(8), 64, 64, 16000))
    data: Data = field(default_factory=Data)
    mel: Mel = field(default_factory=Mel)
    network: VocoderNetwork = field(default_factory=VocoderNetwork)
    through: str = ""
    adversary: bool = False
    seconds: float = 1.0
    training: TrainingConfig = field(default_factory=TrainingConfig)


SCENES = Data(path="scenes:bounces+hits:4000:seed=0")
TOY = Data(path="scenes:bounces+hits:12:seed=0", held_out=0.2, workers=0, shard=8)
SHORT = TrainingConfig(
    steps=4, batch_size=2, warm_up=2, log_every=2, validate_every=4, validate_size=2, checkpoint_every=2, average=0.9
)
SMALL = Geometry(4, Fraction(8), 32, 32, 16000)


def frames() -> FramesRecipe:
    """The frame autoencoder of the shipped model: 64x64 to 8 channels at an eighth of the size."""
    return FramesRecipe(
        data=SCENES, training=TrainingConfig(steps=8000, batch_size=16, learning_rate=1e-3, weight_decay=0.0, precision="bf16")
    )


def video() -> VideoRecipe:
    """The next packaged model's video autoencoder: 96x96, 16 a second; 16x16 pixels of 4 frames to 32 channels."""
    return VideoRecipe(
        data=Data(path="scenes:hits+bounces+landscape+kitchen+dance:7200:seed=0"),
        training=TrainingConfig(
            steps=12_000,
            batch_size=4,
            optimizer="muon_kernels",
            matrix_rate=2.0,
            learning_rate=1e-3,
            warm_up=300,
            weight_decay=0.0,
            precision="bf16",
            average=0.998,
        ),
    )


def video_tiny() -> VideoRecipe:
    """A toy video autoencoder, trained in seconds."""
    network = VideoNetwork(4, 4, (8, 12, 16), (1, 1, 1), (1, 1, 1))
    return replace(video(), geometry=SMALL, data=TOY, network=network, frames=4, training=SHORT)


def mel() -> MelRecipe:
    """The mel autoencoder of the shipped model: 64 bins to 16 channels, a quarter of the frames."""
    return MelRecipe(
        data=SCENES, training=TrainingConfig(steps=8000, batch_size=16, learning_rate=1e-3, weight_decay=0.0, precision="bf16")
    )


def vocoder() -> VocoderRecipe:
    """The vocoder of the shipped model; adversary=true adds a discriminator at several resolutions."""
    return VocoderRecipe(
        data=SCENES, training=TrainingConfig(steps=10_000, batch_size=16, learning_rate=5e-4, weight_decay=0.0, precision="bf16")
    )


def frames_tiny() -> FramesRecipe:
    """A toy frame autoencoder, trained in seconds."""
    return replace(frames(), geometry=SMALL, data=TOY, network=FrameNetwork(widths=(16, 16), blocks=1), training=SHORT)


def mel_tiny() -> MelRecipe:
    """A toy mel autoencoder, trained in seconds."""
    return replace(mel(), geometry=SMALL, data=TOY, network=MelNetwork(width=32, blocks=1), training=SHORT)


def vocoder_tiny() -> VocoderRecipe:
    """A toy vocoder with its discriminator, trained in seconds."""
    return replace(
        vocoder(),
        geometry=SMALL,
        data=TOY,
        network=VocoderNetwork(width=32, depth=1),
        adversary=True,
        seconds=0.5,
        training=SHORT,
    )
