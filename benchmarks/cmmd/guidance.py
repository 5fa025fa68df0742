"""How well CMMD's sound follows given pictures, and its pictures a given sound, at several scales of reconstruction guidance.

    python -m benchmarks cmmd.guidance --model NAME=DIR [--model NAME=DIR ...] --json FILE [--tasks video_to_audio audio_to_video]
        [--count 48] [--steps 20] [--scales 0 1 4 16] [--compare NAME NAME] [--plot PNG]

Models are those that cmmd.scenes and cmmd.scenes.contrastive leave (out/model). FILE keeps every clip's figures; what stands
there is not made again, so models, tasks and scales can be added call by call, and a call without --model draws and compares.

Sound for pictures is scored by its onsets against the times at which the scene's events happened: F1 of one-to-one matches within
100 ms. Of pictures for a sound peaks of the change between frames stand against the same events, which even true frames match
badly at 10 per second. Both are scored by the embedded network for synchrony too (`sync_scenes`, `offset_scenes`). Floors are
another clip's true stream of the same world, ceilings the true one through the codec. Intervals are of 95 %, from a bootstrap
over clips; models are compared clip by clip, with the same noise.
"""

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.readers import Scene, rolled
from sonovid.core.av import AV
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.data.scenes import attributes, render
from sonovid.metrics.alignment import count_matches, motion_energy, peaks, sound_onsets
from sonovid.metrics.base import Sample
from sonovid.metrics.extractors.embedded import FPS, ScenesAudio, ScenesVideo, timing
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes.cmmd.crops import add_margin, remove_margin

WORLDS = ("bounces", "hits")
TASKS = ("video_to_audio", "audio_to_video")
# Far from the seeds of training, which are counted from 0.
SEED, MARGIN, DRAWS = 90_000_000, 4, 2000
Times = list[list[float]]
# Figures of single clips by name: matches and events [n 2], and what the network for synchrony says [n].
Table = dict[str, list[Any]]


def held_out(count: int, geometry: Geometry) -> list[Scene]:
    """Scenes as in training: the middles of longer ones, the worlds in turn."""
    found = []
    for i in range(count):
        world, seed = WORLDS[i % len(WORLDS)], SEED + i // len(WORLDS)
        clip = remove_margin(render(world, seed, add_margin(geometry, MARGIN)), geometry, MARGIN)
        assert clip.frames is not None
        assert clip.waveform is not None
        found.append(Scene(clip.frames, clip.waveform[0], clip.events, clip.caption, attributes(world, seed)))
    return found


def given_latents(pipe: SoundingVideoPipeline, scenes: list[Scene], task: str) -> AV:
    """Final latents of the given stream."""
    with torch.no_grad():
        if task == "video_to_audio":
            frames = torch.from_numpy(np.stack([s.frames for s in scenes])).movedim(-1, 1).float() / 127.5 - 1
            return AV(pipe.video_codec.whiten(pipe.video_codec.encode(frames)).float(), None)
        waves = torch.from_numpy(np.stack([s.waveform for s in scenes])).float()
        return AV(None, pipe.audio_codec.whiten(pipe.audio_codec.encode(waves)).float())


def generated(
    pipe: SoundingVideoPipeline, scenes: list[Scene], task: str, scale: float, options: argparse.Namespace
) -> list[Any]:
    """Sounds [n], or frames [t h w 3], for the given streams of some scenes, one seed a clip whatever the batch."""
    own = pipe.geometry
    if task == "video_to_audio":
        given: dict[str, Any] = {"video": [Clip(scene.frames, None, fps=own.fps) for scene in scenes]}
    else:
        given = {"audio": [Clip(None, scene.waveform[None], sample_rate=own.sample_rate) for scene in scenes]}
    made = pipe(
        **given,
        num_inference_steps=options.steps,
        reconstruction_scale=scale,
        generator=list(range(options.seed, options.seed + len(scenes))),
        batch_size=options.batch,
        output_type="np",
    )
    return list(made.audio[:, 0]) if task == "video_to_audio" else list(np.rint(made.frames * 255).astype(np.uint8))


