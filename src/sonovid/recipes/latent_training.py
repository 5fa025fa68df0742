"""What the trainings of all networks on latents share: clips encoded, latents batched with their words, pipelines sampled."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sonovid import media
from sonovid.codecs.base import PairCodec
from sonovid.codecs.separate import SeparateCodecs
from sonovid.core.av import AV
from sonovid.core.clip import Clip
from sonovid.core.condition import Condition
from sonovid.core.labels import Classes
from sonovid.data import clips, latents
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes import codec_quality as codec_loss
from sonovid.recipes import components as parts
from sonovid.training.loop import Job, train
from sonovid.training.distributed import World

log = logging.getLogger(__name__)

# Embedded words of all captions are kept up to this many numbers; beyond, they are embedded batch by batch.
MOST_NUMBERS = 1 << 30


def encoded(given: list[Clip], *, codec: PairCodec, device: torch.device, precision: str) -> AV:
    """Raw latents of some clips, in float16.

    That has eight times the resolution of bfloat16 at the same size, and latents of order one never leave its range.
    """
    frames = torch.from_numpy(np.stack([clip.frames for clip in given if clip.frames is not None])).to(device)
    sound = torch.from_numpy(np.stack([clip.waveform for clip in given if clip.waveform is not None])).to(device)
    frames = frames.movedim(-1, 1).float() / 127.5 - 1
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        return codec.encode(frames, sound.mean(1)).map(torch.Tensor.half)


class Captions:
    """Captions to embedded words; each distinct one is embedded once, where they fit into memory."""

    def __init__(self, encoder: Any, captions: Sequence[str]) -> None:
        self.encoder = encoder
        self.places: dict[str, int] = {}
        distinct = sorted(set(captions))
        text = self._embed(distinct[:1] or [""])[0]
        self.kept: tuple[Tensor, Tensor, Tensor | None] | None = None
        if len(distinct) * 32 * text.shape[-1] <= MOST_NUMBERS:
            pieces = [self._embed(distinct[i : i + 256]) for i in range(0, len(distinct), 256)]
            longest = max(mask.shape[1] for _, mask, _ in pieces)
            texts = [_padded(text.half(), longest) for text, _, _ in pieces]
            masks = [_padded(mask, longest) for _, mask, _ in pieces]
            vectors = [pooled for _, _, pooled in pieces if pooled is not None]
            self.kept = (torch.cat(texts), torch.cat(masks), torch.cat(vectors) if vectors else None)
            self.places = {caption: i for i, caption in enumerate(distinct)}

    @torch.no_grad()
    def _embed(self, captions: Sequence[str]) -> tuple[Tensor, Tensor, Tensor | None]:
        text, mask = self.encoder(list(captions))
        pooled = self.encoder.pooled(list(captions)).cpu() if hasattr(self.encoder, "pooled") else None
        return text.cpu(), mask.cpu(), pooled

    def __call__(self, captions: Sequence[str]) -> tuple[Tensor, Tensor, Tensor | None]:
        """Words [b k d] in float32, which are there [b k], and a vector of each caption [b e] where the encoder gives one.

        k is that of the longest caption of all.
        """
        if self.kept is None:
            text, mask, pooled = self._embed(captions)
            return text.float(), mask, pooled
        at = torch.tensor([self.places[caption] for caption in captions])
        text, mask, pooled = self.kept
        return text[at].float(), mask[at], None if pooled is None else pooled[at]


def _padded(x: Tensor, longest: int) -> Tensor:
    """x [b k ...] with zeros behind, to k = longest."""
    filled = x.new_zeros(x.shape[0], longest, *x.shape[2:])
    filled[:, : x.shape[1]] = x
    return filled


def classes_of(*caches: latents.Latents | None, names: Sequence[str] = ()) -> Classes | None:
    """The classes of a training: those named, or those that its clips carry; None, with a notice, where no clip carries one.

    Raises:
        ValueError: a clip's label is not among those named.
    """
    labels = [row["label"] for cache in caches if cache is not None for row in cache.rows]
    found = Classes(tuple(names)) if names else Classes.among(labels)
    if not any(labels):
        log.warning("none of %d clips carries a label: nothing is learnt of classes", len(labels))
        return None
    if missing := labels.count(""):
        log.warning("%d of %d clips carry no label; their class is unknown", missing, len(labels))
    found.numbers(labels)
    return found


def batches(
    cache: latents.Latents,
    codec: PairCodec,
    text: Any = None,
    *,
    cut: Callable[[AV], AV] | None = None,
    classes: Classes | None = None,
) -> Callable[[Sequence[int]], dict[str, Any]]:
    """From indices to final latents and their conditions.

    text: embeds captions; None for a system without words. cut: applied to the latents, where a cache holds more than a clip.
    classes: the set whose numbers become `Condition.labels`; None for a system without classes.

    Raises:
        ValueError: a clip's label is not among the classes.
    """
    captions = [] if text is None else [row["caption"] for row in cache.rows]
    if missing := sum(not caption for caption in captions):
        whose = "none" if missing == len(captions) else f"only {len(captions) - missing}"
        told = "the others are learnt as if without words; sonovid data caption writes captions"
        log.warning("%s of %d clips have a caption: %s", whose, len(captions), told)
    words = None if text is None else Captions(text, captions)
    labels = None if classes is None else classes.numbers(row["label"] for row in cache.rows)

    def batch(indices: Sequence[int]) -> dict[str, Any]:
        raw = cache.batch(indices).map(torch.Tensor.float)
        x0 = codec.whiten(raw)
        generated = AV(*(torch.ones(len(indices), dtype=torch.bool) for _ in AV._fields))
        if words is None:
            condition = Condition.wordless(generated)
        else:
            embedded, mask, pooled = words([cache.rows[index]["caption"] for index in indices])
            condition = Condition(embedded, mask, generated, pooled)
        if labels is not None:
            condition = replace(condition, labels=labels[list(indices)])
        return {"x0": x0 if cut is None else cut(x0), "condition": condition}

    return batch


@dataclass(frozen=True)
class Fed:
    """What a network is trained on and tried on: caches of latents, held-out clips, the codec and words.

    load: a held-out window as the clip that pipelines are given. text, cut, classes: see `batches`.
    """

    training: latents.Latents
    held_out: latents.Latents | None
    windows: Sequence[clips.Window]
    codec: PairCodec
    load: Callable[[clips.Window], Clip]
    text: Any = None
    cut: Callable[[AV], AV] | None = None
    classes: Classes | None = None

    def batches(self, cache: latents.Latents) -> Callable[[Sequence[int]], dict[str, Any]]:
        """From indices to what the network is shown of these clips."""
        return batches(cache, self.codec, self.text, cut=self.cut, classes=self.classes)


def feed(recipe: Any, codec: PairCodec, text: Any = None) -> Fed:
    """The caches of a recipe's clips, written where they are not there yet, and the codec whitened by them.

    recipe: of any system, with `data`, `geometry` and `out`.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    parts.move(codec, device)
    encode = partial(encoded, codec=codec, device=device, precision=recipe.data.precision)
    key = (*parts.what_encodes(codec), recipe.data.precision)
    training, held_out, windows = parts.caches(recipe.data, recipe.geometry, Path(recipe.out), encode, *key)
    if isinstance(codec, SeparateCodecs):
        for one, name in zip(codec.codecs, AV._fields, strict=True):
            parts.whiten_by(one, training.statistics.get(name))
    load = partial(clips.load, geometry=recipe.geometry)
    if isinstance(codec, SeparateCodecs) and World.of_this_run().main:
        codec_loss.tell(codec, windows or getattr(training.rows, "windows", ()), load, device, Path(recipe.out))
    return Fed(training, held_out, windows, codec, load, text)


