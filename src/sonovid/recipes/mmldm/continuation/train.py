"""MM-LDM's continuation network trained from its recipe: pairs of windows encoded, trained, a pipeline left that goes on."""

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
from sonovid.core.av import AV, Task
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.data import clips, latents
from sonovid.diffusion.cross_modal import ContinuationObjective
from sonovid.diffusion.objective import LogitNormal, Uniform
from sonovid.media.audio import pad_or_trim
from sonovid.models.mmldm import MMLDM, Continuation
from sonovid.pipelines.continuation import ContinuationSettings, extend
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes import components as parts
from sonovid.recipes.latent_training import batches, encoded
from sonovid.recipes.mmldm.continuation import ContinuationRecipe
from sonovid.training.loop import Job, seeded_init, train

log = logging.getLogger(__name__)


def run(recipe: ContinuationRecipe, resolved: dict[str, Any]) -> Path:
    """Train the continuation network, and return the folder of its pipeline.

    Raises:
        ValueError: no generator, one that is no MM-LDM, or a recipe that does not fit it.
    """
    start = begun(recipe)
    own, codec = start.geometry, start.codec
    both = replace(own, num_frames=2 * own.num_frames)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    parts.move(codec, device)
    encode = partial(encoded_in_two, codec=codec, own=own, device=device, precision=recipe.data.precision)
    key = (*parts.what_encodes(codec), recipe.data.precision, "two windows")
    training, held_out, windows = parts.caches(recipe.data, both, Path(recipe.out), encode, *key)
    classes = start.classes if len(start.classes) else None
    with seeded_init(recipe.training.seed):
        model = Continuation.from_generator(start.denoiser, recipe.depth or None)

    def batch(cache: latents.LatentDataset) -> Callable[[Sequence[int]], dict[str, Any]]:
        return InTwo(batches(cache, codec, start.text_encoder, classes=classes))

    shown = [clips.load_clip(window, both) for window in windows[: recipe.shown]]
    objective_of = objective(recipe, start.schedule)
    ready = Job(
        model=model,
        objective=objective_of,
        batch=batch(training),
        size=len(training),
        validation=batch(held_out) if held_out else None,
        validation_size=len(held_out) if held_out else 0,
        settings=recipe.training,
        weights={"audio": recipe.regression.audio_weight},
        pairs=objective_of.compare_shuffled,
        sample=lambda network, folder, step: continued(assembled(start, network), shown, recipe.windows, folder),
        export=lambda network, folder: assembled(start, network).save_pretrained(folder),
        recipe=resolved,
    )
    return train(ready, Path(recipe.out), resume=recipe.resume)


def begun(recipe: ContinuationRecipe) -> SoundingVideoPipeline:
    """The pipeline of the generator that a recipe names.

    Raises:
        ValueError: there is none, it is no MM-LDM of two streams, or it predicts something else.
    """
    if not recipe.generator:
        raise ValueError("generator is empty: name the folder of a pipeline that a training of mmldm.* left")
    pipe = SoundingVideoPipeline.from_pretrained(recipe.generator)
    if not isinstance(pipe.denoiser, MMLDM) or not all(pipe.denoiser.makes):
        kind = type(pipe.denoiser).__name__
        raise ValueError(f"generator={recipe.generator}: a {kind}; expected MM-LDM's generator of pictures and sound")
    if pipe.config.predict != recipe.regression.predict:
        raise ValueError(
            f"regression.predict={recipe.regression.predict}: the generator predicts {pipe.config.predict}; set it alike"
        )
    return pipe


def encoded_in_two(given: list[Clip], *, codec: PairCodec, own: Geometry, device: torch.device, precision: str) -> AV:
    """Raw latents of clips of two windows, each window encoded by itself, one after the other on the axis of time.

    Two windows may together be a sample shorter than twice one; what is missing is silent.
    """
    halves = []
    for index in range(2):
        first, last = index * own.num_frames, (index + 1) * own.num_frames
        sample = index * own.num_samples
        pieces = [
            replace(clip, frames=clip.frames[first:last], waveform=pad_or_trim(clip.waveform[:, sample:], own.num_samples))
            for clip in given
            if clip.frames is not None and clip.waveform is not None
        ]
        halves.append(encoded(pieces, codec=codec, device=device, precision=precision))
    return halves[0].map(lambda a, b: torch.cat([a, b], dim=2), halves[1])


@dataclass(frozen=True)
class InTwo:
    """Batches of two windows as the second, which is learnt, and the first, which is shown before it."""

    whole: Callable[[Sequence[int]], dict[str, Any]]

    def __call__(self, indices: Sequence[int]) -> dict[str, Any]:
        found = self.whole(indices)

        def half(index: int) -> Callable[[Tensor], Tensor]:
            return lambda x: x.chunk(2, dim=2)[index]

        return {**found, "previous_window": found["x0"].map(half(0)), "x0": found["x0"].map(half(1))}


def objective(recipe: ContinuationRecipe, schedule: AV) -> ContinuationObjective:
    """The noise of the second window, shown the first."""
    own = recipe.regression
    law = Uniform(1000) if own.law == "table" else LogitNormal(own.mean, own.std)
    given = {Task.VIDEO_TO_AUDIO: own.video_to_audio, Task.AUDIO_TO_VIDEO: own.audio_to_video}
    return ContinuationObjective(
        schedule=schedule,
        predict=own.predict,
        tasks={Task.JOINT: 1 - sum(given.values()), **given},
        time_distribution=AV(law, law),
        text_dropout=own.context_dropout,
        **asdict(recipe.before),
    )


def assembled(start: SoundingVideoPipeline, network: nn.Module) -> SoundingVideoPipeline:
    """The generator's pipeline with the network that goes on in its place."""
    return SoundingVideoPipeline(
        network,
        text_encoder=start.text_encoder,
        geometry=start.geometry,
        schedule=start.schedule,
        predict=start.config.predict,
        step=start.config.step,
        options=start.options,
        system=start.config.system,
        conditioning=start.config.conditioning,
        joint_codec=start.joint_codec,
        labels=start.config.labels,
    )


def continued(pipe: SoundingVideoPipeline, shown: Sequence[Clip], windows: int, folder: Path) -> None:
    """For some held-out clips: two windows as they are, and what is made after the first of them."""
    folder.mkdir(parents=True, exist_ok=True)
    own = pipe.geometry
    for number, clip in enumerate(shown):
        assert clip.frames is not None
        assert clip.waveform is not None
        media.write(folder / f"{number}-true.mp4", clip, overwrite=True)
        first = replace(clip, frames=clip.frames[: own.num_frames], waveform=clip.waveform[:, : own.num_samples])
        label = clip.label if len(pipe.classes) else None
        settings = ContinuationSettings(prompt=clip.caption if pipe.accepts_text else None, label=label)
        options: Any = {"fps": own.fps, "size": (own.height, own.width), "sample_rate": own.sample_rate, "overwrite": True}
        with (
            torch.autocast(pipe.device.type, enabled=False),
            media.open_writer(folder / f"{number}-long.mp4", **options) as pieces,
        ):
            for window in extend(pipe, first, seconds=windows * own.seconds, settings=settings, generator=number):
                pieces.add(window.clip.frames, window.clip.waveform)
