"""Config and recipes of CMMD."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

from sonovid.core.geometry import Geometry
from sonovid.recipes.configs import TINY_TRAINING, ClipRunConfig, DataConfig, MelConfig
from sonovid.training.config import TrainingConfig


@dataclass(frozen=True)
class CodecConfig:
    """The latent spaces of the two streams: frame latents, and the mel spectrogram itself.

    Attributes:
        video: source of a frame codec: "uniform", a folder, a repository of the Hub, or "tiny".
        mel: the spectrogram; its frames are the audio latents.
        low: natural logarithm of the mel magnitude that becomes -1; None: the mel frames are whitened by the mean and the
            standard deviation of the training clips. A fixed range that is much wider than the data gives the audio less noise
            than the video has at the same time.
        high: natural logarithm of the mel magnitude that becomes 1.
        vocoder: folder of a vocoder for this spectrogram; empty for the Griffin-Lim algorithm, which needs no weights.
    """

    video: str = "uniform"
    mel: MelConfig = field(default_factory=lambda: MelConfig(80, 512, 256, 1e-5))
    low: float | None = None
    high: float | None = None
    vocoder: str = ""


@dataclass(frozen=True)
class NetworkConfig:
    """The two U-Nets and their easy fusion. See `models.cmmd.unet.CMMD`; the latent channels are those of the codecs."""

    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 3, 4)
    blocks: int = 1
    head_width: int = 64
    groups: int = 32
    time_width: int = 128
    audio_widths: tuple[int, ...] = ()
    fusion: bool = True
    dropout: float = 0.1


@dataclass(frozen=True)
class ObjectiveConfig:
    """The diffusion objective; both streams have the same timestep.

    Attributes:
        predict: what the network predicts. "v", as published, needs an audio U-Net wider than the mel has bins
            (`NetworkConfig.audio_widths`): near the data v is the noise of all bins at once, and noise that a narrower network
            cannot represent stays in the audio. "x0" only has to represent the data.
        law: distribution of the timesteps: "table" is uniform over a table of 1000 timesteps.
        mean: mean of logit t, for "logit_normal".
        std: standard deviation of logit t.
        audio_weight: weight of the audio loss in the sum of the losses.
        audio_signal: factor of the audio's signal-to-noise amplitude at every time, see `diffusion.schedule.Cosine`. The streams
            share their times, so each only learns to use what the other shows at the noise that decides its own content.
    """

    predict: Literal["v", "x0"] = "v"
    law: Literal["table", "logit_normal"] = "table"
    mean: float = 0.0
    std: float = 1.0
    audio_weight: float = 1.0
    audio_signal: float = 1.0


@dataclass(frozen=True)
class ContrastiveConfig:
    """The contrastive loss (CMMD, Eq. 9).

    Attributes:
        eta: weight of the loss; 0 leaves it out (nCMMD).
        margin: frames before and after each clip that are cached with it. Temporally shifted negatives are cut from them.
        count: number of negatives of each stream for each sample.
        shift: relative frequency of temporally shifted negatives.
        segment: relative frequency of negatives that have another segment.
        swap: relative frequency of negatives with the stream of another clip.
        least: smallest shift in seconds.
        most: largest shift in seconds.
    """

    eta: float = 0.0
    margin: int = 4
    count: int = 1
    shift: float = 1.0
    segment: float = 0.0
    swap: float = 0.0
    least: float = 0.2
    most: float = 0.4


@dataclass(frozen=True)
class SamplingConfig:
    """Default sampling options of the saved pipeline, and the samples of a validation.

    Attributes:
        steps: number of inference steps.
        reconstruction: scale of reconstruction guidance (lambda in the paper).
        step: solver; "ddpm" is ancestral sampling, with the learnt variance where the network has one.
        validation_clips: number of held-out clips that each validation generates samples for.
    """

    steps: int = 200
    reconstruction: float = 0.0
    step: Literal["ddim", "dpm_solver", "ddpm"] = "ddim"
    validation_clips: int = 2


@dataclass(frozen=True)
class CMMDConfig(ClipRunConfig):
    """A training of CMMD. The contrastive training resumes from a checkpoint of the plain one."""

    geometry: Geometry = field(default_factory=lambda: Geometry(18, Fraction(10), 128, 128, 16000))
    codecs: CodecConfig = field(default_factory=CodecConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    regression: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    contrast: ContrastiveConfig = field(default_factory=ContrastiveConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


PAPER_TRAINING = TrainingConfig(
    steps=700_000,
    batch_size=8,
    learning_rate=1e-4,
    warm_up=0,
    decay="staircase",
    decay_every=80_000,
    decay_factor=0.8,
    final_rate=0.2,
    weight_decay=0.0,
    betas=(0.9, 0.999),
    clip=0.0,
    average=0.9999,
    log_every=100,
    validate_every=10_000,
    checkpoint_every=10_000,
    keep=3,
    # The contrastive training starts from this checkpoint (CMMD, Sec. 4).
    milestones=(400_000,),
)


def paper() -> CMMDConfig:
    """nCMMD as published: 18 frames of 128x128, 1.8 s, 106 million parameters, no contrastive loss.

    Deviation: the paper does not state the scale of the mel, the averaging and the dropout. The frame autoencoder's posterior is
    replaced by its mode, so that a clip has one latent. The cosine schedule is continuous in time and has no betas to clip.

    Memory of a step on one GPU: 2.0 GiB for weights, gradients, AdamW and averages, and 3.0 GiB for the passes of 8 clips
    (benchmarks/training/memory.py).
    """
    return CMMDConfig(codecs=CodecConfig(video="stabilityai/sd-vae-ft-mse"), training=PAPER_TRAINING)


def _with_contrastive_loss(plain: CMMDConfig) -> CMMDConfig:
    """A plain recipe with the contrastive loss at its published weight (CMMD, Sec. 4)."""
    return replace(plain, contrast=replace(plain.contrast, eta=5e-5))


def paper_contrastive() -> CMMDConfig:
    """CMMD as published: from nCMMD's checkpoint at step 400,000 (resume=FOLDER) to 700,000, batches of 2, eta 5e-5.

    Memory of a step on one GPU: 2.0 GiB for weights, gradients, AdamW and averages, and 2.2 GiB for the passes of 6 pairs.
    """
    plain = _with_contrastive_loss(paper())
    return replace(plain, training=replace(plain.training, batch_size=2))


def scenes() -> CMMDConfig:
    """nCMMD on scenes of bounces and hits: 16 frames of 64x64 at 10 per second, 1.6 s, small enough for one core.

    docs/systems/cmmd.md describes this training; its guidance scale was good for both tasks. The video U-Net is narrow. The
    audio U-Net is wider than its mel has bins, which v prediction needs (see `ObjectiveConfig`) and which costs little in one
    dimension.

    Deviation: at the same time the audio has a quarter of the published signal. A whitened mel spectrogram shows its onsets at
    t = 0.9, where latents of 64x64 pixels show no events yet: with one schedule the audio network learnt to do without the video.
    """
    return CMMDConfig(
        geometry=Geometry(16, Fraction(10), 64, 64, 16000),
        data=DataConfig(path="scenes:bounces+hits:6000:seed=0", held_out=0.02),
        network=NetworkConfig(32, (1, 2, 3), head_width=32, groups=8, time_width=64, audio_widths=(96, 96, 96), dropout=0.0),
        regression=ObjectiveConfig(audio_signal=0.25),
        sampling=SamplingConfig(steps=25, reconstruction=4.0),
        training=TrainingConfig(
            steps=4000,
            batch_size=8,
            optimizer="muon",
            learning_rate=8e-4,
            decay="constant",
            precision="bf16",
            average=0.998,
            validate_every=500,
            validate_size=64,
            checkpoint_every=250,
            keep=6,
        ),
    )


def scenes_contrastive() -> CMMDConfig:
    """CMMD on the same scenes, from a checkpoint of cmmd.scenes (resume=FOLDER)."""
    return _with_contrastive_loss(scenes())


def tiny() -> CMMDConfig:
    """A tiny contrastive training, which trains and samples within seconds on a CPU: 32x32, 6 frames, 0.6 s."""
    plain = _with_contrastive_loss(scenes())
    return replace(
        plain,
        geometry=Geometry(6, Fraction(10), 32, 32, 16000),
        data=DataConfig(path="scenes:bounces+hits:12:seed=0", held_out=0.2, workers=0, shard=16),
        codecs=CodecConfig(video="tiny"),
        network=NetworkConfig(width=16, multipliers=(1, 2), head_width=16, groups=8, time_width=32, dropout=0.0),
        contrast=replace(plain.contrast, segment=0.5, swap=0.5),
        sampling=SamplingConfig(steps=2, validation_clips=1),
        training=TINY_TRAINING,
    )
