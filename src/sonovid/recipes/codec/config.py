"""Configs and recipes of the small codecs."""

from dataclasses import dataclass, field, replace
from fractions import Fraction

from sonovid.core.geometry import Geometry
from sonovid.recipes.configs import TINY_DATA, TINY_GEOMETRY, TINY_TRAINING, ClipRunConfig, DataConfig, MelConfig
from sonovid.training.config import TrainingConfig


@dataclass(frozen=True)
class FrameNetworkConfig:
    """See `codecs.video.FrameAutoencoder`."""

    latent_channels: int = 8
    patch: int = 4
    widths: tuple[int, ...] = (64, 128)
    blocks: int = 2


@dataclass(frozen=True)
class VideoNetworkConfig:
    """See `codecs.spacetime.VideoAutoencoder`."""

    latent_channels: int = 32
    patch: int = 4
    widths: tuple[int, int, int] = (96, 192, 320)
    encoder_blocks: tuple[int, int, int] = (1, 2, 2)
    decoder_blocks: tuple[int, int, int] = (4, 3, 4)


@dataclass(frozen=True)
class MelNetworkConfig:
    """See `codecs.audio.MelAutoencoder`."""

    latent_channels: int = 16
    width: int = 192
    blocks: int = 2
    levels: int = 2


@dataclass(frozen=True)
class VocoderNetworkConfig:
    """See `codecs.vocoder.SpectralVocoder`."""

    width: int = 256
    depth: int = 8
    expansion: int = 3
    accumulate: bool = False


@dataclass(frozen=True)
class FrameCodecConfig(ClipRunConfig):
    """A training of the frame autoencoder. See `training.reconstruction.FrameReconstruction` for the losses.

    Attributes:
        frames: number of consecutive frames of a clip in one sample.
        kl: weight of the KL divergence of the posterior.
        edge: weight of the error of differences between neighbouring pixels.
    """

    network: FrameNetworkConfig = field(default_factory=FrameNetworkConfig)
    frames: int = 1
    kl: float = 1e-4
    edge: float = 1.0
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(frozen=True)
class VideoCodecConfig(ClipRunConfig):
    """A training of the spatiotemporal video autoencoder. See `training.reconstruction.VideoReconstruction` for the losses.

    Attributes:
        initial: folder of a trained autoencoder to initialise from; empty for random weights.
        decoder_only: whether the encoder is frozen, so that latents encoded before remain valid.
        frames: number of frames of a sample, a multiple of 4.
        kl: weight of the KL divergence of the posterior.
        edge: weight of the error of differences between neighbouring pixels.
        motion: additional weight of moving pixels.
        focus: total weight of the moving pixels of a clip, however few, relative to that of all its pixels.
        noise: largest deviation of the noise that the decoder sees on its latents, relative to that of their channel.
    """

    geometry: Geometry = field(default_factory=lambda: Geometry(32, Fraction(16), 96, 96, 16000))
    network: VideoNetworkConfig = field(default_factory=VideoNetworkConfig)
    initial: str = ""
    decoder_only: bool = False
    frames: int = 12
    kl: float = 1e-4
    edge: float = 1.0
    motion: float = 6.0
    focus: float = 0.0
    noise: float = 0.0
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(frozen=True)
class MelCodecConfig(ClipRunConfig):
    """A training of the mel autoencoder. See `training.reconstruction.MelReconstruction` for the losses.

    Attributes:
        initial: folder of a trained autoencoder to initialise from; empty for random weights.
        keep: weight of the squared distance of the latents to those of `initial`, so that a network that was trained on its
            latents can be trained on.
        mel: the spectrogram.
        kl: weight of the KL divergence of the posterior.
        rise: weight of the error of differences between neighbouring mel frames.
        loud: additional weight of loud levels. Without it narrow partials are lost, which fill few of the bins.
    """

    initial: str = ""
    keep: float = 0.0
    mel: MelConfig = field(default_factory=MelConfig)
    network: MelNetworkConfig = field(default_factory=MelNetworkConfig)
    kl: float = 1e-3
    rise: float = 0.5
    loud: float = 0.0
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(frozen=True)
class VocoderConfig(ClipRunConfig):
    """A training of the vocoder.

    Attributes:
        mel: the spectrogram.
        through: folder of a mel autoencoder that reconstructs half of the spectrograms before the vocoder sees them.
        adversary: whether a discriminator is trained too.
        seconds: length of a sample.
    """

    mel: MelConfig = field(default_factory=MelConfig)
    network: VocoderNetworkConfig = field(default_factory=VocoderNetworkConfig)
    through: str = ""
    adversary: bool = False
    seconds: float = 1.0
    training: TrainingConfig = field(default_factory=TrainingConfig)


