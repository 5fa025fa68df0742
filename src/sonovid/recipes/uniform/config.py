"""Config and recipes of UniForm."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

from sonovid.core.geometry import Geometry
from sonovid.recipes.configs import TINY_GEOMETRY, TINY_TRAINING, ClipRunConfig, CodecConfig, DataConfig
from sonovid.training.config import TrainingConfig


@dataclass(frozen=True)
class NetworkConfig:
    """The transformer. Sizes that follow from the codecs are taken from them.

    Attributes:
        layout: how the latents become tokens. "columns", as published, puts the audio latents beside the video latents before
            patching; "tokens" embeds each stream separately. Both use STDiT blocks (`models.uniform.transformer.UniForm`).
            "sequence" is one sequence with full attention (`models.uniform.sequence.SequenceUniForm`); it has no patches and
            predicts no variance.
        depth: number of blocks.
        width: width of the tokens.
        heads: number of attention heads.
        patch_size: (frames, rows, columns) of video latents in one patch.
        learn_variance: whether the network also predicts the variance (improved DDPM).
        pixart: Hub id or folder of a PixArt-alpha to initialise from; empty for random weights.
    """

    layout: Literal["tokens", "columns", "sequence"] = "tokens"
    depth: int = 5
    width: int = 192
    heads: int = 3
    patch_size: tuple[int, int, int] = (2, 2, 2)
    learn_variance: bool = False
    pixart: str = ""


@dataclass(frozen=True)
class ObjectiveConfig:
    """The diffusion objective: prediction, timestep distribution, and how often each task is drawn.

    Attributes:
        schedule: noise schedule.
        predict: what the network predicts.
        joint: share of joint generation of video and audio.
        video_to_audio: share of video-to-audio generation.
        audio_to_video: share of audio-to-video generation.
        times: whether both streams have the same timestep, or independent ones.
        law: distribution of the timesteps. "uniform" is uniform in (0, 1), "table" uniform over a table of 1000 timesteps.
        video_mean: mean of logit t of the video stream, for "logit_normal".
        audio_mean: mean of logit t of the audio stream.
        std: standard deviation of logit t of both streams.
        given_audio_mean: mean of the video stream in audio-to-video generation. It is higher than that of audio: when events
            happen is decided at high noise levels.
        given_video_mean: mean of the audio stream in video-to-audio generation.
        text_dropout: share of the samples that are trained without their prompt.
        bound: weight of the variational bound, which trains the variance; 0 without `learn_variance`.
        audio_weight: weight of the audio loss in the sum of the losses.
    """

    schedule: Literal["flow", "cosine", "linear"] = "flow"
    predict: Literal["x0", "eps", "v", "flow"] = "flow"
    joint: float = 0.4
    video_to_audio: float = 0.2
    audio_to_video: float = 0.4
    times: Literal["shared", "independent"] = "shared"
    law: Literal["logit_normal", "uniform", "table"] = "logit_normal"
    video_mean: float = 1.2
    audio_mean: float = 0.8
    std: float = 1.2
    given_audio_mean: float = 1.8
    given_video_mean: float = 0.8
    text_dropout: float = 0.3
    bound: float = 0.0
    audio_weight: float = 1.0


@dataclass(frozen=True)
class SamplingConfig:
    """Default sampling options of the saved pipeline, and the samples of a validation.

    Attributes:
        steps: number of inference steps.
        guidance: classifier-free guidance scale of both streams.
        shift: timestep shift; 1 leaves the timesteps as they are.
        step: solver; "ddpm" is ancestral sampling, with the learnt variance where the network has one.
        validation_clips: number of held-out clips that each validation generates samples for.
    """

    steps: int = 25
    guidance: float = 3.0
    shift: float = 1.0
    step: Literal["ddim", "dpm_solver", "ddpm"] = "ddim"
    validation_clips: int = 2


@dataclass(frozen=True)
class UniFormConfig(ClipRunConfig):
    """A training of UniForm."""

    codecs: CodecConfig = field(default_factory=CodecConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    regression: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


def paper() -> UniFormConfig:
    """The published model: 256x256 at 17 frames per second, 4 s, 1.2 billion parameters, initialised from PixArt.

    Deviation: the paper does not state the number of steps, the averaging or the timestep distribution; those of Open-Sora and of
    improved DDPM are used. docs/uniform.md lists all deviations.
    """
    return UniFormConfig(
        geometry=Geometry(68, Fraction(17), 256, 256, 16000),
        # The first 4 s of each clip (Sec. 4.1).
        data=DataConfig(most=1),
        codecs=CodecConfig(
            video="hpcai-tech/OpenSora-VAE-v1.2",
            audio="cvssp/audioldm-m-full",
            # The encoder of T5-v1.1-XXL. Google's own repository has it only as a pickle.
            text="PixArt-alpha/PixArt-XL-2-512x512",
            text_width=4096,
            text_words=300,
        ),
        network=NetworkConfig(
            layout="columns",
            depth=28,
            width=1152,
            heads=16,
            patch_size=(1, 2, 2),
            learn_variance=True,
            pixart="PixArt-alpha/PixArt-XL-2-512x512",
        ),
        regression=ObjectiveConfig(
            schedule="linear",
            predict="eps",
            joint=1 / 3,
            video_to_audio=1 / 3,
            audio_to_video=1 / 3,
            law="table",
            text_dropout=0.5,
            bound=1.0,
        ),
        sampling=SamplingConfig(steps=100, guidance=4.0),
        training=TrainingConfig(
            steps=1_000_000,
            batch_size=1,
            global_batch=32,
            gradient_checkpointing=True,
            learning_rate=1e-4,
            warm_up=1000,
            decay="constant",
            weight_decay=0.0,
            betas=(0.9, 0.999),
            precision="bf16",
            average=0.9999,
            checkpoint_every=2000,
            validate_every=10_000,
        ),
    )


def scenes() -> UniFormConfig:
    """The packaged model "uniform": scenes of bounces and hits, 64x64, 16 frames at 8 per second, 2 s of audio at 16 kHz."""
    return UniFormConfig(
        data=DataConfig(path="scenes:hits+bounces:16000:seed=0", held_out=0.02),
        training=TrainingConfig(
            steps=30_000,
            batch_size=32,
            optimizer="muon",
            learning_rate=8e-4,
            weight_decay=0.02,
            precision="bf16",
            average=0.998,
            validate_every=1000,
            checkpoint_every=500,
        ),
    )


def packaged() -> UniFormConfig:
    """The packaged model: hits, bounces, landscape at 96x96 and 16 fps, with the packaged codecs.

    codec.video and codec.mel.fine train codecs of this kind. One sequence of 376 tokens.
    """
    return UniFormConfig(
        geometry=Geometry(32, Fraction(16), 96, 96, 16000),
        data=DataConfig(path="scenes:hits+bounces+landscape:36000:seed=0", held_out=0.01),
        codecs=CodecConfig(video="packaged", audio="packaged", text_words=24),
        network=NetworkConfig(layout="sequence", depth=8, width=384, heads=3),
        regression=ObjectiveConfig(
            joint=0.46, audio_to_video=0.34, video_mean=0.8, audio_mean=0.5, given_audio_mean=1.5, text_dropout=0.2
        ),
        # With few steps the timestep shift keeps the sample near that of many steps (docs/training-log.md).
        sampling=SamplingConfig(steps=8, guidance=2.0, shift=3.0, step="dpm_solver"),
        training=replace(scenes().training, steps=14_000, compile=True),
    )


def tiny_columns() -> UniFormConfig:
    """A tiny model with the layout and the objective of the paper; trains within seconds on a CPU.

    The geometry makes whole patches of each column: the audio's 16 channels are 8 channels times 2 rows of a frame, and one audio
    step falls on each latent frame.
    """
    return replace(
        tiny(),
        geometry=Geometry(8, Fraction(16), 16, 16, 16000),
        network=NetworkConfig(layout="columns", depth=1, width=32, heads=2, patch_size=(1, 2, 2), learn_variance=True),
        regression=paper().regression,
    )


def tiny() -> UniFormConfig:
    """A tiny model that trains and samples within seconds on a CPU: 32x32, 4 frames, half a second."""
    return replace(
        scenes(),
        geometry=TINY_GEOMETRY,
        data=DataConfig(path="scenes:bounces+hits:24:seed=0", held_out=0.2, workers=0, shard=16),
        codecs=CodecConfig(video="tiny", audio="tiny", text_width=32),
        network=NetworkConfig(depth=1, width=32, heads=2),
        sampling=SamplingConfig(steps=4, validation_clips=1),
        training=replace(TINY_TRAINING, batch_size=4, validate_size=4),
    )
