"""UniForm's training from its recipe: latents cached, the network trained, a pipeline left that can be loaded."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sonovid import media
from sonovid.av import AV, Task
from sonovid.clip import Clip
from sonovid.condition import Condition
from sonovid.data import clips, latents
from sonovid.denoisers.pixart import init_from_pixart, load_pixart
from sonovid.denoisers.uniform import UniForm
from sonovid.diffusion.objective import LogitNormal, MultiTask, Uniform
from sonovid.diffusion.schedule import Cosine, RectifiedFlow, Schedule, Tabulated
from sonovid.geometry import Geometry
from sonovid.pipeline import SoundingVideoPipeline
from sonovid.recipes import parts
from sonovid.recipes.uniform import Regression, UniFormRecipe
from sonovid.training.loop import Job, drawn_from, train

log = logging.getLogger(__name__)

SCHEDULES: dict[str, Callable[[], Schedule]] = {"flow": RectifiedFlow, "cosine": Cosine, "linear": Tabulated}
# Embedded words of all captions are kept up to this many numbers; beyond, they are embedded batch by batch.
MOST_NUMBERS = 1 << 30


def run(recipe: UniFormRecipe, resolved: dict[str, Any]) -> Path:
    """Train, and return the folder of the pipeline."""
    out, shown = Path(recipe.out), recipe.sampling.validation_clips
    codecs = AV(parts.video_codec(recipe.codecs), parts.audio_codec(recipe.codecs))
    text = parts.text_encoder(recipe.codecs)
    # What does not fit is said before hours are spent on latents.
    model, regress = network(recipe, codecs), objective(recipe.regression)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for codec in codecs:
        codec.to(device)
    encode = partial(encoded, codecs=codecs, device=device, precision=recipe.data.precision)
    # Of an audio codec only what encodes is in the key: another vocoder gives the same latents.
    key = (codecs.video, codecs.audio.autoencoder, codecs.audio.log_mel.to_config(), recipe.data.precision)
    training, held_out, windows = parts.caches(recipe.data, recipe.geometry, out, encode, *key)
    for codec, name in zip(codecs, AV._fields, strict=True):
        parts.whiten_by(codec, training.statistics.get(name))

    def pipeline(network: nn.Module) -> SoundingVideoPipeline:
        return assembled(recipe, network, codecs, text, regress.schedule)

    ready = Job(
        model=model,
        objective=regress,
        batch=batches(training, codecs, text),
        size=len(training),
        validation=batches(held_out, codecs, text) if held_out else None,
        validation_size=len(held_out) if held_out else 0,
        settings=recipe.training,
        weights={"audio": recipe.regression.audio_weight},
        pairs=regress.paired_and_shuffled,
        sample=lambda network, folder, step: samples(pipeline(network), windows[:shown], recipe.geometry, folder),
        export=lambda network, folder: pipeline(network).save_pretrained(folder),
        recipe=resolved,
    )
    return train(ready, out, resume=recipe.resume)


def encoded(given: list[Clip], *, codecs: AV, device: torch.device, precision: str) -> AV:
    """Raw latents of some clips, in float16.

    That has eight times the resolution of bfloat16 at the same size, and latents of order one never leave its range.
    """
    frames = torch.from_numpy(np.stack([clip.frames for clip in given if clip.frames is not None])).to(device)
    sound = torch.from_numpy(np.stack([clip.waveform for clip in given if clip.waveform is not None])).to(device)
    frames = frames.movedim(-1, 1).float() / 127.5 - 1
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        return AV(codecs.video.encode(frames).half(), codecs.audio.encode(sound.mean(1)).half())


def network(recipe: UniFormRecipe, codecs: AV) -> UniForm:
    """The network that fits the codecs.

    Raises:
        ValueError: the audio latents do not fall evenly on the video latents.
    """
    c, t, h, w = codecs.video.latent_shape(recipe.geometry)
    channels, steps, bins = codecs.audio.latent_shape(recipe.geometry)
    if steps % t:
        raise ValueError(f"{steps} audio latent steps do not fall evenly on {t} latent frames; change geometry or codecs")
    own = recipe.network
    with drawn_from(recipe.training.seed):
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


def objective(regression: Regression) -> MultiTask:
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
    return MultiTask(
        schedule=AV(schedule, schedule),
        predict=regression.predict,
        tasks=shares,
        times=regression.times,
        law=law,
        law_for={Task.VIDEO_TO_AUDIO: AV(law.video, from_video), Task.AUDIO_TO_VIDEO: AV(from_audio, law.audio)},
        text_dropout=regression.text_dropout,
        bound=regression.bound,
    )


class Captions:
    """Captions to embedded words; each distinct one is embedded once, where they fit into memory."""

    def __init__(self, encoder: Any, captions: Sequence[str]) -> None:
        self.encoder = encoder
        self.places: dict[str, int] = {}
        distinct = sorted(set(captions))
        text, _ = self._embed(distinct[:1] or [""])
        self.kept: tuple[Tensor, Tensor] | None = None
        if len(distinct) * 32 * text.shape[-1] <= MOST_NUMBERS:
            pieces = [self._embed(distinct[i : i + 256]) for i in range(0, len(distinct), 256)]
            longest = max(mask.shape[1] for _, mask in pieces)
            padded = [(_padded(text.half(), longest), _padded(mask, longest)) for text, mask in pieces]
            self.kept = (torch.cat([text for text, _ in padded]), torch.cat([mask for _, mask in padded]))
            self.places = {caption: i for i, caption in enumerate(distinct)}

    @torch.no_grad()
    def _embed(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        text, mask = self.encoder(list(captions))
        return text.cpu(), mask.cpu()

    def __call__(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Words [b k d] in float32 and which are there [b k]; k is that of the longest caption of all."""
        if self.kept is None:
            text, mask = self._embed(captions)
            return text.float(), mask
        at = torch.tensor([self.places[caption] for caption in captions])
        return self.kept[0][at].float(), self.kept[1][at]


