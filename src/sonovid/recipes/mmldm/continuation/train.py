"""Train MM-LDM's continuation network on pairs of consecutive windows, and save its pipeline."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sonovid import media
from sonovid.codecs.base import PairCodec
from sonovid.core.av import AV
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.data import clips, latents
from sonovid.diffusion.cross_modal import ContinuationObjective
from sonovid.media.audio import pad_or_trim
from sonovid.models.mmldm import MMLDM, Continuation
from sonovid.pipelines.continuation import ContinuationSettings, extend
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes import components
from sonovid.recipes.latent_cache import open_latents
from sonovid.recipes.latent_data import encode_clips, make_batches
from sonovid.recipes.mmldm.continuation.config import MMLDMContinuationConfig
from sonovid.recipes.mmldm.generator.train import objective_options
from sonovid.training.job import Job
from sonovid.training.loop import train
from sonovid.training.seeding import seeded_init

log = logging.getLogger(__name__)


def run(recipe: MMLDMContinuationConfig, recorded: dict[str, Any]) -> Path:
    """Train the continuation network.

    Args:
        recipe: the config.
        recorded: the plain values that are written to recipe.json.

    Returns:
        The folder of the pipeline.

    Raises:
        ValueError: there is no generator, it is no MM-LDM, or the recipe does not fit it.
    """
    base = load_generator(recipe)
    geometry, codec = base.geometry, base.codec
    two_windows = replace(geometry, num_frames=2 * geometry.num_frames)
    device = components.training_device()
    components.move_codec(codec, device)
    encode = partial(encode_two_windows, codec=codec, geometry=geometry, device=device, precision=recipe.data.precision)
    # Caches on disk have "two windows" in their key, so it must not change.
    key = (*components.encoder_key(codec), recipe.data.precision, "two windows")
    training, held_out, windows = open_latents(recipe.data, two_windows, Path(recipe.out), encode, *key)
    classes = base.classes if len(base.classes) else None
    with seeded_init(recipe.training.seed):
        model = Continuation.from_generator(base.denoiser, recipe.depth or None)

    def batch(cache: latents.LatentDataset) -> Callable[[Sequence[int]], dict[str, Any]]:
        return WindowPairBatches(make_batches(cache, codec, base.text_encoder, classes=classes))

    samples = [clips.load_clip(window, two_windows) for window in windows[: recipe.shown]]
    objective = build_objective(recipe, base.schedule)
    job = Job(
        model=model,
        objective=objective,
        batch=batch(training),
        size=len(training),
        validation=batch(held_out) if held_out else None,
        validation_size=len(held_out) if held_out else 0,
        config=recipe.training,
        weights={"audio": recipe.regression.audio_weight},
        compare_pairs=objective.compare_shuffled,
        sample=lambda network, folder, step: write_continuations(build_pipeline(base, network), samples, recipe.windows, folder),
        export=lambda network, folder: build_pipeline(base, network).save_pretrained(folder),
        recipe=recorded,
    )
    return train(job, Path(recipe.out), resume=recipe.resume)


def load_generator(recipe: MMLDMContinuationConfig) -> SoundingVideoPipeline:
    """Load the pipeline of the generator that a recipe names.

    Raises:
        ValueError: there is none, it is no MM-LDM of both streams, or it predicts something else than the recipe says.
    """
    if not recipe.generator:
        raise ValueError("generator is empty: name the folder of a pipeline that a training of mmldm.* saved")
    pipe = SoundingVideoPipeline.from_pretrained(recipe.generator)
    if not isinstance(pipe.denoiser, MMLDM) or not all(pipe.denoiser.generated_streams):
        kind = type(pipe.denoiser).__name__
        raise ValueError(f"generator={recipe.generator}: a {kind}; expected MM-LDM's generator of video and audio")
    if pipe.config.predict != recipe.regression.predict:
        raise ValueError(
            f"regression.predict={recipe.regression.predict}: the generator predicts {pipe.config.predict}; set it alike"
        )
    return pipe


def encode_two_windows(batch: list[Clip], *, codec: PairCodec, geometry: Geometry, device: torch.device, precision: str) -> AV:
    """Encode clips of two windows, each window separately, and concatenate the raw latents in time.

    The audio of two windows may be one sample shorter than twice that of one window; it is padded with silence.

    Args:
        batch: clips of two windows, with frames and audio.
        codec: the codec of both streams, on `device`.
        geometry: geometry of one window.
        device: the device to encode on.
        precision: see `latent_data.encode_clips`.
    """
    halves = []
    for index in range(2):
        first, last = index * geometry.num_frames, (index + 1) * geometry.num_frames
        sample = index * geometry.num_samples
        windows = [
            replace(clip, frames=clip.frames[first:last], waveform=pad_or_trim(clip.waveform[:, sample:], geometry.num_samples))
            for clip in batch
            if clip.frames is not None and clip.waveform is not None
        ]
        halves.append(encode_clips(windows, codec=codec, device=device, precision=precision))
    return halves[0].map(lambda a, b: torch.cat([a, b], dim=2), halves[1])


@dataclass(frozen=True)
class WindowPairBatches:
    """Batches of two windows: the second is "x0", which is denoised, and the first is "previous_window".

    Attributes:
        batches: a function from indices to batches whose "x0" holds both windows.
    """

    batches: Callable[[Sequence[int]], dict[str, Any]]

    def __call__(self, indices: Sequence[int]) -> dict[str, Any]:
        batch = self.batches(indices)

        def half(index: int) -> Callable[[Tensor], Tensor]:
            return lambda x: x.chunk(2, dim=2)[index]

        return {**batch, "previous_window": batch["x0"].map(half(0)), "x0": batch["x0"].map(half(1))}


def build_objective(recipe: MMLDMContinuationConfig, schedule: AV) -> ContinuationObjective:
    """Build the objective: the noise of the second window, conditioned on the first."""
    return ContinuationObjective(schedule=schedule, **objective_options(recipe.regression), **asdict(recipe.before))


def build_pipeline(base: SoundingVideoPipeline, network: nn.Module) -> SoundingVideoPipeline:
    """Build the generator's pipeline with the continuation network in place of the generator."""
    return SoundingVideoPipeline(
        network,
        text_encoder=base.text_encoder,
        geometry=base.geometry,
        schedule=base.schedule,
        predict=base.config.predict,
        step=base.config.step,
        options=base.options,
        system=base.config.system,
        conditioning=base.config.conditioning,
        joint_codec=base.joint_codec,
        labels=base.config.labels,
    )


