"""The SVG baseline's recipes: two base models each by itself, then joined (Ishii et al. 2024, Secs. III-E and IV)."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

from sonovid.core.geometry import Geometry
from sonovid.recipes.uniform import Data
from sonovid.training.config import TrainingConfig


@dataclass(frozen=True)
class Codecs:
    """Where codecs and text encoders come from.

    video, audio: a folder of this library's, a model folder, a repository, or "shipped". words: "hashed", or a CLIP text encoder,
    whose words the video U-Net attends to: by folder, by OWNER/NAME, or as OWNER/NAME:SUBFOLDER; of a pipeline, text_encoder and
    tokenizer are taken. vector: the same of a CLAP text encoder, whose vector the audio U-Net takes. words_width, vector_width:
    of the hashed ones. places: words of a prompt, all of which are filled.
    """

    video: str = "shipped"
    audio: str = "shipped"
    words: str = "hashed"
    vector: str = "hashed"
    words_width: int = 128
    vector_width: int = 128
    places: int = 32


@dataclass(frozen=True)
class Network:
    """The two U-Nets and what joins them.

    begun: a model folder of SVG whose U-Nets are taken, such as a training of the bases leaves. Else video, audio: U-Nets by hub
    id or folder (subfolder "unet"), adapter: the motion adapter of the first. Else new ones: widths, layers, attention heads and
    norm groups. head_width: of the joins' attention. fold: squares of so many by so many video latents are one place of the
    U-Net, with as many times the channels. centred: contexts do not carry what is always the same, see `models.svg.SVG`.
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
class Regression:
    """What is trained: "bases" is both U-Nets, each by itself; "joined" is what joins them, and the motion layers.

    predict: what the U-Nets predict; released ones "eps". scored: "audio" is the half of "joined" that the sound's error trains
    (the video's connector, the sound's joins): the halves share no weights, and this one runs the video's U-Net for estimates
    alone. given: the share of samples whose other stream is given, clean, either stream for one half of these; the paper draws
    both times evenly, and a stream is seldom clean. self_conditioning: the share of samples that are shown their last estimate.
    text_dropout: the share whose text is taken away.
    """

    stage: Literal["bases", "joined"] = "joined"
    predict: Literal["eps", "v"] = "eps"
    scored: Literal["both", "audio"] = "both"
    text_dropout: float = 0.1
    self_conditioning: float = 0.5
    given: float = 0.0
    audio_weight: float = 1.0


@dataclass(frozen=True)
class Sampling:
    """What the pipeline that is saved samples with, and how many clips a validation leaves."""

    steps: int = 25
    guidance: float = 7.5
    audio_guidance: float = 2.5
    gamma: float = 1.5
    validation_clips: int = 2


@dataclass(frozen=True)
class SVGRecipe:
    """A whole training of the SVG baseline: data, codecs, network, objective, loop.

    out: the folder of the run. resume: "latest", or a checkpoint's folder.
    """

    out: str = ""
    resume: str | None = None
    geometry: Geometry = field(default_factory=lambda: Geometry(16, Fraction(8), 64, 64, 16000))
    data: Data = field(default_factory=Data)
    codecs: Codecs = field(default_factory=Codecs)
    network: Network = field(default_factory=Network)
    regression: Regression = field(default_factory=Regression)
    sampling: Sampling = field(default_factory=Sampling)
    training: TrainingConfig = field(default_factory=TrainingConfig)


def paper() -> SVGRecipe:
    """The published model: AnimateDiff on Stable Diffusion 1.5 joined with AudioLDM-M; 4 s of 256x256 at 8 fps.

    Batches of 16 are those of all GPUs together: two clips each on eight, or on one GPU in eight passes.

    Deviation: the paper trains with Adam, its code with AdamW, whose decay is taken; its words are dropped for one sample in ten,
    which the code means to do and at its batch size never does.
    """
    return SVGRecipe(
        geometry=Geometry(32, Fraction(8), 256, 256, 16000),
        codecs=Codecs(
            video="SG161222/Realistic_Vision_V5.1_noVAE",
            audio="cvssp/audioldm-m-full",
            words="SG161222/Realistic_Vision_V5.1_noVAE",
            vector="cvssp/audioldm-m-full",
            places=77,
        ),
        network=Network(
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


def landscape() -> SVGRecipe:
    """The published model on Landscape: nine kinds of nature, named in captions, 4 s at 4 frames per second, 100 epochs.

    data=landscape:FOLDER. 100 epochs of the 835 training videos are 5,220 steps of 16.

    Deviation: the release draws one stretch of each video anew in every epoch; here all whole stretches of 4 s are trained on.
    """
    return of_other_data(frames=16, steps=5_220, batch=16)


def vggsound() -> SVGRecipe:
    """The published model on VGGSound: 4 s at 4 frames per second, 30 epochs of batches of 128.

    data=FILE of what sonovid filter leaves of vggsound:FOLDER: the paper leaves out 60,000 weakly aligned clips of 200,000, and
    30 epochs of 140,000 are 32,800 steps.

    Deviation: as in `landscape`.
    """
    return of_other_data(frames=16, steps=32_800, batch=128)


def of_other_data(*, frames: int, steps: int, batch: int) -> SVGRecipe:
    """The published settings on the benchmark data sets (Sec. IV-B): 4 frames per second."""
    own = paper()
    return replace(
        own,
        geometry=replace(own.geometry, num_frames=frames, fps=Fraction(4)),
        training=replace(own.training, steps=steps, batch_size=batch, validate_every=steps // 10),
    )


def scenes() -> SVGRecipe:
    """Small base models of a bouncing ball, joined; network.begun=FOLDER/model names what svg.scenes.bases left.

    One world, so that base models which a core trains within an hour draw a ball that bounces: joins to base models that draw
    none have little to tell. As trained for docs/systems/svg.md.

    Deviation: v is predicted, not the noise: models this small and this briefly trained do not find the data in what they leave
    of nearly pure noise. Squares of four latents are one place, which makes a step four times as fast. Contexts are centred, and
    half of the samples have one stream given: at the rates of a short training contexts else say nothing. Muon in place of AdamW.
    """
    return SVGRecipe(
        data=Data(path="scenes:bounces:5000:seed=0"),
        codecs=Codecs(places=16),
        network=Network(video_widths=(96, 128), heads=2, head_width=32, fold=2, centred=True),
        regression=Regression(predict="v", given=0.5),
        sampling=Sampling(guidance=3.0),
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


def scenes_bases() -> SVGRecipe:
    """The small base models themselves, each trained on its own stream of procedural scenes."""
    joined = scenes()
    return replace(
        joined,
        regression=Regression(stage="bases", predict="v", self_conditioning=0.0),
        sampling=Sampling(guidance=3.0, gamma=1.0),
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


def tiny() -> SVGRecipe:
    """Seconds on a CPU, for trying the way out: nothing is learnt."""
    return SVGRecipe(
        geometry=Geometry(4, Fraction(8), 32, 32, 16000),
        data=Data(path="scenes:bounces:12:seed=0", held_out=0.4, workers=0),
        network=Network(video_widths=(64, 32), audio_widths=(64, 32), norm_groups=8, context_channels=32),
        sampling=Sampling(steps=2, guidance=2.0, audio_guidance=2.0, validation_clips=1),
        training=TrainingConfig(steps=2, batch_size=2, log_every=1, validate_every=2, validate_size=2, checkpoint_every=2, warm_up=0),
    )
