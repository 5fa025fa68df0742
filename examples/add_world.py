"""How to add a world: a family of procedural scenes with known event times.

A world is three things: a name, the attributes of a scene and its rendering. A scene is a function of its seed alone. The
geometry only samples it: at twice the frame rate the same events happen at the same times.

To make it part of the package, put the module into src/sonovid/data/scenes/ and add the world to WORLDS in its __init__.py.
Then `sonovid scenes OUT --world blinks` renders it, and `data=scenes:blinks:1000` trains on it.
"""

import argparse
from fractions import Fraction
from pathlib import Path

import numpy as np

from sonovid import Clip, Geometry, media
from sonovid.data.scenes.random_stream import RandomStream
from sonovid.data.scenes.world import World, events_in_clip, frame_times

COLOURS = {"red": (220, 60, 50), "green": (60, 180, 80), "blue": (60, 90, 220)}
PITCHES = {"low": 440.0, "high": 1760.0}
# Seconds that a lamp stays lit and a tone sounds.
LIT = 0.12


def attributes(seed: int) -> dict[str, str]:
    """What can be seen and heard in a scene. The caption names it, and classifiers are tested on it."""
    # Draws from a RandomStream are the same on every machine and under every version of numpy.
    stream = RandomStream("blinks", seed)
    return {"world": "blinks", "colour": stream.choice(sorted(COLOURS)), "pitch": stream.choice(sorted(PITCHES))}


def event_times(seed: int, until: float) -> list[float]:
    """The times at which the lamp lights up, in seconds. A longer clip begins as the shorter one."""
    stream, time, times = RandomStream("blinks", seed, "times"), 0.0, []
    while True:
        time += stream.uniform(0.3, 0.8)
        if time >= until:
            return times
        times.append(time)


def render(seed: int, geometry: Geometry) -> Clip:
    """A lamp lights up, and a tone sounds with it."""
    scene, times = attributes(seed), event_times(seed, float(geometry.seconds))

    frames = np.full((geometry.num_frames, geometry.height, geometry.width, 3), 24, np.uint8)
    height, width = geometry.height // 4, geometry.width // 4
    for frame, now in enumerate(frame_times(geometry)):
        if any(0 <= now - time < LIT for time in times):
            frames[frame, height:-height, width:-width] = COLOURS[scene["colour"]]

    waveform = np.zeros(geometry.num_samples, np.float32)
    for time in times:
        # Sound begins on the first sample at or after its event.
        start = int(np.ceil(time * geometry.sample_rate))
        t = np.arange(min(int(LIT * geometry.sample_rate), geometry.num_samples - start)) / geometry.sample_rate
        waveform[start : start + len(t)] = 0.5 * np.exp(-t / 0.03) * np.sin(2 * np.pi * PITCHES[scene["pitch"]] * t)

    return Clip(
        frames,
        waveform[None],
        fps=geometry.fps,
        sample_rate=geometry.sample_rate,
        caption=f"a {scene['colour']} lamp blinks with a {scene['pitch']} tone",
        label=scene["colour"],
        events=events_in_clip(times, geometry),
    )


BLINKS = World("blinks", attributes, render)


def main() -> None:
    parser = argparse.ArgumentParser(description="Render a scene of a new world.")
    parser.add_argument("out", type=Path, nargs="?", default=Path("blinks.mp4"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    clip = BLINKS.render(args.seed, Geometry(num_frames=32, fps=Fraction(16), height=64, width=64, sample_rate=16000))
    media.write(args.out, clip, overwrite=True)
    print(f"{args.out}: {clip.caption}; events at {', '.join(f'{time:.2f} s' for time in clip.events)}")


if __name__ == "__main__":
    main()