def fit(
    recipe: Any,
    resolved: dict[str, Any],
    model: nn.Module,
    objective: Any,
    fed: Fed,
    pipeline: Callable[[nn.Module], SoundingVideoPipeline],
    weights: dict[str, float],
) -> Path:
    """Train a network on cached latents, and return the folder of its pipeline.

    recipe: of any system, with `out`, `resume`, `training` and `sampling.validation_clips`. pipeline: of a network.
    """
    shown, held_out = recipe.sampling.validation_clips, fed.held_out
    ready = Job(
        model=model,
        objective=objective,
        batch=fed.batches(fed.training),
        size=len(fed.training),
        validation=fed.batches(held_out) if held_out else None,
        validation_size=len(held_out) if held_out else 0,
        settings=recipe.training,
        weights=weights,
        pairs=objective.paired_and_shuffled,
        sample=lambda network, folder, step: samples(pipeline(network), fed.windows[:shown], fed.load, folder),
        export=lambda network, folder: pipeline(network).save_pretrained(folder),
        recipe=resolved,
    )
    return train(ready, Path(recipe.out), resume=recipe.resume)


def samples(
    pipe: SoundingVideoPipeline, windows: Sequence[clips.Window], load: Callable[[clips.Window], Clip], folder: Path
) -> None:
    """For some held-out clips: the clip itself, both streams from its words, if any, and each stream from the other."""
    pipe.set_progress_bar_config(disable=True)
    folder.mkdir(parents=True, exist_ok=True)

    def sampled(*given: Any, **options: Any) -> Clip:
        output: Any = pipe(*given, **options)
        return output.clips[0]

    with torch.autocast(pipe.device.type, enabled=False):
        for number, window in enumerate(windows):
            clip = load(window)
            words = clip.caption if pipe.takes_words else None
            made = partial(sampled, label=clip.label if len(pipe.classes) else None, generator=number)
            ways: dict[str, Callable[[], Clip]] = {
                "true": partial(load, window),
                "text_to_both" if pipe.takes_words else "both": partial(made, words),
                "video_to_audio": partial(made, words, video=replace(clip, waveform=None)),
                "audio_to_video": partial(made, words, audio=replace(clip, frames=None)),
            }
            for name, make in ways.items():
                try:
                    media.write(folder / f"{number}-{name}.mp4", make(), overwrite=True)
                except ValueError as error:
                    # A held-out clip may be silent, which a pipeline refuses to make pictures from; training goes on.
                    log.warning("no sample %s of %s: %s", name, window.entry.name, error)
            (folder / f"{number}.txt").write_text(clip.caption + "\n")
