"""Latents as training data: encode clips, embed captions, number class labels, and batch all of them."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sonovid.codecs.base import PairCodec
from sonovid.codecs.separate import SeparateCodecs
from sonovid.core.av import AV
from sonovid.core.clip import Clip
from sonovid.core.condition import Condition
from sonovid.core.labels import ClassLabels
from sonovid.data import clips, latents
from sonovid.recipes import codec_quality, components
from sonovid.recipes.latent_cache import open_latents
from sonovid.training.distributed import ProcessGroup

log = logging.getLogger(__name__)

# Caption embeddings are kept in memory up to this number of values. Beyond it, captions are embedded batch by batch.
MAX_EMBEDDING_VALUES = 1 << 30


def encode_clips(batch: list[Clip], *, codec: PairCodec, device: torch.device, precision: str) -> AV:
    """Encode clips to raw latents in float16.

    Latents are of order one, so they are within the range of float16, whose resolution is eight times that of bfloat16.

    Args:
        batch: clips of equal geometry, with frames and audio.
        codec: the codec of both streams, on `device`.
        device: the device to encode on.
        precision: "bf16" to encode under autocast, or "no".
    """
    frames = torch.from_numpy(np.stack([clip.frames for clip in batch if clip.frames is not None])).to(device)
    audio = torch.from_numpy(np.stack([clip.waveform for clip in batch if clip.waveform is not None])).to(device)
    frames = frames.movedim(-1, 1).float() / 127.5 - 1
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        return codec.encode(frames, audio.mean(1)).map(torch.Tensor.half)


class CaptionEmbeddings:
    """Text embeddings of the captions of a training. Each distinct caption is embedded once, if all of them fit into memory.

    Args:
        encoder: the text encoder.
        captions: the captions of all clips.
    """

    def __init__(self, encoder: Any, captions: Sequence[str]) -> None:
        self.encoder = encoder
        self.index: dict[str, int] = {}
        distinct = sorted(set(captions))
        text = self._embed(distinct[:1] or [""])[0]
        self.embedded: tuple[Tensor, Tensor, Tensor | None] | None = None
        if len(distinct) * 32 * text.shape[-1] <= MAX_EMBEDDING_VALUES:
            texts, masks, pooled_parts = [], [], []
            for first in range(0, len(distinct), 256):
                text, mask, pooled = self._embed(distinct[first : first + 256])
                texts.append(text.half())
                masks.append(mask)
                pooled_parts += [] if pooled is None else [pooled]
            longest = max(mask.shape[1] for mask in masks)
            self.embedded = (_stack(texts, longest), _stack(masks, longest), torch.cat(pooled_parts) if pooled_parts else None)
            self.index = {caption: i for i, caption in enumerate(distinct)}

    @torch.no_grad()
    def _embed(self, captions: Sequence[str]) -> tuple[Tensor, Tensor, Tensor | None]:
        text, mask = self.encoder(list(captions))
        pooled = self.encoder.pooled(list(captions)).cpu() if hasattr(self.encoder, "pooled") else None
        return text.cpu(), mask.cpu(), pooled

    def __call__(self, captions: Sequence[str]) -> tuple[Tensor, Tensor, Tensor | None]:
        """Look up or compute embeddings.

        Returns:
            Token embeddings [b k d] in float32; their mask, bool [b k]; and pooled embeddings [b e], or None if the text encoder
            has none. k is the length of the longest of all captions.
        """
        if self.embedded is None:
            text, mask, pooled = self._embed(captions)
            return text.float(), mask, pooled
        at = torch.tensor([self.index[caption] for caption in captions])
        text, mask, pooled = self.embedded
        return text[at].float(), mask[at], None if pooled is None else pooled[at]


def _stack(parts: list[Tensor], length: int) -> Tensor:
    """Concatenate parts [b k ...] along b, padded with zeros to k = length. Empties the list, so that memory holds one copy."""
    whole = parts[0].new_zeros(sum(map(len, parts)), length, *parts[0].shape[2:])
    end = len(whole)
    while parts:
        part = parts.pop()
        whole[end - len(part) : end, : part.shape[1]] = part
        end -= len(part)
    return whole


def find_classes(*caches: latents.LatentDataset | None, names: Sequence[str] = ()) -> ClassLabels | None:
    """Find the classes of a training.

    Args:
        caches: the latents of its clips.
        names: names of the classes; empty for those of the clips' labels.

    Returns:
        The classes, or None, with a warning, if no clip has a label.

    Raises:
        ValueError: a clip's label is not among the names.
    """
    labels = [row["label"] for cache in caches if cache is not None for row in cache.rows]
    classes = ClassLabels(tuple(names)) if names else ClassLabels.from_labels(labels)
    if not any(labels):
        log.warning("none of %d clips has a label: no classes are learnt", len(labels))
        return None
    if missing := labels.count(""):
        log.warning("%d of %d clips have no label; their class is unknown", missing, len(labels))
    classes.indices(labels)
    return classes


def make_batches(
    cache: latents.LatentDataset,
    codec: PairCodec,
    text_encoder: Any = None,
    *,
    crop: Callable[[AV], AV] | None = None,
    classes: ClassLabels | None = None,
) -> Callable[[Sequence[int]], dict[str, Any]]:
    """Make the function that batches cached latents with their conditions.

    Args:
        cache: the latents.
        codec: whitens the latents.
        text_encoder: embeds the captions; None for a system without text.
        crop: applied to the whitened latents, if the cache holds more than the training sees.
        classes: the classes whose indices become `Condition.labels`; None for a system without classes.

    Returns:
        A function from indices to a batch with "x0", the whitened latents, and "condition".

    Raises:
        ValueError: a clip's label is not among the classes.
    """
    captions = [] if text_encoder is None else [row["caption"] for row in cache.rows]
    if missing := sum(not caption for caption in captions):
        number = "none" if missing == len(captions) else f"only {len(captions) - missing}"
        hint = "the others are trained without text; sonovid data caption writes captions"
        log.warning("%s of %d clips have a caption: %s", number, len(captions), hint)
    embed = None if text_encoder is None else CaptionEmbeddings(text_encoder, captions)
    labels = None if classes is None else classes.indices(row["label"] for row in cache.rows)

    def batch(indices: Sequence[int]) -> dict[str, Any]:
        raw = cache.batch(indices).map(torch.Tensor.float)
        x0 = codec.whiten(raw)
        generated = AV(*(torch.ones(len(indices), dtype=torch.bool) for _ in AV._fields))
        if embed is None:
            condition = Condition.empty(generated)
        else:
            text, mask, pooled = embed([cache.rows[index]["caption"] for index in indices])
            condition = Condition(text, mask, generated, pooled)
        if labels is not None:
            condition = replace(condition, labels=labels[list(indices)])
        return {"x0": x0 if crop is None else crop(x0), "condition": condition}

    return batch


@dataclass(frozen=True)
class LatentData:
    """The data of a training on latents.

    Attributes:
        training: latents of the training clips.
        held_out: latents of the held-out clips; None without any.
        windows: the held-out windows.
        codec: the codec of both streams.
        load_clip: loads a held-out window as the clip that the pipeline is conditioned on.
        text_encoder: see `make_batches`.
        crop: see `make_batches`.
        classes: see `make_batches`.
    """

    training: latents.LatentDataset
    held_out: latents.LatentDataset | None
    windows: Sequence[clips.Window]
    codec: PairCodec
    load_clip: Callable[[clips.Window], Clip]
    text_encoder: Any = None
    crop: Callable[[AV], AV] | None = None
    classes: ClassLabels | None = None

    def batches(self, cache: latents.LatentDataset) -> Callable[[Sequence[int]], dict[str, Any]]:
        """Make the function that batches one of the caches, see `make_batches`."""
        return make_batches(cache, self.codec, self.text_encoder, crop=self.crop, classes=self.classes)


def prepare_latents(recipe: Any, codec: PairCodec, text_encoder: Any = None) -> LatentData:
    """Encode a recipe's clips where they are not cached yet, and whiten the codec by the statistics of the latents.

    Args:
        recipe: a config of any system with `data`, `geometry` and `out`.
        codec: the codec of both streams.
        text_encoder: embeds the captions; None for a system without text.
    """
    device = components.training_device()
    components.move_codec(codec, device)
    encode = partial(encode_clips, codec=codec, device=device, precision=recipe.data.precision)
    key = (*components.encoder_key(codec), recipe.data.precision)
    training, held_out, windows = open_latents(recipe.data, recipe.geometry, Path(recipe.out), encode, *key)
    if isinstance(codec, SeparateCodecs):
        for one, name in zip(codec.codecs, AV._fields, strict=True):
            components.set_whitening(one, training.statistics.get(name))
    load_clip = partial(clips.load_clip, geometry=recipe.geometry)
    if isinstance(codec, SeparateCodecs) and ProcessGroup.current().is_main:
        measured = windows or list(getattr(training.rows, "windows", ()))
        codec_quality.report_quality(codec, measured, load_clip, device, Path(recipe.out))
    return LatentData(training, held_out, windows, codec, load_clip, text_encoder)
