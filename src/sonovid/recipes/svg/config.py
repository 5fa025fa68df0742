"""Config and recipes of SVG: two base models, trained separately, then the CMC-PE blocks that join them (Secs. III-E and IV)."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

from sonovid.core.geometry import Geometry
from sonovid.recipes.configs import TINY_GEOMETRY, ClipRunConfig, DataConfig
from sonovid.training.config import TrainingConfig


@dataclass(frozen=True)
class CodecConfig:
    """The sources of the codecs and of the two text encoders.

    Attributes:
        video: source of the video codec: a folder of a codec, a model folder, a repository of the Hub, or "uniform".
        audio: source of the audio codec, likewise.
        words: source of the CLIP text encoder whose token embeddings the video U-Net attends to: "hashed", a folder, OWNER/NAME
            or OWNER/NAME:SUBFOLDER. Of a pipeline, its text_encoder and tokenizer are loaded.
        vector: source of the CLAP text encoder whose pooled embedding conditions the audio U-Net, likewise.
        words_width: width of the token embeddings, for "hashed".
        vector_width: width of the pooled embedding, for "hashed".
        places: number of tokens of a prompt; shorter prompts are padded to it.
    """

    video: str = "uniform"
    audio: str = "uniform"
    words: str = "hashed"
    vector: str = "hashed"
    words_width: int = 128
    vector_width: int = 128
    places: int = 32


@dataclass(frozen=True)
class NetworkConfig:
    """The two U-Nets and the CMC-PE blocks that join them. See `models.svg.SVG`.

    The U-Nets come from `begun`, or else from `video`, `audio` and `adapter`, or else they are new.

    Attributes:
        begun: model folder of SVG whose U-Nets are loaded, such as the one that a training with stage="bases" left.
        video: Hub id or folder of the video U-Net, in its subfolder "unet".
        adapter: Hub id or folder of the motion adapter for `video`; empty if `video` is a whole motion U-Net.
        audio: Hub id or folder of the audio U-Net, in its subfolder "unet".
        variant: how the U-Nets are joined: "cmc_pe" as published, or one of its ablations.
        video_widths: channels of the levels of a new video U-Net.
        audio_widths: channels of the levels of a new audio U-Net.
        layers: layers per level of new U-Nets.
        heads: attention heads of new U-Nets.
        head_width: width of the attention heads of the CMC-PE blocks.
        fold: side of the squares of video latents that become one position of the U-Net, with fold² times the channels.
        centred: whether the constant part of the contexts is removed.
        norm_groups: groups of the group norms of new U-Nets.
        context_channels: channels of the contexts that the connectors send.
        mults: width of a connector's levels, as multiples of its U-Net's first width.
    """

    begun: str = ""
    video: str = ""
    adapter: str = ""
    audio: str = ""
    variant: Literal["cmc_pe", "cross_attention", "cross_attention_sequence"] = "cmc_pe"
    video_widths: tuple[int, ...] = (64, 128)
    audio_widths: tuple[int, ...] = (64, 128)
    layers: int = 1
    heads: int = 8
    head_width: int = 8
    fold: int = 1
    centred: bool = False
    norm_groups: int = 16
    context_channels: int = 128
    mults: tuple[int, int] = (1, 2)


@dataclass(frozen=True)
class ObjectiveConfig:
    """The diffusion objective, and which part of the network it trains.

    Attributes:
        stage: "bases" trains both U-Nets, each on its own stream. "joined" trains the CMC-PE blocks and the motion layers.
        predict: what the U-Nets predict; released ones predict "eps".
        scored: "audio" trains only the half of "joined" that the audio loss reaches: the video connector and the CMC-PE blocks of
            the audio U-Net. The halves share no weights, and for this one the video U-Net only runs forward.
        text_dropout: share of the samples that are trained without their prompt.
        self_conditioning: share of the samples that are conditioned on their previous estimate.
        given: share of the samples whose other stream is clean, half of them for each stream. The paper draws independent
            timesteps, under which a stream is seldom clean.
        audio_weight: weight of the audio loss in the sum of the losses.
    """

    stage: Literal["bases", "joined"] = "joined"
    predict: Literal["eps", "v"] = "eps"
    scored: Literal["both", "audio"] = "both"
    text_dropout: float = 0.1
    self_conditioning: float = 0.5
    given: float = 0.0
    audio_weight: float = 1.0


@dataclass(frozen=True)
class SamplingConfig:
    """Default sampling options of the saved pipeline, and the samples of a validation.

    Attributes:
        steps: number of inference steps.
        guidance: classifier-free guidance scale of the video.
        audio_guidance: classifier-free guidance scale of the audio.
        gamma: exponent of the timestep adjustment; 1 for none.
        validation_clips: number of held-out clips that each validation generates samples for.
    """

    steps: int = 25
    guidance: float = 7.5
    audio_guidance: float = 2.5
    gamma: float = 1.5
    validation_clips: int = 2


@dataclass(frozen=True)
class SVGConfig(ClipRunConfig):
    """A training of the SVG baseline."""

    codecs: CodecConfig = field(default_factory=CodecConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    regression: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


def paper() -> SVGConfig:
    """The published model: AnimateDiff on Stable Diffusion 1.5 joined with AudioLDM-M; 4 s of 256x256 at 8 fps.

    The batch of 16 counts all GPUs: two clips each on eight GPUs, or eight accumulated passes on one.

    Deviation: the paper trains with Adam and its code with AdamW; the weight decay is that of the code. The code means to drop
    the prompt of one sample in ten, and at its batch size never does; here it is dropped.

    Memory of a step on one GPU: 21.9 GiB for weights, gradients, AdamW and averages, and 9.7 GiB for the passes with
    training.batch_size=1, without codecs and text encoders (docs/systems/svg.md).
    """
    return SVGConfig(
        geometry=Geometry(32, Fraction(8), 256, 256, 16000),
        codecs=CodecConfig(
            video="SG161222/Realistic_Vision_V5.1_noVAE",
            audio="cvssp/audioldm-m-full",
            words="SG161222/Realistic_Vision_V5.1_noVAE",
            vector="cvssp/audioldm-m-full",
            places=77,
        ),
        network=NetworkConfig(
            video="SG161222/Realistic_Vision_V5.1_noVAE",
            adapter="guoyww/animatediff-motion-adapter-v1-5-2",
            audio="cvssp/audioldm-m-full",
            context_channels=1280,
            mults=(2, 4),
        ),
        training=TrainingConfig(
            steps=386_000,
            batch_size=2,
            global_batch=16,
            gradient_checkpointing=True,
            learning_rate=1e-5,
            warm_up=0,
            decay="constant",
            weight_decay=0.01,
            betas=(0.9, 0.999),
            precision="bf16",
            average=0.9999,
            checkpoint_every=2000,
            validate_every=10_000,
        ),
    )


def landscape() -> SVGConfig:
    """The published model on Landscape: nine kinds of nature, named in captions, 4 s at 4 frames per second, 100 epochs.

    data=landscape:FOLDER. 100 epochs of the 835 training videos are 5,220 steps of 16.

    Deviation: the release draws one random crop of each video in every epoch; here all consecutive crops of 4 s are used.
    """
    return _benchmark_recipe(num_frames=16, steps=5_220, global_batch=16)


def vggsound() -> SVGConfig:
    """The published model on VGGSound: 4 s at 4 frames per second, 30 epochs of batches of 128.

    data=FILE, the output of `sonovid filter` on vggsound:FOLDER. The paper removes 60,000 weakly aligned clips of 200,000;
    30 epochs of the other 140,000 are 32,800 steps.

    Deviation: as in `landscape`.
    """
    return _benchmark_recipe(num_frames=16, steps=32_800, global_batch=128)


def _benchmark_recipe(*, num_frames: int, steps: int, global_batch: int) -> SVGConfig:
    """The published settings on the benchmark data sets, at 4 frames per second (Sec. IV-B)."""
    recipe = paper()
    return replace(
        recipe,
        geometry=replace(recipe.geometry, num_frames=num_frames, fps=Fraction(4)),
        training=replace(recipe.training, steps=steps, global_batch=global_batch, validate_every=steps // 10),
    )


def scenes() -> SVGConfig:
    """Small base models of a bouncing ball, joined; network.begun=FOLDER/model names what svg.scenes.bases left.

    The data is one world, so that base models trained within an hour on one core generate a ball that bounces; there is little to
    join in base models that do not. docs/systems/svg.md describes this training.

    Deviation: v is predicted instead of the noise, since models this small cannot recover the data from nearly pure noise.
    Squares of 2x2 latents are one position, which makes a step four times as fast. Contexts are centred and half of the samples
    have one clean stream; otherwise a training this short does not learn to use the contexts. Muon replaces AdamW.
    """
    return SVGConfig(
        data=DataConfig(path="scenes:bounces:5000:seed=0"),
        codecs=CodecConfig(places=16),
        network=NetworkConfig(video_widths=(96, 128), heads=2, head_width=32, fold=2, centred=True),
        regression=ObjectiveConfig(predict="v", given=0.5),
        sampling=SamplingConfig(guidance=3.0),
        training=TrainingConfig(
            steps=750,
            batch_size=16,
            optimizer="muon",
            learning_rate=5e-4,
            matrix_rate=4.0,
            warm_up=30,
            precision="bf16",
            average=0.995,
            validate_every=150,
            validate_size=48,
        ),
    )


def scenes_bases() -> SVGConfig:
    """The small base models themselves, each trained on its own stream of procedural scenes."""
    joined = scenes()
    return replace(
        joined,
        regression=ObjectiveConfig(stage="bases", predict="v", self_conditioning=0.0),
        sampling=SamplingConfig(guidance=3.0, gamma=1.0),
        training=replace(
            joined.training,
            steps=1500,
            learning_rate=1e-3,
            matrix_rate=2.5,
            warm_up=100,
            validate_every=400,
            validate_size=96,
        ),
    )


def tiny() -> SVGConfig:
    """A tiny model that trains within seconds on a CPU, to try out a training; it learns nothing."""
    return SVGConfig(
        geometry=TINY_GEOMETRY,
        data=DataConfig(path="scenes:bounces:12:seed=0", held_out=0.4, workers=0),
        network=NetworkConfig(video_widths=(64, 32), audio_widths=(64, 32), norm_groups=8, context_channels=32),
        sampling=SamplingConfig(steps=2, guidance=2.0, audio_guidance=2.0, validation_clips=1),
        training=TrainingConfig(
            steps=2, batch_size=2, log_every=1, validate_every=2, validate_size=2, checkpoint_every=2, warm_up=0
        ),
    )
