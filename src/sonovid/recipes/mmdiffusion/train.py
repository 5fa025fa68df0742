"""Train MM-Diffusion: cache pixels and samples, train the coupled U-Net, and save a pipeline."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from sonovid.codecs.raw import PixelCodec, WaveformCodec
from sonovid.codecs.separate import SeparateCodecs
from sonovid.core.av import AV, Task
from sonovid.diffusion.objective import MultiTaskObjective
from sonovid.diffusion.schedule import Tabulated
from sonovid.models.mmdiffusion import MMDiffusion
from sonovid.models.mmdiffusion.blocks import AUDIO_FACTOR
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes.latent_data import prepare_latents
from sonovid.recipes.latent_training import timestep_distribution, train_on_latents
from sonovid.recipes.mmdiffusion.config import MMDiffusionConfig
from sonovid.training.seeding import seeded_init

# Ho et al. 2020: betas from 1e-4 to 0.02 in 1000 steps.
SCHEDULE = Tabulated()


def run(recipe: MMDiffusionConfig, recorded: dict[str, Any]) -> Path:
    """Train MM-Diffusion.

    Args:
        recipe: the config.
        recorded: the plain values that are written to recipe.json.

    Returns:
        The folder of the pipeline.
    """
    codec = build_codec(recipe)
    with seeded_init(recipe.training.seed):
        model = MMDiffusion(**asdict(recipe.network))
    distribution = timestep_distribution("table", 0.0, 1.0)
    objective = MultiTaskObjective(
        schedule=AV(SCHEDULE, SCHEDULE),
        predict="eps",
        tasks={Task.JOINT: 1.0},
        time_distribution=AV(distribution, distribution),
    )

    def pipeline(network: nn.Module) -> SoundingVideoPipeline:
        return build_pipeline(recipe, network, codec)

    weights = {"audio": recipe.regression.audio_weight}
    return train_on_latents(recipe, recorded, model, objective, prepare_latents(recipe, codec), pipeline, weights)


def build_codec(recipe: MMDiffusionConfig) -> SeparateCodecs:
    """Build the codecs of pixels and samples, with as many samples as the levels of the network divide."""
    multiple = AUDIO_FACTOR ** (len(recipe.network.multipliers) - 1)
    return SeparateCodecs(PixelCodec(), WaveformCodec(recipe.geometry.sample_rate, multiple, recipe.regression.audio_scale))


def build_pipeline(recipe: MMDiffusionConfig, network: nn.Module, codec: SeparateCodecs) -> SoundingVideoPipeline:
    """Build the pipeline of a network, with the recipe's sampling options: without text, conditioning streams are noised."""
    sampling = recipe.sampling
    return SoundingVideoPipeline(
        network,
        *codec.codecs,
        geometry=recipe.geometry,
        schedule=AV(SCHEDULE, SCHEDULE),
        predict="eps",
        step=sampling.step,
        options={"num_inference_steps": sampling.steps, "reconstruction_scale": sampling.reconstruction},
        system="mmdiffusion",
        conditioning="replaced",
    )
