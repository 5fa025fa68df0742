"""Train UniForm: load the codecs, cache the latents, train the transformer, and save a pipeline."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from sonovid.codecs.separate import SeparateCodecs
from sonovid.core.av import AV, Task
from sonovid.diffusion.objective import MultiTaskObjective
from sonovid.diffusion.schedule import Cosine, RectifiedFlow, Schedule, Tabulated
from sonovid.models.uniform.pixart import init_from_pixart, load_pixart
from sonovid.models.uniform.sequence import SequenceUniForm
from sonovid.models.uniform.transformer import UniForm
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes.components import OPEN_SORA, load_audio_codec, load_text_encoder, load_video_codec
from sonovid.recipes.latent_data import prepare_latents
from sonovid.recipes.latent_training import timestep_distribution, train_on_latents
from sonovid.recipes.uniform.config import ObjectiveConfig, UniFormConfig
from sonovid.training.seeding import seeded_init

log = logging.getLogger(__name__)

SCHEDULES: dict[str, Callable[[], Schedule]] = {"flow": RectifiedFlow, "cosine": Cosine, "linear": Tabulated}


def run(recipe: UniFormConfig, recorded: dict[str, Any]) -> Path:
    """Train UniForm.

    Args:
        recipe: the config.
        recorded: the plain values that are written to recipe.json.

    Returns:
        The folder of the pipeline.

    Raises:
        ValueError: a codec is missing, or the codecs do not fit each other.
    """
    audio = load_audio_codec(recipe.codecs)
    if not recipe.codecs.video:
        raise ValueError(f"codecs.video is empty: name a codec {_required_latents(recipe, audio)}, such as {OPEN_SORA}")
    codecs = AV(load_video_codec(recipe.codecs), audio)
    text_encoder = load_text_encoder(recipe.codecs)
    # The network is built first, so that codecs that do not fit fail before hours of encoding.
    model, objective = build_network(recipe, codecs), build_objective(recipe.regression)
    data = prepare_latents(recipe, SeparateCodecs(*codecs), text_encoder)

    def pipeline(network: nn.Module) -> SoundingVideoPipeline:
        return build_pipeline(recipe, network, codecs, text_encoder, objective.schedule)

    weights = {"audio": recipe.regression.audio_weight}
    return train_on_latents(recipe, recorded, model, objective, data, pipeline, weights)


def _required_latents(recipe: UniFormConfig, audio_codec: Any) -> str:
    """Describe the latents that a video codec must have to fit this audio codec, for an error message."""
    channels, steps, bins = audio_codec.latent_shape(recipe.geometry)
    frames = f"whose latent frames divide the audio's {steps} steps"
    return f"{frames}, and whose channels times rows are {channels * bins}" if recipe.network.layout == "columns" else frames


def build_network(recipe: UniFormConfig, codecs: AV) -> UniForm | SequenceUniForm:
    """Build the network for the latents of a pair of codecs.

    Raises:
        ValueError: the number of audio latent steps is no multiple of the number of video latent frames.
    """
    c, t, h, w = codecs.video.latent_shape(recipe.geometry)
    channels, steps, bins = codecs.audio.latent_shape(recipe.geometry)
    if steps % t:
        raise ValueError(f"{steps} audio latent steps are no multiple of {t} video latent frames; change geometry or codecs")
    config = recipe.network
    if config.layout == "sequence":
        if config.pixart or config.learn_variance:
            raise ValueError("network.layout=sequence: network.pixart and network.learn_variance belong to the other layouts")
        with seeded_init(recipe.training.seed):
            return SequenceUniForm(
                depth=config.depth,
                width=config.width,
                heads=config.heads,
                video=(c, h, w),
                audio=(channels, bins, steps // t),
                text_width=recipe.codecs.text_width,
                words=min(24, recipe.codecs.text_words),
                fps=float(recipe.geometry.fps),
            )
    with seeded_init(recipe.training.seed):
        model = UniForm(
            layout=config.layout,
            depth=config.depth,
            width=config.width,
            heads=config.heads,
            patch_size=config.patch_size,
            video=(c, h, w),
            audio=(channels, bins, steps // t),
            text_width=recipe.codecs.text_width,
            learn_variance=config.learn_variance,
            fps=float(recipe.geometry.fps),
        )
    if config.pixart:
        not_loaded = init_from_pixart(model, load_pixart(config.pixart))
        log.info("initialised from %s, except %d tensors that it does not have", config.pixart, len(not_loaded))
    return model


def build_objective(config: ObjectiveConfig) -> MultiTaskObjective:
    """Build the objective. A stream generated from the other has a timestep distribution of its own."""
    schedule = SCHEDULES[config.schedule]()

    def distribution(mean: float) -> Any:
        return timestep_distribution(config.law, mean, config.std)

    joint = AV(config.video_mean, config.audio_mean).map(distribution)
    from_audio, from_video = distribution(config.given_audio_mean), distribution(config.given_video_mean)
    return MultiTaskObjective(
        schedule=AV(schedule, schedule),
        predict=config.predict,
        tasks={
            Task.JOINT: config.joint,
            Task.VIDEO_TO_AUDIO: config.video_to_audio,
            Task.AUDIO_TO_VIDEO: config.audio_to_video,
        },
        times=config.times,
        time_distribution=joint,
        task_time_distributions={
            Task.VIDEO_TO_AUDIO: AV(joint.video, from_video),
            Task.AUDIO_TO_VIDEO: AV(from_audio, joint.audio),
        },
        text_dropout=config.text_dropout,
        vlb_weight=config.bound,
    )


def build_pipeline(
    recipe: UniFormConfig, network: nn.Module, codecs: AV, text_encoder: Any, schedule: AV
) -> SoundingVideoPipeline:
    """Build the pipeline of a network, with the recipe's sampling options."""
    sampling = recipe.sampling
    options = {
        "num_inference_steps": sampling.steps,
        "guidance_scale": sampling.guidance,
        "audio_guidance_scale": sampling.guidance,
        "shift": sampling.shift,
    }
    predict = recipe.regression.predict
    return SoundingVideoPipeline(network, *codecs, text_encoder, recipe.geometry, schedule, predict, sampling.step, options)
