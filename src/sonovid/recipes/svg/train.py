"""Train the SVG baseline: load or build the base models, join them, cache the latents, train, and save a pipeline."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sonovid.codecs.joint_text import JointText
from sonovid.codecs.separate import SeparateCodecs
from sonovid.codecs.text import HashedText
from sonovid.core.av import AV, Task
from sonovid.core.condition import Condition
from sonovid.core.geometry import Geometry
from sonovid.diffusion.objective import MultiTaskObjective, RandomDraw, Uniform
from sonovid.diffusion.schedule import Tabulated
from sonovid.models.svg import SVG
from sonovid.models.svg.model import audioldm_config, motion_config
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes import components, configs
from sonovid.recipes.latent_data import prepare_latents
from sonovid.recipes.latent_training import train_on_latents
from sonovid.recipes.svg.base_models import load_released_bases, load_trained_bases
from sonovid.recipes.svg.config import CodecConfig, ObjectiveConfig, SVGConfig
from sonovid.training.seeding import seeded_init

log = logging.getLogger(__name__)

# The schedules of Stable Diffusion and of AudioLDM. Stable Diffusion's betas are spaced linearly, as in the paper's release.
SCHEDULE = AV(Tabulated("linear", 0.00085, 0.012), Tabulated("scaled_linear", 0.0015, 0.0195))


def run(recipe: SVGConfig, recorded: dict[str, Any]) -> Path:
    """Train SVG.

    Args:
        recipe: the config.
        recorded: the plain values that are written to recipe.json.

    Returns:
        The folder of the pipeline.

    Raises:
        ValueError: gamma is not above zero, or components do not fit each other.
    """
    if recipe.sampling.gamma <= 0:
        # Checked before days of training, not at the first sampling of a validation.
        raise ValueError(f"sampling.gamma={recipe.sampling.gamma}: expected a number above zero; 1 does not adjust the timesteps")
    codecs, text_encoder = load_codecs(recipe.codecs), load_text_encoder(recipe.codecs)
    model, objective = build_network(recipe, codecs, text_encoder), build_objective(recipe.regression)
    data = prepare_latents(recipe, SeparateCodecs(*codecs), text_encoder)

    def pipeline(network: nn.Module) -> SoundingVideoPipeline:
        return build_pipeline(recipe, network, codecs, text_encoder)

    weights = {"audio": recipe.regression.audio_weight}
    return train_on_latents(recipe, recorded, model, objective, data, pipeline, weights)


def load_codecs(config: CodecConfig) -> AV:
    """Load both codecs, of this package or of a released pipeline (its subfolders vae and vocoder)."""
    sources = configs.CodecConfig(video=config.video, audio=config.audio)
    return AV(components.load_video_codec(sources), components.load_audio_codec(sources))


def load_text_encoder(config: CodecConfig) -> JointText:
    """Load the two text encoders that a recipe names."""
    sources = {"codecs.words": (config.words, config.words_width), "codecs.vector": (config.vector, config.vector_width)}
    words, vector = (
        HashedText(width, config.places) if source == "hashed" else components.load_pretrained_text(key, source)
        for key, (source, width) in sources.items()
    )
    return JointText(words, vector, config.places)


def build_network(recipe: SVGConfig, codecs: AV, text_encoder: JointText) -> SVG:
    """Build the joint network; only the weights that the recipe's stage trains require gradients.

    Raises:
        ValueError: base models of the wrong class, or latents that they cannot process.
    """
    config, words, vector = recipe.network, *text_encoder.null_condition()
    options: dict[str, Any] = {"variant": config.variant, "context_channels": config.context_channels, "mults": config.mults}
    options |= {"text_words": text_encoder.places, "fold": config.fold, "centred": config.centred}
    options |= {"head_width": (config.head_width,) * 2}
    shapes = codecs.map(partial(latent_shape, geometry=recipe.geometry))
    with seeded_init(recipe.training.seed):
        if config.begun:
            model = SVG.from_bases(*load_trained_bases(config.begun), **options)
        elif config.video:
            model = SVG.from_bases(*load_released_bases(config), **options)
        else:
            sizes = {"norm_groups": config.norm_groups, "layers": config.layers, "heads": config.heads}
            channels = AV(shapes.video[0] * config.fold**2, shapes.audio[0])
            video = motion_config(
                config.video_widths, cross_attention_dim=words.shape[-1], in_channels=channels.video, frames=32, **sizes
            )
            audio = audioldm_config(config.audio_widths, text_width=len(vector), in_channels=channels.audio, **sizes)
            model = SVG(video, audio, **options)
    model.set_null_condition(words, vector)
    model.check(shapes.map(lambda shape: torch.empty(1, *shape, device="meta")))
    return model.train_bases() if recipe.regression.stage == "bases" else model.freeze_bases()


def latent_shape(codec: Any, geometry: Geometry) -> tuple[int, ...]:
    """The shape of a clip's latents.

    Raises:
        ValueError: the codec cannot compress clips of this geometry.
    """
    try:
        return tuple(codec.latent_shape(geometry))
    except ValueError as error:
        raise ValueError(
            f"{error}; change geometry.num_frames, now {geometry.num_frames} at {geometry.fps} a second, or geometry.height and "
            f"width, now {geometry.height} and {geometry.width}"
        ) from error


@dataclass(frozen=True, kw_only=True)
class AudioObjective(MultiTaskObjective):
    """The audio half of the joint objective: the video keeps its noise level, and its loss is left out."""

    def draw(self, x0: AV, generator: torch.Generator) -> RandomDraw:
        drawn = super().draw(x0, generator)
        return replace(drawn, generated=AV(torch.zeros_like(drawn.generated.video), drawn.generated.audio))

    def _self_condition(self, drawn: RandomDraw, model: Callable[..., Any], x: AV, condition: Condition) -> AV | None:
        """Estimates of both streams, as when both are generated."""
        both = AV(torch.ones_like(drawn.generated.video), drawn.generated.audio)
        return super()._self_condition(drawn, model, x, replace(condition, generated=both))


def build_objective(config: ObjectiveConfig) -> MultiTaskObjective:
    """Build the objective: the loss of both streams at independent timesteps (Eq. 10), or its audio half."""
    audio_only, given = config.scored == "audio", config.given
    tasks = {Task.JOINT: 1 - given}
    if given:
        tasks |= {Task.VIDEO_TO_AUDIO: given} if audio_only else {Task.VIDEO_TO_AUDIO: given / 2, Task.AUDIO_TO_VIDEO: given / 2}
    return (AudioObjective if audio_only else MultiTaskObjective)(
        schedule=SCHEDULE,
        predict=config.predict,
        tasks=tasks,
        times="independent",
        time_distribution=AV(Uniform(1000), Uniform(1000)),
        text_dropout=config.text_dropout,
        self_conditioning=config.self_conditioning,
    )


def build_pipeline(recipe: SVGConfig, network: nn.Module, codecs: AV, text_encoder: JointText) -> SoundingVideoPipeline:
    """Build the pipeline of a network, with the recipe's sampling options."""
    sampling = recipe.sampling
    options = {
        "num_inference_steps": sampling.steps,
        "guidance_scale": sampling.guidance,
        "audio_guidance_scale": sampling.audio_guidance,
        "gamma": sampling.gamma,
    }
    return SoundingVideoPipeline(
        network, *codecs, text_encoder, recipe.geometry, SCHEDULE, recipe.regression.predict, "ddim", options, system="svg"
    )
