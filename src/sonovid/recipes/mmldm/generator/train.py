"""Train MM-LDM's generator on the latents of its autoencoder, and save a pipeline of both."""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import nn

from sonovid.codecs.hierarchical import HierarchicalAutoencoder
from sonovid.core.av import AV, Task
from sonovid.core.labels import ClassLabels
from sonovid.diffusion.cross_modal import CrossModalObjective
from sonovid.diffusion.schedule import Tabulated
from sonovid.models.mmldm import MMLDM
from sonovid.pipelines import loading
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes import components, configs
from sonovid.recipes.latent_data import find_classes, prepare_latents
from sonovid.recipes.latent_training import timestep_distribution, train_on_latents
from sonovid.recipes.mmldm.generator.config import CodecConfig, MMLDMConfig, ObjectiveConfig
from sonovid.training.seeding import seeded_init

log = logging.getLogger(__name__)

# The signal decoder of the autoencoder has the same schedule.
SCHEDULE = Tabulated("scaled_linear", 0.00085, 0.012)


def run(recipe: MMLDMConfig, recorded: dict[str, Any]) -> Path:
    """Train the generator.

    Args:
        recipe: the config.
        recorded: the plain values that are written to recipe.json.

    Returns:
        The folder of the pipeline.

    Raises:
        ValueError: there is no autoencoder, it has another geometry, or the clips of a class-conditional generator have no
            labels.
    """
    codec = load_autoencoder(recipe)
    config = recipe.network
    # A generator of one stream has no cross-modal task.
    joint_only = replace(recipe.regression, video_to_audio=0.0, audio_to_video=0.0)
    objective = build_objective(recipe.regression if config.streams == "both" else joint_only)
    text_encoder = load_text_encoder(recipe.codec) if config.context == "text" else None
    data = prepare_latents(recipe, codec, text_encoder)
    if recipe.codec.whiten:
        codec.set_whitening(AV(*(data.training.statistics[name] for name in AV._fields)))
    classes = find_classes(data.training, data.held_out) if config.context == "class" else None
    if config.context == "class" and classes is None:
        raise ValueError("network.context=class: no clip has a label; give a manifest with labels, or network.context=learnt")
    data = replace(data, classes=classes, crop=None if config.streams == "both" else keep_stream(config.streams))
    model = build_network(recipe, codec, len(classes or ()))

    def pipeline(network: nn.Module) -> SoundingVideoPipeline:
        return build_pipeline(recipe, network, codec, text_encoder, classes)

    weights = {"audio": recipe.regression.audio_weight}
    return train_on_latents(recipe, recorded, model, objective, data, pipeline, weights)


def load_autoencoder(recipe: MMLDMConfig) -> HierarchicalAutoencoder:
    """Load the autoencoder that a recipe names.

    Raises:
        ValueError: there is none, or it has another geometry.
    """
    source = recipe.codec.autoencoder
    if not source:
        raise ValueError("codec.autoencoder is empty: name the folder that a training of mmldm.*.autoencoder saved")
    path = loading.locate(source)
    # In a model folder the autoencoder is the component joint_codec.
    path = path / "joint_codec" if (path / loading.INDEX).is_file() else path
    config = json.loads((path / "config.json").read_text()) if (path / "config.json").is_file() else {}
    if config.get("_class_name") != HierarchicalAutoencoder.__name__:
        raise ValueError(f"codec.autoencoder={source}: no autoencoder of MM-LDM there; name the folder that its training saved")
    codec = loading.load_component(path.parent, path.name, (HierarchicalAutoencoder.__module__, HierarchicalAutoencoder.__name__))
    if codec.geometry != recipe.geometry:
        raise ValueError(
            f"codec.autoencoder={source}: made for clips of {codec.geometry}, and the recipe's are of {recipe.geometry}; set "
            "geometry.* alike"
        )
    return codec


def load_text_encoder(config: CodecConfig) -> Any:
    """Load the text encoder that a recipe names."""
    own = configs.CodecConfig(text=config.text, text_width=config.text_width, text_words=config.text_words)
    return components.load_text_encoder(own)


def build_network(recipe: MMLDMConfig, codec: HierarchicalAutoencoder, num_classes: int) -> MMLDM:
    """Build the generator for the latents of an autoencoder.

    Raises:
        ValueError: text embeddings of another width or number than those of the context.
    """
    config, shapes = recipe.network, codec.latent_shapes(recipe.geometry)
    text_size = (recipe.codec.text_width, recipe.codec.text_words)
    if config.context == "text" and text_size != (config.context_width, config.context_tokens):
        raise ValueError(
            f"codec.text_width={text_size[0]}, text_words={text_size[1]}: the context has "
            f"network.context_width={config.context_width} and context_tokens={config.context_tokens}; set them alike"
        )
    sizes = {"video": (shapes.video[0], *shapes.video[2:]), "audio": (shapes.audio[0], shapes.audio[2], shapes.audio[1])}
    options = {name: value for name, value in asdict(config).items() if name != "streams"}
    with seeded_init(recipe.training.seed):
        streams = {name: size if config.streams in ("both", name) else None for name, size in sizes.items()}
        return MMLDM(**streams, **options, num_classes=num_classes)


def keep_stream(stream: str) -> Callable[[AV], AV]:
    """A function that empties the other stream of a pair of latents, for a generator of one stream (MM-LDM-v, MM-LDM-a)."""

    def crop(x0: AV) -> AV:
        return AV(*(x if name == stream else x[:, :, :0] for name, x in zip(AV._fields, x0, strict=True)))

    return crop


def objective_options(config: ObjectiveConfig) -> dict[str, Any]:
    """The arguments of `CrossModalObjective` that a recipe holds: one timestep for both streams, and shares of the tasks."""
    distribution = timestep_distribution(config.law, config.mean, config.std)
    cross_modal = {Task.VIDEO_TO_AUDIO: config.video_to_audio, Task.AUDIO_TO_VIDEO: config.audio_to_video}
    return {
        "predict": config.predict,
        "tasks": {Task.JOINT: 1 - sum(cross_modal.values()), **cross_modal},
        "time_distribution": AV(distribution, distribution),
        "text_dropout": config.context_dropout,
    }


def build_objective(config: ObjectiveConfig) -> CrossModalObjective:
    """Build the objective: the noise of both streams (Eq. 8), with a share of the samples for each direction (Sec. 3.3)."""
    return CrossModalObjective(schedule=AV(SCHEDULE, SCHEDULE), **objective_options(config))


def build_pipeline(
    recipe: MMLDMConfig,
    network: nn.Module,
    codec: HierarchicalAutoencoder,
    text_encoder: Any = None,
    classes: ClassLabels | None = None,
) -> SoundingVideoPipeline:
    """Build the pipeline of a generator, with the recipe's sampling options."""
    sampling = recipe.sampling
    return SoundingVideoPipeline(
        network,
        text_encoder=text_encoder,
        geometry=recipe.geometry,
        schedule=AV(SCHEDULE, SCHEDULE),
        predict=recipe.regression.predict,
        step=sampling.step,
        options={
            "num_inference_steps": sampling.steps,
            "guidance_scale": sampling.guidance,
            "audio_guidance_scale": sampling.audio_guidance,
            "guidance_against": sampling.against,
        },
        system="mmldm",
        conditioning="shown",
        joint_codec=codec,
        labels=classes.names if classes else (),
    )