def _padded(x: Tensor, longest: int) -> Tensor:
    """x [b k ...] with zeros behind, to k = longest."""
    filled = x.new_zeros(x.shape[0], longest, *x.shape[2:])
    filled[:, : x.shape[1]] = x
    return filled


def batches(cache: latents.Latents, codecs: AV, text: Any) -> Callable[[Sequence[int]], dict[str, Any]]:
    """From indices to final latents and their conditions."""
    words = Captions(text, [row["caption"] for row in cache.rows])

    def batch(indices: Sequence[int]) -> dict[str, Any]:
        raw = cache.batch(indices).map(torch.Tensor.float)
        embedded, mask = words([cache.rows[index]["caption"] for index in indices])
        generated = AV(*(torch.ones(len(mask), dtype=torch.bool) for _ in AV._fields))
        return {"x0": codecs.map(lambda codec, x: codec.whiten(x), raw), "condition": Condition(embedded, mask, generated)}

    return batch


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


def samples(pipe: SoundingVideoPipeline, windows: Sequence[clips.Window], geometry: Geometry, folder: Path) -> None:
    """For some held-out clips: the clip itself, both streams from its words, and each stream from the other."""
    pipe.set_progress_bar_config(disable=True)
    folder.mkdir(parents=True, exist_ok=True)

    def made(*given: Any, **options: Any) -> Clip:
        output: Any = pipe(*given, **options)
        return output.clips[0]

    with torch.autocast(pipe.device.type, enabled=False):
        for number, window in enumerate(windows):
            clip = clips.load(window, geometry)
            ways: dict[str, Callable[[], Clip]] = {
                "true": partial(clips.load, window, geometry),
                "text_to_both": partial(made, clip.caption, generator=number),
                "video_to_audio": partial(made, clip.caption, video=replace(clip, waveform=None), generator=number),
                "audio_to_video": partial(made, clip.caption, audio=replace(clip, frames=None), generator=number),
            }
            for name, make in ways.items():
                try:
                    media.write(folder / f"{number}-{name}.mp4", make(), overwrite=True)
                except ValueError as error:
                    # A held-out clip may be silent, which a pipeline refuses to make pictures from; training goes on.
                    log.warning("no sample %s of %s: %s", name, window.entry.name, error)
            (folder / f"{number}.txt").write_text(clip.caption + "\n")
