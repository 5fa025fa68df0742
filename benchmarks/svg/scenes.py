"""Table I of the SVG baseline asked again on scenes: do sound and pictures belong together, by ways of joining and by gamma.

    python -m benchmarks svg.scenes --json FILE [--bases DIR] [--model NAME=DIR ...] [--gammas 1 1.5 2] [--tasks both ...]
        [--worlds bounces] [--count 48] [--steps 25] [--clips DIR] [--reader FILE]
    python -m benchmarks svg.scenes --json FILE --compare SET SET

DIR are models that svg.scenes.bases and svg.scenes leave (out/model). FILE keeps every clip's figures under the name of its
set, such as "cmc_pe both gamma 1.5"; what stands there is not made again, so models and gammas are added call by call, and a
call without models prints the table. Every set has the same captions, the same noise and the same given streams.

FVD and FAD are distances of the embedded features to those of the true scenes. What is measured of each pair of sound and
pictures: onsets of the sound against the events that a small network, trained on true scenes, reads in the pictures (F1 of one-
to-one matches within 100 ms; for sound made for true pictures, against the scene's own events too, and for pictures made for a
true sound what is read in them against those); onsets against peaks of the change between frames; sync_scenes and
offset_scenes, of the embedded network; AV-Align in the authors' form. The floor of a set is every clip's sound with the
pictures of the next clip of the same world; "bases" is both base models apart. The ceiling is the true clips through the
codecs. Intervals are of 95 %, from a bootstrap over clips; sets are compared clip by clip.
"""

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.readers import EventReader, Scene, read_events, rolled, scenes, through_codec, train_reader
from sonovid import media
from sonovid.core.av import AV, Task
from sonovid.core.clip import Clip
from sonovid.metrics.alignment import count_matches, motion_energy, peaks, sound_onsets
from sonovid.metrics.av_align import sony
from sonovid.metrics.base import Sample
from sonovid.metrics.extractors.embedded import FPS, ScenesAudio, ScenesVideo, timing
from sonovid.metrics.extractors.peaks import MotionPeaks, Onsets
from sonovid.metrics.frechet import frechet
from sonovid.pipelines.pipeline import SoundingVideoPipeline

# What the reader learns from, whatever is measured.
WORLDS = ["bounces", "hits"]
TASKS = {"both": Task.JOINT, "video_to_audio": Task.VIDEO_TO_AUDIO, "audio_to_video": Task.AUDIO_TO_VIDEO}
# Far from the seeds of training, which are counted from 0, and of the reader.
SEED, READER_SEED, DRAWS, TOLERANCE = 90_000_000, 50_000_000, 2000, 0.1
# Distances of sets take longer than means; their intervals have fewer draws.
SET_DRAWS, DISTANCES, REFERENCE = 200, ("FVD", "FAD"), "reference"
# Clips that run through the network at once.
BATCH = 16
# Of one set by name: lists of moments, or figures, of each clip.
Table = dict[str, list[Any]]