@torch.no_grad()
def decoded(pipe: SoundingVideoPipeline, x: AV, task: str) -> list[Any]:
    """The stream that a task makes, of final latents."""
    if task == "video_to_audio":
        return list(pipe.audio_codec.decode(pipe.audio_codec.unwhiten(x.audio), pipe.geometry.num_samples).numpy())
    frames = pipe.video_codec.decode(pipe.video_codec.unwhiten(x.video)).clamp(-1, 1)
    return list((frames * 127.5 + 127.5).round().to(torch.uint8).movedim(1, -1).numpy())


def through(pipe: SoundingVideoPipeline, scenes: list[Scene], task: str) -> list[Any]:
    """What the codecs alone leave of the true stream that is to be made."""
    return decoded(pipe, given_latents(pipe, scenes, next(other for other in TASKS if other != task)), task)


def moments(made: list[Any], task: str, geometry: Geometry) -> Times:
    """When something happens in what was made: onsets of sounds, peaks of the change between frames."""
    if task == "video_to_audio":
        return [sound_onsets(wave, geometry.sample_rate).tolist() for wave in made]
    between = (np.arange(geometry.num_frames) - 0.5) / float(geometry.fps)
    return [peaks(between, motion_energy(frames), apart=0.13, threshold=0.0).tolist() for frames in made]


class Timer:
    """The embedded network for synchrony, which also knows how sound and pictures of other clips would do."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry, self.video, self.audio = geometry, ScenesVideo(), ScenesAudio()
        self.video.load(())
        self.audio.load(())

    def steps(self, task: str, streams: list[Any]) -> list[np.ndarray]:
        """Of made sounds for video_to_audio, of made pictures for audio_to_video."""
        own, found = self.geometry, []
        for stream in streams:
            if task == "video_to_audio":
                one, clip = self.audio, Clip(None, np.asarray(stream, np.float32)[None], own.fps, own.sample_rate)
            else:
                # The frame on screen at every 1/8 s.
                shown = [int(i * own.fps / FPS) for i in range(int(own.num_frames * FPS / own.fps))]
                one, clip = self.video, Clip(stream[shown], None, FPS, own.sample_rate)
            found.append(one.embed([one.prepare(Sample(clip))])[0]["steps"])
        return found


def table(made: list[Any], scenes: list[Scene], task: str, timer: Timer, tolerance: float) -> Table:
    """Every clip's figures: what was made beside what was given."""
    pairs = zip(moments(made, task, timer.geometry), (list(s.events) for s in scenes), strict=True)
    counts = [[2 * count_matches(f, t, tolerance), len(f) + len(t)] for f, t in pairs]
    given = [s.frames if task == "video_to_audio" else s.waveform for s in scenes]
    sides = timer.steps(task, made), timer.steps(next(other for other in TASKS if other != task), given)
    timed = [timing(*(pair[::-1] if task == "video_to_audio" else pair)) for pair in zip(*sides, strict=True)]
    offsets = [None if np.isnan(t.offset) else float(t.offset) for t in timed]
    return {"counts": counts, "sync": [float(t.score) for t in timed], "offset": offsets}


def f1(one: Table, chosen: np.ndarray) -> float:
    summed = np.asarray(one["counts"], float)[chosen].sum(0)
    return float(summed[0] / max(1.0, summed[1]))


def sync(one: Table, chosen: np.ndarray) -> float:
    return float(np.asarray(one["sync"])[chosen].mean())


