"""Config dataclasses that several recipes share, and the presets of the tiny recipes."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from sonovid.core.geometry import Geometry
from sonovid.training.config import TrainingConfig


@dataclass(frozen=True)
class DataConfig:
    """The clips to train on, and how they are read and cached.

    Attributes:
        path: a folder of clips, a manifest, or "scenes:WORLD:COUNT:seed=N" for procedural scenes.
        held_out: share of the clips that is held out for validation, in [0, 1).
        most: maximum number of clips cut from one file; None for no limit.
        workers: number of processes that read or render clips.
        cache: folder of the latent caches; empty for `latents` in the run's folder.
        shard: number of clips in one file of the cache.
        precision: precision that the encoders compute in.
    """

    path: str = ""
    held_out: float = 0.03
    most: int | None = None
    workers: int = 2
    cache: str = ""
    shard: int = 256
    precision: Literal["no", "bf16"] = "no"


@dataclass(frozen=True)
class CodecConfig:
    """The sources of a video codec, an audio codec and a text encoder.

    A codec's source is a folder of a codec, a model folder, a repository of the Hub, "packaged" or "uniform" (packaged models),
    or "tiny" (random weights, for tests).

    Attributes:
        video: source of the video codec.
        audio: source of the audio codec.
        vocoder: folder of a vocoder, or "griffin-lim"; needed where `audio` is a mel autoencoder without one.
        text: "hashed", or the Hub id or folder of a T5, CLIP or CLAP text encoder.
        text_width: width of the text embeddings.
        text_words: maximum number of tokens of a prompt.
    """

    video: str = "uniform"
    audio: str = "uniform"
    vocoder: str = ""
    text: str = "hashed"
    text_width: int = 256
    text_words: int = 32


@dataclass(frozen=True)
class MelConfig:
    """A log-mel spectrogram.

    Attributes:
        bins: number of mel bins.
        n_fft: size of the FFT and of its window, in samples.
        hop: samples between two frames.
        floor: smallest magnitude before the logarithm.
    """

    bins: int = 64
    n_fft: int = 1024
    hop: int = 250
    floor: float = 1e-3


@dataclass(frozen=True)
class AudioImageConfig:
    """The audio image (MM-LDM): a log-mel spectrogram, resized to the size of the video frames as published, or to its own.

    See `codecs.mel.LogMel` and `codecs.audio_image.AudioImage`.

    Attributes:
        bins: number of mel bins.
        n_fft: size of the FFT and of its window, in samples.
        hop: samples between two frames.
        floor: smallest magnitude before the logarithm.
        rate: sample rate that the mel filters are computed for; 0 for the audio's own.
        top: highest frequency of the mel filters at that rate, in Hz; 0 for half the rate.
        low: level that becomes black, in dB.
        high: level that becomes white, in dB.
        height: height of the image in pixels; 0 for that of the frames.
        width: width of the image in pixels; 0 for that of the frames.
    """

    bins: int = 64
    n_fft: int = 1024
    hop: int = 250
    floor: float = 1e-3
    rate: int = 0
    top: float = 0.0
    low: float = -80.0
    high: float = 20.0
    height: int = 0
    width: int = 0


# The audio image of MM-LDM's released code, which reads audio at 44.1 kHz with the constants for 22.05 kHz.
RELEASED_AUDIO_IMAGE = AudioImageConfig(bins=80, hop=256, floor=1e-5, rate=22050, top=8000.0)


@dataclass(frozen=True)
class RunConfig:
    """What every recipe has.

    Each subclass adds `data: DataConfig` and, as its last field, `training: TrainingConfig`. The order of the fields is the order
    in which `sonovid recipes NAME` prints them.

    Attributes:
        out: folder of the run.
        resume: "latest", or the folder of a checkpoint to resume from; None for a new run.
    """

    out: str = ""
    resume: str | None = None


@dataclass(frozen=True)
class ClipRunConfig(RunConfig):
    """A recipe that trains on clips of one geometry.

    Attributes:
        geometry: number of frames, frame rate, height, width and sample rate of a clip.
        data: the clips to train on.
    """

    geometry: Geometry = field(default_factory=lambda: Geometry(16, Fraction(8), 64, 64, 16000))
    data: DataConfig = field(default_factory=DataConfig)


# Presets of the tiny recipes, which train within seconds on a CPU: 4 frames of 32x32 and half a second of audio.
TINY_GEOMETRY = Geometry(4, Fraction(8), 32, 32, 16000)
TINY_DATA = DataConfig(path="scenes:bounces+hits:12:seed=0", held_out=0.2, workers=0, shard=8)
TINY_TRAINING = TrainingConfig(
    steps=4, batch_size=2, warm_up=2, log_every=2, validate_every=4, validate_size=2, checkpoint_every=2, average=0.9
)
