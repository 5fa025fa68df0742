"""Small networks trained on scenes that read events and attributes out of clips: the yardsticks of held_out.py.

A reader never sees generated clips in training. It learns on true frames, on frames that went through the frame codec, and on
true sound, so that what it finds in a generated clip does not depend on the codec's blur.
"""

import time
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from sonovid.benchmark.reader import BINS_PER_FRAME, EventReader
from sonovid.codecs.mel import LogMel
from sonovid.core.geometry import Geometry
from sonovid.data.scenes import attributes, render


@dataclass(frozen=True)
class Scene:
    """A rendered clip with what is true of it. mel: of its sound."""

    frames: np.ndarray
    waveform: np.ndarray
    events: tuple[float, ...]
    caption: str
    attributes: dict[str, str]


def _render(job: tuple[str, int, Geometry]) -> Scene:
    world, seed, geometry = job
    clip = render(world, seed, geometry)
    return Scene(clip.frames, clip.waveform[0], clip.events, clip.caption, attributes(world, seed))


def scenes(worlds: list[str], count: int, first_seed: int, geometry: Geometry, workers: int = 2) -> list[Scene]:
    """`count` clips, the worlds in turn."""
    jobs = [(worlds[i % len(worlds)], first_seed + i // len(worlds), geometry) for i in range(count)]
    with get_context("spawn").Pool(workers) as pool:
        return pool.map(_render, jobs, chunksize=16)


def rolled(values: list[Any], worlds: int = 2) -> list[Any]:
    """Of each clip of `scenes` the value of the next one of the same world; the worlds take turns."""
    return values[worlds:] + values[:worlds]


def to_frames(batch: list[np.ndarray]) -> Tensor:
    """uint8 [t h w 3] each to [b 3 t h w] in [-1, 1]."""
    return rearrange(torch.from_numpy(np.stack(batch)).float() / 127.5 - 1, "b t h w c -> b c t h w")


@torch.no_grad()
def through_codec(codec, batch: list[np.ndarray]) -> np.ndarray:
    """uint8 [b t h w 3], encoded and decoded."""
    frames = codec.decode(codec.encode(to_frames(batch))).clamp(-1, 1)
    return rearrange(frames * 127.5 + 127.5, "b c t h w -> b t h w c").round().to(torch.uint8).numpy()


def target_bins(events: tuple[float, ...], geometry: Geometry) -> Tensor:
    """One where an event falls into the half frame, [2t]. Bin k covers [k, k + 1) / (2 fps)."""
    bins = torch.zeros(geometry.num_frames * BINS_PER_FRAME)
    for time_of_event in events:
        k = int(time_of_event * geometry.fps * BINS_PER_FRAME)
        if k < len(bins):
            bins[k] = 1
    return bins


def train_reader(train: list[Scene], geometry: Geometry, codec, *, epochs: int, seed: int = 0) -> EventReader:
    """A reader trained on true clips and on the same through the codec."""
    names = ("world", "material", "colour")
    classes = {name: sorted({s.attributes[name] for s in train}) for name in names}
    torch.manual_seed(seed)
    reader, log_mel = EventReader(classes), LogMel(hop=250, floor=1e-3)
    optimizer = torch.optim.AdamW(reader.parameters(), 2e-3, weight_decay=0.01)
    steps = epochs * (len(train) // 32)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    with torch.no_grad():
        waves = [torch.from_numpy(np.stack([s.waveform for s in train[i : i + 64]])) for i in range(0, len(train), 64)]
        mels = torch.cat([log_mel(wave) for wave in waves])
        rebuilt = [through_codec(codec, [s.frames for s in train[i : i + 16]]) for i in range(0, len(train), 16)]
    rebuilt = np.concatenate(rebuilt)
    bins = torch.stack([target_bins(s.events, geometry) for s in train])
    labels = {n: torch.tensor([classes[n].index(s.attributes[n]) for s in train]) for n in names}
    generator, began = torch.Generator().manual_seed(seed), time.monotonic()
    for _ in range(epochs):
        order = torch.randperm(len(train), generator=generator)
        for first in range(0, len(train) // 32 * 32, 32):
            chosen = order[first : first + 32].tolist()
            through = torch.rand(32, generator=generator) < 0.5
            frames = to_frames([rebuilt[i] if t else train[i].frames for i, t in zip(chosen, through, strict=True)])
            with torch.autocast("cpu", torch.bfloat16):
                events, found = reader(frames, mels[chosen])
            loss = F.binary_cross_entropy_with_logits(events.float(), bins[chosen], pos_weight=torch.tensor(3.0))
            loss = loss + 0.2 * sum(F.cross_entropy(found[n].float(), labels[n][chosen]) for n in names)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    print(f"reader: {steps} steps in {time.monotonic() - began:.0f} s, last loss {loss.item():.3f}", flush=True)
    return reader.eval()


@torch.no_grad()
def read_events(reader: EventReader, frames: list[np.ndarray], geometry: Geometry) -> list[list[float]]:
    """Times of the events that the reader finds in the pictures alone: the middles of the likeliest half frames."""
    found = []
    silence = LogMel(hop=250, floor=1e-3)(torch.zeros(1, geometry.num_samples))
    for clip in frames:
        likely = reader(to_frames([clip]), silence)[0][0].sigmoid().numpy()
        padded = np.concatenate([[0], likely, [0]])
        peak = (padded[1:-1] > 0.5) & (padded[1:-1] >= padded[:-2]) & (padded[1:-1] > padded[2:])
        found.append([float((k + 0.5) / (geometry.fps * BINS_PER_FRAME)) for k in np.flatnonzero(peak)])
    return found


@torch.no_grad()
def read_attributes(reader: EventReader, frames: list[np.ndarray], waveforms: list[np.ndarray]) -> list[dict[str, str]]:
    """The likeliest class of each attribute."""
    log_mel, found = LogMel(hop=250, floor=1e-3), []
    for clip, wave in zip(frames, waveforms, strict=True):
        _, logits = reader(to_frames([clip]), log_mel(torch.from_numpy(wave)[None].float()))
        found.append({name: reader.classes[name][int(value.argmax())] for name, value in logits.items()})
    return found