SCENES = DataConfig(path="scenes:bounces+hits:4000:seed=0")


def frames() -> FrameCodecConfig:
    """The frame autoencoder of the packaged model "uniform": 64x64 pixels to 8 channels at an eighth of the size."""
    return FrameCodecConfig(
        data=SCENES, training=TrainingConfig(steps=8000, batch_size=16, learning_rate=1e-3, weight_decay=0.0, precision="bf16")
    )


def video() -> VideoCodecConfig:
    """The video autoencoder of the packaged model: 96x96 at 16 fps; 16x16 pixels of 4 frames to 32 channels."""
    return VideoCodecConfig(
        data=DataConfig(path="scenes:hits+bounces+landscape+kitchen+dance:7200:seed=0"),
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


def video_decoder() -> VideoCodecConfig:
    """The decoder of a trained video autoencoder, initial=FOLDER: small moving things count as much as large ones."""
    recipe = video()
    return replace(
        recipe,
        data=DataConfig(path="scenes:bounces+hits+bounces+landscape:4800:seed=32000000"),
        decoder_only=True,
        frames=32,
        motion=0.0,
        focus=1.0,
        noise=0.2,
        training=replace(recipe.training, steps=4000, learning_rate=5e-4, warm_up=40),
    )


def video_tiny() -> VideoCodecConfig:
    """A tiny video autoencoder that trains within seconds."""
    network = VideoNetworkConfig(4, 4, (8, 12, 16), (1, 1, 1), (1, 1, 1))
    return replace(video(), geometry=TINY_GEOMETRY, data=TINY_DATA, network=network, frames=4, training=TINY_TRAINING)


def mel() -> MelCodecConfig:
    """The mel autoencoder of the packaged model "uniform": 64 bins to 16 channels, a quarter of the frames."""
    return MelCodecConfig(
        data=SCENES, training=TrainingConfig(steps=8000, batch_size=16, learning_rate=1e-3, weight_decay=0.0, precision="bf16")
    )


def mel_fine() -> MelCodecConfig:
    """The mel autoencoder of the packaged model: 128 bins to 32 channels, half of the frames; for Griffin-Lim."""
    return MelCodecConfig(
        data=SCENES,
        mel=MelConfig(bins=128, floor=3e-4),
        network=MelNetworkConfig(latent_channels=32, width=256, levels=1),
        kl=2e-4,
        # The packaged weights were trained without it first, and then 1,200 steps with it.
        loud=4.0,
        training=TrainingConfig(
            steps=4000,
            batch_size=16,
            optimizer="muon_kernels",
            matrix_rate=1.5,
            learning_rate=8e-4,
            weight_decay=0.0,
            precision="bf16",
            average=0.997,
        ),
    )


def vocoder() -> VocoderConfig:
    """The vocoder of the packaged model "uniform"; adversary=true adds a multi-resolution discriminator."""
    return VocoderConfig(
        data=SCENES, training=TrainingConfig(steps=10_000, batch_size=16, learning_rate=5e-4, weight_decay=0.0, precision="bf16")
    )


def frames_tiny() -> FrameCodecConfig:
    """A tiny frame autoencoder that trains within seconds."""
    network = FrameNetworkConfig(widths=(16, 16), blocks=1)
    return replace(frames(), geometry=TINY_GEOMETRY, data=TINY_DATA, network=network, training=TINY_TRAINING)


def mel_tiny() -> MelCodecConfig:
    """A tiny mel autoencoder that trains within seconds."""
    network = MelNetworkConfig(width=32, blocks=1)
    return replace(mel(), geometry=TINY_GEOMETRY, data=TINY_DATA, network=network, training=TINY_TRAINING)


def vocoder_tiny() -> VocoderConfig:
    """A tiny vocoder with its discriminator that trains within seconds."""
    return replace(
        vocoder(),
        geometry=TINY_GEOMETRY,
        data=TINY_DATA,
        network=VocoderNetworkConfig(width=32, depth=1),
        adversary=True,
        seconds=0.5,
        training=TINY_TRAINING,
    )
