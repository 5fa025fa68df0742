"""Trains the reader of events that `sonovid benchmark` scores pictures with, and writes its weights.

    python -m benchmarks metrics.train_reader [--clips 1200] [--epochs 8] [--out src/sonovid/benchmark/reader.safetensors]

Scenes of hits and bounces from seed 50 000 000 on, each shown half of the time as it is and half of the time through the packaged
frame codec. What it reads on scenes that it has not seen (from seed 70 000 000 on) is printed and kept in the file.
"""

import argparse
import time
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
from sonovid.metrics.alignment import agreement
from sonovid.pipelines.pipeline import SoundingVideoPipeline

WORLDS, NAMES = ("bounces", "hits"), ("world", "material", "colour")
GEOMETRY = Geometry(16, Fraction(8), readers.SIZE, readers.SIZE, readers.SAMPLE_RATE)
TRAINING_SEED, TEST_SEED = 50_000_000, 70_000_000


def scenes(count: int, first: int) -> list[tuple[Clip, dict[str, str]]]:
    places = [(WORLDS[i % 2], first + i // 2) for i in range(count)]
    return [(render(world, seed, GEOMETRY), attributes(world, seed)) for world, seed in places]


@torch.no_grad()
def through(codec, frames: np.ndarray) -> np.ndarray:
    """Frames [b t h w 3], encoded and decoded."""
    made = codec.decode(codec.encode(readers.to_input(frames))).clamp(-1, 1)
    return rearrange(made * 127.5 + 127.5, "b c t h w -> b t h w c").round().to(torch.uint8).numpy()


def bins(events: tuple[float, ...]) -> torch.Tensor:
    """One where an event falls into the half frame."""
    found = torch.zeros(GEOMETRY.num_frames * readers.BINS_PER_FRAME)
    for event in events:
        if (place := int(event * GEOMETRY.fps * readers.BINS_PER_FRAME)) < len(found):
            found[place] = 1
    return found


def train(clips: list[tuple[Clip, dict[str, str]]], epochs: int) -> readers.EventReader:
    classes = {name: sorted({facts[name] for _, facts in clips}) for name in NAMES}
    torch.manual_seed(0)
    reader = readers.EventReader(classes)
    codec = SoundingVideoPipeline.from_pretrained().video_codec
    frames = np.stack([clip.frames for clip, _ in clips])
    blurred = np.concatenate([through(codec, frames[i : i + 16]) for i in range(0, len(frames), 16)])
    waves = torch.from_numpy(np.stack([clip.waveform[0] for clip, _ in clips]))
    mels = torch.cat([readers.log_mel()(part) for part in waves.split(64)])
    wanted = torch.stack([bins(clip.events) for clip, _ in clips])
    labels = {name: torch.tensor([classes[name].index(facts[name]) for _, facts in clips]) for name in NAMES}
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
    parser.add_argument("--out", type=Path, default=readers.WEIGHTS)
    options = parser.parse_args()
    reader = train(scenes(options.clips, TRAINING_SEED), options.epochs)
    held = scenes(96, TEST_SEED)
    pairs = [(readers.read_events(reader, clip.frames, GEOMETRY.fps), list(clip.events)) for clip, _ in held]
    found = [(readers.read_attributes(reader, clip.frames, clip.waveform[0]), facts) for clip, facts in held]
    about = {"events F1": round(agreement(pairs).f1, 3), "clips": options.clips, "epochs": options.epochs}
    about |= {name: round(float(np.mean([a[name] == b[name] for a, b in found])), 3) for name in NAMES}
    print(about)
    readers.save(reader, options.out, about)


if __name__ == "__main__":
    main()
