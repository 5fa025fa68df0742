"""Train a diffusion network on latents, generate samples at each validation, and save a pipeline."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sonovid import media
from sonovid.core.clip import Clip
from sonovid.data import clips
from sonovid.diffusion.objective import LogitNormal, Uniform
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes.latent_data import LatentData
from sonovid.training.job import Job
from sonovid.training.loop import train

log = logging.getLogger(__name__)


def timestep_distribution(law: str, mean: float, std: float) -> Any:
    """The distribution of the timesteps t in (0, 1) that a recipe names.

    Args:
        law: "uniform", "table" (uniform over a table of 1000 timesteps) or "logit_normal".
        mean: mean of logit t, for "logit_normal".
        std: standard deviation of logit t.
    """
    if law == "logit_normal":
        return LogitNormal(mean, std)
    return Uniform(1000) if law == "table" else Uniform()


def train_on_latents(
    recipe: Any,
    recorded: dict[str, Any],
    model: nn.Module,
    objective: Any,
    data: LatentData,
    build_pipeline: Callable[[nn.Module], SoundingVideoPipeline],
    weights: dict[str, float],
) -> Path:
    """Train a network on cached latents, and save its pipeline.

    Args:
        recipe: a config of any system with `out`, `resume`, `training` and `sampling.validation_clips`.
        recorded: the plain values that are written to recipe.json.
        model: the network.
        objective: its objective. Where it has `compare_shuffled`, validations compare true pairs with shuffled ones.
        data: the latents.
        build_pipeline: builds the pipeline of a network, for samples and to be saved.
        weights: weights of the losses by name.

    Returns:
        The folder of the pipeline.
    """
    num_samples, held_out = recipe.sampling.validation_clips, data.held_out
    job = Job(
        model=model,
        objective=objective,
        batch=data.batches(data.training),
        size=len(data.training),
        validation=data.batches(held_out) if held_out else None,
        validation_size=len(held_out) if held_out else 0,
        config=recipe.training,
        weights=weights,
        compare_pairs=getattr(objective, "compare_shuffled", None),
        sample=lambda network, folder, step: write_samples(
            build_pipeline(network), data.windows[:num_samples], data.load_clip, folder
        ),
        export=lambda network, folder: build_pipeline(network).save_pretrained(folder),
        recipe=recorded,
    )
    return train(job, Path(recipe.out), resume=recipe.resume)


def write_samples(
    pipe: SoundingVideoPipeline, windows: Sequence[clips.Window], load_clip: Callable[[clips.Window], Clip], folder: Path
) -> None:
    """Write each held-out clip, a joint sample for its caption or class, and samples of each stream from the other.

    Args:
        pipe: the pipeline to sample from.
        windows: the held-out windows.
        load_clip: loads a window.
        folder: folder of the files.
    """
    pipe.set_progress_bar_config(disable=True)
    folder.mkdir(parents=True, exist_ok=True)

    def generate_clip(*inputs: Any, **options: Any) -> Clip:
        output: Any = pipe(*inputs, **options)
        return output.clips[0]

    with torch.autocast(pipe.device.type, enabled=False):
        for number, window in enumerate(windows):
            clip = load_clip(window)
            prompt = clip.caption if pipe.accepts_text else None
            generate = partial(generate_clip, label=clip.label if len(pipe.classes) else None, generator=number)
            tasks: dict[str, Callable[[], Clip]] = {
                "true": partial(load_clip, window),
                "text_to_both" if pipe.accepts_text else "both": partial(generate, prompt),
                "video_to_audio": partial(generate, prompt, video=replace(clip, waveform=None)),
                "audio_to_video": partial(generate, prompt, audio=replace(clip, frames=None)),
            }
            for name, make_clip in tasks.items():
                try:
                    media.write(folder / f"{number}-{name}.mp4", make_clip(), overwrite=True)
                except ValueError as error:
                    # The pipeline refuses to generate video from silence, and a held-out clip may be silent. Training continues.
                    log.warning("no sample %s of %s: %s", name, window.entry.name, error)
            (folder / f"{number}.txt").write_text(clip.caption + "\n")