class Judge:
    """The networks that look at clips, loaded once."""

    def __init__(self, pipe: SoundingVideoPipeline, reader: Path | None, count: int, workers: int) -> None:
        self.geometry, self.video, self.audio = pipe.geometry, ScenesVideo(), ScenesAudio()
        self.video.load(())
        self.audio.load(())
        if reader is not None and reader.is_file():
            kept = torch.load(reader, weights_only=True)
            self.reader = EventReader(kept["classes"])
            self.reader.load_state_dict(kept["weights"])
            self.reader.eval()
            return
        seen = scenes(WORLDS, count, READER_SEED, pipe.geometry, workers)
        self.reader = train_reader(seen, pipe.geometry, pipe.video_codec, epochs=8)
        if reader is not None:
            torch.save({"classes": self.reader.classes, "weights": self.reader.state_dict()}, reader)

    def seen_and_heard(self, clip: Clip) -> list[dict[str, np.ndarray]]:
        """What the embedded networks make of the pictures and of the sound: features, and steps for synchrony."""
        shown = [int(i * clip.fps / FPS) for i in range(int(len(clip.frames) * FPS / clip.fps))]
        pictures = Clip(clip.frames[shown], None, FPS, clip.sample_rate)
        sound = Clip(None, clip.waveform, clip.fps, clip.sample_rate)
        return [one.embed([one.prepare(Sample(c))])[0] for one, c in ((self.video, pictures), (self.audio, sound))]

    def features(self, clips: list[Clip]) -> Table:
        """The features of clips alone: those of true scenes are what distances are measured to."""
        return featured([self.seen_and_heard(clip) for clip in clips])

    def table(self, made: list[Clip], truth: list[Scene]) -> Table:
        """Every clip's figures, and those of its sound with another clip's pictures."""
        between = (np.arange(self.geometry.num_frames) - 0.5) / float(self.geometry.fps)
        found: Table = {
            "events": [list(s.events) for s in truth],
            "onsets": [sound_onsets(c.waveform[0], c.sample_rate).tolist() for c in made],
            "read": read_events(self.reader, [c.frames for c in made], self.geometry),
            "moved": [peaks(between, motion_energy(c.frames), apart=0.13, threshold=0.0).tolist() for c in made],
        }
        found["worlds"] = [s.attributes["world"] for s in truth]
        worlds = len(set(found["worlds"]))
        embedded = [self.seen_and_heard(clip) for clip in made]
        found |= featured(embedded)
        pictures, sounds = zip(*((video["steps"], audio["steps"]) for video, audio in embedded), strict=True)
        timed = [timing(v, a) for v, a in zip(pictures, sounds, strict=True)]
        found["sync"] = [float(t.score) for t in timed]
        found["offset"] = [None if np.isnan(t.offset) else float(t.offset) for t in timed]
        found["sync floor"] = [float(timing(v, a).score) for v, a in zip(rolled(list(pictures), worlds), sounds, strict=True)]
        seen = [MotionPeaks().prepare(Sample(Clip(c.frames, None, c.fps, c.sample_rate)))["times"] for c in made]
        heard = [Onsets().prepare(Sample(resampled(c)))["times"] for c in made]
        rate = float(self.geometry.fps)
        found["av_align"] = [float(sony(a, v, rate)) for a, v in zip(heard, seen, strict=True)]
        found["av_align floor"] = [float(sony(a, v, rate)) for a, v in zip(heard, rolled(seen, worlds), strict=True)]
        return found


def featured(embedded: list[list[dict[str, np.ndarray]]]) -> Table:
    """The features of each clip's first window, as JSON keeps them."""
    streams = zip(*embedded, strict=True)
    return {
        f"features {name}": [np.round(one["features"][0].astype(float), 4).tolist() for one in stream]
        for name, stream in zip(AV._fields, streams, strict=True)
    }


def resampled(clip: Clip) -> Clip:
    """The sound alone at the rate that onsets are looked for."""
    from sonovid.media.audio import resample_audio as at

    wave = np.clip(at(clip.waveform, clip.sample_rate, 22050), -1, 1).astype(np.float32)
    return Clip(None, wave, clip.fps, 22050)


def generated(pipe: SoundingVideoPipeline, truth: list[Scene], task: Task, gamma: float, steps: int) -> list[Clip]:
    """Clips for the captions and, for two of the tasks, the true stream; the noise is that of the clip's number.

    A given stream comes back through its codec, so that all sets are measured alike.
    """
    own = pipe.geometry
    given: dict[str, list[Clip]] = {}
    if task is Task.VIDEO_TO_AUDIO:
        given["video"] = [Clip(scene.frames, None, fps=own.fps) for scene in truth]
    elif task is Task.AUDIO_TO_VIDEO:
        given["audio"] = [Clip(None, scene.waveform[None], sample_rate=own.sample_rate) for scene in truth]
    made = pipe(
        [scene.caption for scene in truth],
        **given,
        num_inference_steps=steps,
        gamma=gamma,
        generator=list(range(len(truth))),
        batch_size=BATCH,
        output_type="np",
    )
    return [
        Clip(np.rint(frames * 255).astype(np.uint8), sound, fps=own.fps, sample_rate=own.sample_rate)
        for frames, sound in zip(made.frames, made.audio, strict=True)
    ]


