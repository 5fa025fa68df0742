"""UniForm's training from its recipe: latents cached, the network trained, a pipeline left that can be loaded."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from sonovid.codecs.separate import SeparateCodecs
from sonovid.core.av import AV, Task
from sonovid.diffusion.objective import LogitNormal, MultiTaskObjective, Uniform
from sonovid.diffusion.schedule import Cosine, RectifiedFlow, Schedule, Tabulated
from sonovid.models.uniform.pixart import init_from_pixart, load_pixart
from sonovid.models.uniform.sequence import SequenceUniForm
from sonovid.models.uniform.transformer import UniForm
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes import components as parts
from sonovid.recipes.latent_training import feed, fit
from sonovid.recipes.uniform import Regression, UniFormRecipe
from sonovid.training.loop import seeded_init

log = logging.getLogger(__name__)

SCHEDULES: dict[str, Callable[[], Schedule]] = {"flow": RectifiedFlow, "cosine": Cosine, "linear": Tabulated}


def run(recipe: UniFormRecipe, resolved: dict[str, Any]) -> Path:
    """Train, and return the folder of the pipeline.

    Raises:
        ValueError: codecs that are missing, or that do not fit each other.
    """
    audio = parts.audio_codec(recipe.codecs)
    if not recipe.codecs.video:
        raise ValueError(f"codecs.video is empty: name a codec {grid_wanted(recipe, audio)}, such as {parts.OPEN_SORA}")
    codecs = AV(parts.video_codec(recipe.codecs), audio)
    text = parts.text_encoder(recipe.codecs)
    # What does not fit is said before hours are spent on latents.
    model, regress = network(recipe, codecs), objective(recipe.regression)
    fed = feed(recipe, SeparateCodecs(*codecs), text)

    def pipeline(network: nn.Module) -> SoundingVideoPipeline:
        return assembled(recipe, network, codecs, text, regress.schedule)

    weights = {"audio": recipe.regression.audio_weight}
    return fit(recipe, resolved, model, regress, fed, pipeline, weights)


def grid_wanted(recipe: UniFormRecipe, audio: Any) -> str:
    """What the latents of a video codec have to be like, beside this audio codec."""
    channels, steps, bins = audio.latent_shape(recipe.geometry)
    frames = f"whose latent frames divide the sound's {steps} steps"
    return f"{frames}, and whose channels times rows are {channels * bins}" if recipe.network.layout == "columns" else frames


def network(recipe: UniFormRecipe, codecs: AV) -> UniForm | SequenceUniForm:
    """The network that fits the codecs.

    Raises:
        ValueError: the audio latents do not fall evenly on the video latents.
    """
    c, t, h, w = codecs.video.latent_shape(recipe.geometry)
    channels, steps, bins = codecs.audio.latent_shape(recipe.geometry)
    if steps % t:
        raise ValueError(f"{steps} audio latent steps do not fall evenly on {t} latent frames; change geometry or codecs")
    own = recipe.network
    if own.layout == "sequence":
        if own.pixart or own.learn_variance:
            raise ValueError("network.layout=sequence: network.pixart and network.learn_variance belong to the other layouts")
        with seeded_init(recipe.training.seed):
            return SequenceUniForm(
                depth=own.depth,
                width=own.width,
                heads=own.heads,
                video=(c, h, w),
                audio=(channels, bins, steps // t),
                text_width=recipe.codecs.text_width,
                words=min(24, recipe.codecs.text_words),
                fps=float(recipe.geometry.fps),
            )
    with seeded_init(recipe.training.seed):
        model = UniForm(
            layout=own.layout,
            depth=own.depth,
            width=own.width,
            heads=own.heads,
            patch_size=own.patch_size,
            video=(c, h, w),
            audio=(channels, bins, steps // t),
            text_width=recipe.codecs.text_width,
            learn_variance=own.learn_variance,
            fps=float(recipe.geometry.fps),
        )
    if own.pixart:
        left = init_from_pixart(model, load_pixart(own.pixart))
        log.info("begun from %s; %d tensors that it does not know are new", own.pixart, len(left))
    return model


def objective(regression: Regression) -> MultiTaskObjective:
    """What is regressed; a stream made from the other at times of its own, as the recipe says."""
    schedule = SCHEDULES[regression.schedule]()
    one: Any = {"uniform": Uniform(), "table": Uniform(1000)}.get(regression.law)
    law, from_audio, from_video = AV(one, one), one, one
    if one is None:
        law = AV(regression.video_mean, regression.audio_mean).map(lambda mean: LogitNormal(mean, regression.std))
        from_audio = LogitNormal(regression.given_audio_mean, regression.std)
        from_video = LogitNormal(regression.given_video_mean, regression.std)
    shares = {
        Task.JOINT: regression.joint,
        Task.VIDEO_TO_AUDIO: regression.video_to_audio,
        Task.AUDIO_TO_VIDEO: regression.audio_to_video,
    }
    return MultiTaskObjective(
        schedule=AV(schedule, schedule),
        predict=regression.predict,
        tasks=shares,
        times=regression.times,
        law=law,
        law_for={Task.VIDEO_TO_AUDIO: AV(law.video, from_video), Task.AUDIO_TO_VIDEO: AV(from_audio, law.audio)},
        text_dropout=regression.text_dropout,
        bound=regression.bound,
    )


def assembled(recipe: UniFormRecipe, network: nn.Module, codecs: AV, text: Any, schedule: AV) -> SoundingVideoPipeline:
    """The pipeline of a network with the recipe's ways of sampling."""
    sampling = recipe.sampling
    options = {
        "num_inference_steps": sampling.steps,
        "guidance_scale": sampling.guidance,
        "audio_guidance_scale": sampling.guidance,
        "shift": sampling.shift,
    }
    predict = recipe.regression.predict
    return SoundingVideoPipeline(network, *codecs, text, recipe.geometry, schedule, predict, sampling.step, options)
