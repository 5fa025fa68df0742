"""Trains the reader of events that `sonovid benchmark` scores pictures with, and writes its weights.

    python -m benchmarks metrics.train_reader [--clips 1200] [--epochs 8] [--models packaged,uniform] [--out reader.safetensors]

Scenes of bounces, hits and landscape from seed 50 000 000 on, each shown half of the time as it is and half of the time through
the video codec of one of the models, at that model's size and rate. Every other scene is rendered at twice the size and reduced.
What the reader finds in scenes that it has not seen (from seed 70 000 000 on) is printed and kept in the file.
"""

import argparse
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange

from sonovid.benchmark import reader as readers
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.data.scenes import attributes, render
from sonovid.media.frames import resize_and_crop
from sonovid.metrics.alignment import agreement
from sonovid.pipelines.pipeline import SoundingVideoPipeline

# Landscape has neither events nor materials: it is shown half as often.
WORLDS, NAMES = ("bounces", "hits", "bounces", "hits", "landscape"), ("world", "material", "colour")
GEOMETRY = Geometry(16, readers.FPS, readers.SIZE, readers.SIZE, readers.SAMPLE_RATE)
LARGE = replace(GEOMETRY, height=2 * readers.SIZE, width=2 * readers.SIZE)
TRAINING_SEED, TEST_SEED = 50_000_000, 70_000_000
UNKNOWN = -100


def place(index: int, first: int) -> tuple[str, int]:
    return WORLDS[index % len(WORLDS)], first + index


def reduced(frames: np.ndarray, fps: Fraction) -> np.ndarray:
    """Frames [t h w 3] at the size and the rate of the reader."""
    shown = frames[[int(i * fps / readers.FPS) for i in range(GEOMETRY.num_frames)]]
    size = (readers.SIZE, readers.SIZE)
    return shown if shown.shape[1:3] == size else np.stack([resize_and_crop(frame, size) for frame in shown])


def scenes(count: int, first: int) -> list[tuple[Clip, dict[str, str]]]:
    found = []
    for world, seed in (place(i, first) for i in range(count)):
        clip = render(world, seed, LARGE if seed % 2 else GEOMETRY)
        found.append((replace(clip, frames=reduced(clip.frames, clip.fps)), attributes(world, seed)))
    return found


@torch.no_grad()
def reconstruction(pipe: SoundingVideoPipeline, world: str, seed: int) -> np.ndarray:
    """The frames of a scene through the video codec of a model, as the reader sees them."""
    frames = readers.to_input(render(world, seed, pipe.geometry).frames[None])
    with torch.autocast("cpu", torch.bfloat16):
        made = pipe.video_codec.decode(pipe.video_codec.encode(frames)).float().clamp(-1, 1)[0]
    pictures = rearrange(made * 127.5 + 127.5, "c t h w -> t h w c").round().to(torch.uint8).numpy()
    return reduced(pictures, pipe.geometry.fps)


def bins(events: tuple[float, ...]) -> torch.Tensor:
    """One where an event falls into the half frame."""
    found = torch.zeros(GEOMETRY.num_frames * readers.BINS_PER_FRAME)
    for event in events:
        if (place := int(event * GEOMETRY.fps * readers.BINS_PER_FRAME)) < len(found):
            found[place] = 1
    return found


def train(clips: list[tuple[Clip, dict[str, str]]], epochs: int, models: list[str]) -> readers.EventReader:
    classes = {name: sorted({facts[name] for _, facts in clips if name in facts}) for name in NAMES}
    torch.manual_seed(0)
    reader = readers.EventReader(classes)
    pipes = [SoundingVideoPipeline.from_pretrained(model) for model in models]
    frames = np.stack([clip.frames for clip, _ in clips])
    places = [place(i, TRAINING_SEED) for i in range(len(clips))]
    blurred = np.stack([reconstruction(pipes[seed % len(pipes)], world, seed) for world, seed in places])
    waves = torch.from_numpy(np.stack([clip.waveform[0] for clip, _ in clips]))
    mels = torch.cat([readers.log_mel()(part) for part in waves.split(64)])
    wanted = torch.stack([bins(clip.events) for clip, _ in clips])
    labels = {
        name: torch.tensor([classes[name].index(facts[name]) if name in facts else UNKNOWN for _, facts in clips])
        for name in NAMES
    }
    steps, generator, began = epochs * (len(clips) // 32), torch.Generator().manual_seed(0), time.monotonic()
    optimizer = torch.optim.AdamW(reader.parameters(), 2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(epochs):
        order = torch.randperm(len(clips), generator=generator)
        for first in range(0, len(clips) // 32 * 32, 32):
            chosen = order[first : first + 32].numpy()
            blur = (torch.rand(32, generator=generator) < 0.5).numpy()[:, None, None, None, None]
            with torch.autocast("cpu", torch.bfloat16):
                events, found = reader(readers.to_input(np.where(blur, blurred[chosen], frames[chosen])), mels[chosen])
            loss = F.binary_cross_entropy_with_logits(events.float(), wanted[chosen], pos_weight=torch.tensor(3.0))
            loss = loss + 0.2 * sum(F.cross_entropy(found[n].float(), labels[n][chosen]) for n in NAMES)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    print(f"{steps} steps in {time.monotonic() - began:.0f} s, last loss {loss.item():.3f}", flush=True)
    return reader.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1200)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--models", default="packaged,uniform", help="models whose video codecs the scenes are shown through")
    parser.add_argument("--out", type=Path, default=readers.WEIGHTS)
    options = parser.parse_args()
    reader = train(scenes(options.clips, TRAINING_SEED), options.epochs, options.models.split(","))
    held = scenes(96, TEST_SEED)
    pairs = [(readers.read_events(reader, clip.frames, readers.FPS), list(clip.events)) for clip, _ in held if clip.events]
    found = [(readers.read_attributes(reader, clip.frames, clip.waveform[0]), facts) for clip, facts in held]
    about = {"events F1": round(agreement(pairs).f1, 3), "clips": options.clips, "epochs": options.epochs}
    about |= {name: round(float(np.mean([a[name] == b[name] for a, b in found if name in b])), 3) for name in NAMES}
    print(about)
    readers.save(reader, options.out, about)


if __name__ == "__main__":
    main()