@torch.no_grad()
def rebuilt(pipe: SoundingVideoPipeline, truth: list[Scene]) -> list[Clip]:
    """True clips through both codecs."""
    own, made = pipe.geometry, []
    for scene in truth:
        wave = torch.from_numpy(scene.waveform)[None].float()
        sound = pipe.audio_codec.decode(pipe.audio_codec.encode(wave), own.num_samples).numpy()
        made.append(Clip(through_codec(pipe.video_codec, [scene.frames])[0], sound, fps=own.fps, sample_rate=own.sample_rate))
    return made


def add(args: argparse.Namespace, kept: dict[str, Table]) -> None:
    """Make and measure what is asked for and not there yet."""
    models = dict(pair.split("=", 1) for pair in args.model)
    models |= {"bases": args.bases} if args.bases else {}
    pipes = {name: SoundingVideoPipeline.from_pretrained(folder) for name, folder in models.items()}
    if not pipes:
        return
    first = next(iter(pipes.values()))
    truth = scenes(args.worlds, args.count, SEED, first.geometry, args.workers)
    judge = Judge(first, args.reader, args.reader_clips, args.workers)
    if REFERENCE not in kept:
        own = first.geometry
        true = [Clip(s.frames, s.waveform[None].astype(np.float32), own.fps, own.sample_rate) for s in truth]
        kept[REFERENCE] = judge.features(true)
    jobs = [("truth", None, "both", 1.0)]
    jobs += [(f"{name} {task}", pipe, task, 1.0) for name, pipe in pipes.items() for task in args.tasks if task != "both"]
    for name, pipe in pipes.items():
        gammas = [1.0] if name == "bases" else args.gammas
        jobs += [(f"{name} both gamma {g:g}", pipe, "both", g) for g in gammas if "both" in args.tasks]
    for name, pipe, task, gamma in jobs:
        if name in kept:
            continue
        began = time.process_time()
        if pipe is not None and name.startswith("bases"):
            pipe.denoiser.bases_only = True
        made = rebuilt(first, truth) if pipe is None else generated(pipe, truth, TASKS[task], gamma, args.steps)
        kept[name] = judge.table(made, truth)
        args.json.write_text(json.dumps(kept))
        if args.clips:
            for number, clip in enumerate(made):
                path = args.clips / name.replace(" ", "-") / f"{number:03d}.mp4"
                path.parent.mkdir(parents=True, exist_ok=True)
                media.write(path, clip, overwrite=True)
        print(f"{name}: {len(made)} clips, {time.process_time() - began:.0f} s of processor", flush=True)


def f1(one: Table, found: str, true: str, chosen: np.ndarray, *, floor: bool = False) -> float:
    """Micro-average over the chosen clips; as floor, each clip's sound with the next one's pictures."""
    second = rolled(one[true], len(set(one["worlds"]))) if floor else one[true]
    pairs = [(one[found][i], second[i]) for i in chosen]
    events = sum(len(a) + len(b) for a, b in pairs)
    return 2 * sum(count_matches(a, b, TOLERANCE) for a, b in pairs) / max(1, events)


def mean(one: Table, name: str, chosen: np.ndarray, *, floor: bool = False) -> float:
    return float(np.mean(np.asarray(one[f"{name} floor" if floor else name], float)[chosen]))