def offset(one: Table, chosen: np.ndarray) -> float:
    """The median in ms, of the clips whose sound seems to belong to their pictures."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(np.nanmedian(np.asarray(one["offset"], float)[chosen]))


FIGURES = {"f1": f1, "sync": sync, "offset": offset}


def interval(figure: str, *tables: Table) -> tuple[float, float, float]:
    """A figure with its 95 % interval; of two tables the difference, clip by clip."""
    count, rng = len(tables[0]["sync"]), np.random.default_rng(0)
    of = FIGURES[figure]

    def value(chosen: np.ndarray) -> float:
        return of(tables[0], chosen) - (of(tables[1], chosen) if len(tables) > 1 else 0.0)

    low, high = np.nanpercentile([value(rng.integers(0, count, count)) for _ in range(DRAWS)], [2.5, 97.5])
    return value(np.arange(count)), float(low), float(high)


def said(name: str, *tables: Table) -> None:
    """One line of F1 and synchrony with their intervals; of a single table also the offsets."""
    parts = []
    for figure in ("f1", "sync"):
        value, low, high = interval(figure, *tables)
        parts.append(f"{figure} {value:6.3f} [{low:.3f}, {high:.3f}]")
    if len(tables) == 1:
        clips, known = len(tables[0]["offset"]), sum(o is not None for o in tables[0]["offset"])
        parts.append(f"offset {offset(tables[0], np.arange(clips)):.0f} ms, {known} of {clips} clips")
    print(f"{name:44s} " + "   ".join(parts), flush=True)


def plot(path: Path, kept: dict[str, Any]) -> None:
    """F1 and synchrony over lambda, one row a figure and one column a task; floors dotted, ceilings dashed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    tasks = [task for task in TASKS if task in kept]
    figure, axes = plt.subplots(2, len(tasks), figsize=(5 * len(tasks), 6), dpi=110, squeeze=False, sharex="col")
    for column, task in enumerate(tasks):
        scales = sorted({float(s) for curve in kept[task]["models"].values() for s in curve})
        for row, name in enumerate(("f1", "sync")):
            axis = axes[row][column]
            for number, (model, curve) in enumerate(kept[task]["models"].items()):
                here = sorted(curve, key=float)
                places = [scales.index(float(s)) + 0.06 * number for s in here]
                middle, low, high = np.array([interval(name, curve[s]) for s in here]).T
                axis.errorbar(places, middle, [middle - low, high - middle], marker="o", capsize=3, label=model)
            for of, style in (("floor", ":"), ("ceiling", "--")):
                axis.axhline(interval(name, kept[task][of])[0], color="grey", linestyle=style)
            axis.set_xticks(range(len(scales)), [f"{s:g}" for s in scales])
            axis.set(ylabel={"f1": "F1 within 100 ms", "sync": "sync_scenes"}[name], ylim=(0, 1))
        axes[0][column].set_title(task.replace("_", " "))
        axes[1][column].set_xlabel("λ")
    axes[0][0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path)


def measure(options: argparse.Namespace, kept: dict[str, Any], write: Any) -> None:
    """What is asked for and not kept yet."""
    scenes: list[Scene] = []
    for name, folder in (word.split("=", 1) for word in options.model):
        pipe = SoundingVideoPipeline.from_pretrained(folder)
        scenes = scenes or held_out(options.count, pipe.geometry)
        timer = Timer(pipe.geometry)
        for task in options.tasks:
            if task not in kept:
                true = through(pipe, scenes, task)
                ends = {"floor": rolled(true), "ceiling": true}
                kept[task] = {
                    **{of: table(made, scenes, task, timer, options.tolerance) for of, made in ends.items()},
                    "models": {},
                }
            curve = kept[task]["models"].setdefault(name, {})
            for scale in options.scales:
                if f"{scale:g}" in curve:
                    continue
                began = time.monotonic()
                made = generated(pipe, scenes, task, scale, options)
                curve[f"{scale:g}"] = table(made, scenes, task, timer, options.tolerance)
                write()
                said(f"{task}: {name}, lambda {scale:g} ({time.monotonic() - began:.0f} s)", curve[f"{scale:g}"])
                said("    beside another clip", table(rolled(made), scenes, task, timer, options.tolerance))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--tasks", choices=TASKS, nargs="+", default=["video_to_audio"])
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--scales", type=float, nargs="+", default=[0.0, 1.0, 4.0, 16.0])
    parser.add_argument("--tolerance", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compare", nargs=2, action="append", default=[], metavar="NAME")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = {name: getattr(options, name) for name in ("count", "steps", "tolerance", "seed")}
    kept: dict[str, Any] = json.loads(options.json.read_text()) if options.json.is_file() else {"settings": settings}
    if kept["settings"] != settings:
        parser.error(f"{options.json} was made with {kept['settings']}, this call asks for {settings}: name another file")
    measure(options, kept, lambda: options.json.write_text(json.dumps(kept) + "\n"))
    for task in (task for task in TASKS if task in kept):
        print(task)
        for of in ("floor", "ceiling"):
            said(f"  {of}", kept[task][of])
        models = kept[task]["models"]
        for name, curve in models.items():
            for scale, one in curve.items():
                said(f"  {name}, lambda {scale}", one)
        for one, other in options.compare:
            for scale in [s for s in models.get(one, {}) if s in models.get(other, {})]:
                said(f"  {one} - {other}, lambda {scale}", models[one][scale], models[other][scale])
    if options.plot:
        plot(options.plot, kept)


if __name__ == "__main__":
    main()
