"""Config and recipes of MM-LDM's generator."""

from dataclasses import dataclass, field, replace
from typing import Literal

from sonovid.recipes.configs import TINY_GEOMETRY, TINY_TRAINING, ClipRunConfig, DataConfig
from sonovid.recipes.mmldm.presets import AUDIOSET_GEOMETRY, GENERATOR_TRAINING, PAPER_GEOMETRY, TINY_DATA
from sonovid.training.config import TrainingConfig


@dataclass(frozen=True)
class CodecConfig:
    """The trained autoencoder, and the text encoder of a text-to-video-and-audio generator.

    Attributes:
        autoencoder: folder that a training of mmldm.*.autoencoder left, or a model folder with such an autoencoder.
        whiten: whether latents are standardised to mean 0 and standard deviation 1, by the statistics of the training clips.
        text: "hashed", or the Hub id or folder of a text encoder; see `recipes.configs.CodecConfig`.
        text_width: width of the text embeddings.
        text_words: maximum number of tokens of a prompt.
    """

    autoencoder: str = ""
    whiten: bool = True
    text: str = "hashed"
    text_width: int = 256
    text_words: int = 32


@dataclass(frozen=True)
class NetworkConfig:
    """The generator. See `models.mmldm.MMLDM`; S is 12 x 768, B is 20 x 1024, L is 36 x 1536.

    Attributes:
        depth: number of blocks.
        width: width of the tokens.
        heads: number of attention heads.
        context: what the context tokens are: learnt tokens, a class embedding, or text embeddings.
        context_tokens: number of context tokens.
        context_width: width of the context tokens.
        streams: "video" and "audio" train a generator of one stream alone, MM-LDM-v and MM-LDM-a.
    """

    depth: int = 12
    width: int = 768
    heads: int = 12
    context: Literal["learnt", "class", "text"] = "learnt"
    context_tokens: int = 77
    context_width: int = 768
    streams: Literal["both", "video", "audio"] = "both"


@dataclass(frozen=True)
class ObjectiveConfig:
    """The diffusion objective, of the generator and of its continuation. See `diffusion.cross_modal`.

    Attributes:
        predict: what the network predicts.
        video_to_audio: share of the samples with a clean video stream.
        audio_to_video: share of the samples with a clean audio stream.
        context_dropout: share of the samples that are trained without their context.
        law: distribution of the timesteps: "table" is uniform over a table of 1000 timesteps.
        mean: mean of logit t, for "logit_normal".
        std: standard deviation of logit t.
        audio_weight: weight of the audio loss in the sum of the losses.
    """

    predict: Literal["eps", "v", "x0"] = "eps"
    video_to_audio: float = 0.05
    audio_to_video: float = 0.05
    context_dropout: float = 0.1
    law: Literal["table", "logit_normal"] = "table"
    mean: float = 0.0
    std: float = 1.0
    audio_weight: float = 1.0


@dataclass(frozen=True)
class SamplingConfig:
    """Default sampling options of the saved pipeline, and the samples of a validation.

    Attributes:
        steps: number of inference steps.
        guidance: guidance scale of the video (phi in Eq. 9).
        audio_guidance: guidance scale of the audio.
        against: which conditions the unconditional prediction leaves out; see `SoundingVideoPipeline`.
        step: solver; "ddpm" is ancestral sampling, with the learnt variance where the network has one.
        validation_clips: number of held-out clips that each validation generates samples for.
    """

    steps: int = 50
    guidance: float = 9.0
    audio_guidance: float = 9.0
    against: Literal["modality", "context", "both"] = "modality"
    step: Literal["ddim", "dpm_solver", "ddpm"] = "ddim"
    validation_clips: int = 2


@dataclass(frozen=True)
class MMLDMConfig(ClipRunConfig):
    """A training of the generator on the latents of an autoencoder, whose geometry it must have."""

    codec: CodecConfig = field(default_factory=CodecConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    regression: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


def landscape() -> MMLDMConfig:
    """MM-LDM-S on Landscape as published: unconditional, both directions learnt at once, codec.autoencoder=FOLDER.

    Deviation: the paper trains for up to 1000 epochs; here the number of steps is that of 1000 epochs on AIST++. The paper does
    not say which size the results in Table 1 are of.

    Memory of a step on one GPU: 2.0 GiB for weights, gradients, AdamW and averages, and 5.0 GiB for the passes of 28 clips
    (benchmarks/training/memory.py).
    """
    return MMLDMConfig(geometry=PAPER_GEOMETRY, codec=CodecConfig(whiten=False), training=GENERATOR_TRAINING)


def aist() -> MMLDMConfig:
    """MM-LDM-S on AIST++ as published, with the settings of Landscape."""
    return landscape()


def audioset() -> MMLDMConfig:
    """MM-LDM-S on AudioSet as published: text-conditional, ten times the learning rate."""
    return replace(
        landscape(),
        geometry=AUDIOSET_GEOMETRY,
        codec=CodecConfig(whiten=False, text="openai/clip-vit-large-patch14", text_width=768, text_words=77),
        network=NetworkConfig(context="text"),
        training=replace(GENERATOR_TRAINING, learning_rate=1e-4, batch_size=24),
    )


def scenes() -> MMLDMConfig:
    """MM-LDM on the same scenes, conditioned on their material; codec.autoencoder=FOLDER.

    docs/training-log.md describes a longer training.

    Deviation: v is predicted, since near pure noise an error of the noise is an error of the latents fifteen times as large. A
    stream is clean far more often than published, since the training is short.
    """
    return MMLDMConfig(
        data=DataConfig(path="scenes:bounces+hits:6000:seed=0", held_out=0.02),
        network=NetworkConfig(depth=6, width=128, heads=2, context="class", context_tokens=4, context_width=128),
        regression=ObjectiveConfig(predict="v", video_to_audio=0.3, audio_to_video=0.3),
        sampling=SamplingConfig(steps=25, guidance=2.0, audio_guidance=2.0),
        training=TrainingConfig(
            steps=2500,
            batch_size=16,
            optimizer="muon",
            learning_rate=1e-3,
            warm_up=50,
            precision="bf16",
            average=0.998,
            validate_every=400,
            validate_size=96,
            checkpoint_every=200,
        ),
    )


def tiny() -> MMLDMConfig:
    """A tiny generator on the latents of a tiny autoencoder, codec.autoencoder=FOLDER; trains within seconds."""
    return MMLDMConfig(
        geometry=TINY_GEOMETRY,
        data=TINY_DATA,
        network=NetworkConfig(depth=2, width=32, heads=2, context="class", context_tokens=2, context_width=16),
        regression=ObjectiveConfig(video_to_audio=0.25, audio_to_video=0.25),
        sampling=SamplingConfig(steps=2, guidance=2.0, audio_guidance=2.0, validation_clips=1),
        training=TINY_TRAINING,
    )