def offset(one: Table, chosen: np.ndarray, *, floor: bool = False) -> float:
    """Median distance from no offset, in ms, of the clips whose sound seems to belong to their pictures."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return float("nan") if floor else float(np.nanmedian(np.abs(np.asarray(one["offset"], float)[chosen])))


def distance(one: Table, stream: str, chosen: np.ndarray, *, floor: bool = False) -> float:
    """The Fréchet distance of the chosen clips' features to those of the true scenes; NaN where they were not kept."""
    if floor or f"features {stream}" not in one or "true" not in one:
        return float("nan")
    return frechet(np.asarray(one[f"features {stream}"])[chosen], np.asarray(one["true"][0][f"features {stream}"]))


FIGURES = {
    "FVD": lambda one, chosen, **how: distance(one, "video", chosen, **how),
    "FAD": lambda one, chosen, **how: distance(one, "audio", chosen, **how),
    "onsets ~ read": lambda one, chosen, **how: f1(one, "onsets", "read", chosen, **how),
    "onsets ~ moved": lambda one, chosen, **how: f1(one, "onsets", "moved", chosen, **how),
    "sync": lambda one, chosen, **how: mean(one, "sync", chosen, **how),
    "AV-Align": lambda one, chosen, **how: mean(one, "av_align", chosen, **how),
    "|offset|": offset,
}
GIVEN = {
    "video_to_audio": {"onsets ~ events": lambda one, chosen, **how: f1(one, "onsets", "events", chosen, **how)},
    "audio_to_video": {"read ~ events": lambda one, chosen, **how: f1(one, "read", "events", chosen, **how)},
}


def interval(figure: Any, *tables: Table, draws: int = DRAWS) -> tuple[float, float, float]:
    """A figure with its 95 % interval; of two tables the difference, clip by clip."""
    count, rng = min(len(one["sync"]) for one in tables), np.random.default_rng(0)

    def value(chosen: np.ndarray) -> float:
        return figure(tables[0], chosen) - (figure(tables[1], chosen) if len(tables) > 1 else 0.0)

    low, high = np.nanpercentile([value(rng.integers(0, count, count)) for _ in range(draws)], [2.5, 97.5])
    return value(np.arange(count)), float(low), float(high)


def told(name: str, *tables: Table) -> None:
    """A line of figures with intervals, and of a single set its floors."""
    everywhere = np.arange(min(len(one["sync"]) for one in tables))
    print(f"{name} ({len(everywhere)} clips)")
    asked = {key: by for task, by in GIVEN.items() if task in name for key, by in by.items()} | FIGURES
    for key, figure in asked.items():
        if key in DISTANCES and not all("true" in one for one in tables):
            continue
        value, low, high = interval(figure, *tables, draws=SET_DRAWS if key in DISTANCES else DRAWS)
        floored = len(tables) == 1 and key not in ("|offset|", *DISTANCES)
        floor = f"   floor {figure(tables[0], everywhere, floor=True):.3f}" if floored else ""
        print(f"    {key:16s} {value:7.3f} [{low:.3f}, {high:.3f}]{floor}")
    if len(tables) == 1:
        known = sum(o is not None for o in tables[0]["offset"])
        counts = [np.mean([len(x) for x in tables[0][key]]) for key in ("onsets", "read", "events")]
        print(f"    related in {known}; onsets {counts[0]:.1f} a clip, read {counts[1]:.1f}, true {counts[2]:.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--bases")
    parser.add_argument("--model", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--gammas", type=float, nargs="+", default=[1.0, 1.5, 2.0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--worlds", nargs="+", default=["bounces"])
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--reader", type=Path, help="where the network that reads events is kept")
    parser.add_argument("--reader-clips", type=int, default=800)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--compare", nargs=2, action="append", default=[], metavar="SET")
    args = parser.parse_args()
    torch.set_num_threads(1)
    kept = json.loads(args.json.read_text()) if args.json.is_file() else {}
    add(args, kept)
    reference = kept.pop(REFERENCE, None)
    if reference is not None:
        kept = {name: {**one, "true": [reference]} for name, one in kept.items()}
    for name, one in kept.items():
        told(name, one)
    for one, other in args.compare:
        told(f"{one} - {other}", kept[one], kept[other])


if __name__ == "__main__":
    main()