def write_continuations(pipe: SoundingVideoPipeline, samples: Sequence[Clip], num_windows: int, folder: Path) -> None:
    """Write clips of two windows, and the continuation of the first window of each.

    Args:
        pipe: the pipeline of the continuation network.
        samples: clips of two windows.
        num_windows: length of the continued clips, in windows.
        folder: folder of the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    geometry = pipe.geometry
    for number, clip in enumerate(samples):
        assert clip.frames is not None
        assert clip.waveform is not None
        media.write(folder / f"{number}-true.mp4", clip, overwrite=True)
        first = replace(clip, frames=clip.frames[: geometry.num_frames], waveform=clip.waveform[:, : geometry.num_samples])
        label = clip.label if len(pipe.classes) else None
        settings = ContinuationSettings(prompt=clip.caption if pipe.accepts_text else None, label=label)
        size = (geometry.height, geometry.width)
        options: Any = {"fps": geometry.fps, "size": size, "sample_rate": geometry.sample_rate, "overwrite": True}
        with (
            torch.autocast(pipe.device.type, enabled=False),
            media.open_writer(folder / f"{number}-long.mp4", **options) as writer,
        ):
            for window in extend(pipe, first, seconds=num_windows * geometry.seconds, settings=settings, generator=number):
                writer.add(window.clip.frames, window.clip.waveform)
