"""How well CMMD's sound follows given pictures, and its pictures a given sound, at several scales of reconstruction guidance.

    python benchmarks/cmmd_lambda.py --model NAME=DIR [--model NAME=DIR ...] [--count 48] [--steps 25] [--scales 0 0.1 1]
        [--task video_to_audio] [--components 16] [--json FILE] [--plot PNG] [--compare NAME NAME]

Models are those that cmmd.scenes and cmmd.scenes.contrastive leave (out/model). Each clip is scored by the onsets of the sound
that comes out against the times at which the scene's events happened: F1 of one-to-one matches within 100 ms, beside its floor
(another clip's sound of the same world) and its ceiling (the true sound, through the spectrogram and the vocoder). For
audio_to_video peaks of the change between the frames that come out stand against the same events. Intervals are of 95 %, from a
bootstrap over clips; models are compared clip by clip, with the same noise.

--components N projects each estimate of the mel onto its N leading principal components, taken from scenes of the training seeds
(16 of 80 hold 97 % of the variance): a network narrower than the mel cannot say the noise of all bins, and would leave it.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from readers import Scene
from sonovid.av import AV
from sonovid.data.scenes import attributes, render
from sonovid.diffusion import guidance, noise, sampler
from sonovid.geometry import Geometry
from sonovid.metrics.alignment import matches, motion_energy, peaks, sound_onsets
from sonovid.pipeline import SoundingVideoPipeline
from sonovid.recipes.cmmd_training import longer, middle_clip

WORLDS = ("bounces", "hits")
# Far from the seeds of training, which are counted from 0.
SEED, MARGIN, DRAWS = 90_000_000, 4, 2000
Times = list[list[float]]


def held_out(count: int, geometry: Geometry, first_seed: int = SEED) -> list[Scene]:
    """Scenes as in training: the middles of longer ones, the worlds in turn."""
    found = []
    for i in range(count):
        world, seed = WORLDS[i % len(WORLDS)], first_seed + i // len(WORLDS)
        clip = middle_clip(render(world, seed, longer(geometry, MARGIN)), geometry, MARGIN)
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


def to_components(pipe: SoundingVideoPipeline, number: int, count: int = 200) -> Any:
    """A function of mel latents [b 1 l f] to what their leading principal components hold of them."""
    scenes = held_out(count, pipe.geometry, first_seed=0)
    flat = given_latents(pipe, scenes, "audio_to_video").audio.flatten(0, 2)
    centre = flat.mean(0)
    _, directions = torch.linalg.eigh(torch.cov(flat.T))
    onto = directions[:, -number:] @ directions[:, -number:].T
    low, high = float(flat.min()), float(flat.max())
    return lambda mel: ((mel.float() - centre) @ onto + centre).clamp(low, high)


def projected(denoise: sampler.Denoise, project: Any) -> sampler.Denoise:
    """A denoiser whose estimate of the mel passes through `project`, if there is one."""
    if project is None:
        return denoise

    def guided(x: AV, t: AV, previous: AV | None = None) -> AV:
        x0 = denoise(x, t, previous)
        return AV(x0.video, project(x0.audio))

    return guided


def generated(
    pipe: SoundingVideoPipeline, scenes: list[Scene], task: str, scale: float, options: argparse.Namespace, project: Any
) -> list[Any]:
    """Sounds [n], or frames [t h w 3], for the given streams of some scenes, one seed a clip whatever the batch."""
    own, found, steps, batch, first_seed = pipe.geometry, [], options.steps, options.batch, options.seed
    shapes = AV(pipe.video_codec, pipe.audio_codec).map(lambda codec: codec.latent_shape(own))
    times = pipe.schedule.map(lambda one: sampler.uniform(steps, one.start(pipe.config.predict)))
    pipe.denoiser.requires_grad_(False)
    for first in range(0, len(scenes), batch):
        part = scenes[first : first + batch]
        given = given_latents(pipe, part, task)
        eps = noise.draw_pair(range(first_seed + first, first_seed + first + len(part)), shapes)
        denoise = projected(sampler.denoiser(pipe.denoiser, pipe.schedule, pipe.config.predict), project)
        led = projected(guidance.reconstruction(denoise, given, pipe.schedule, scale), project)
        with torch.autocast("cpu", torch.bfloat16):
            held = guidance.given_replaced(led, given, pipe.schedule, eps)
            x = sampler.sample(held, eps, pipe.schedule, times)
        with torch.no_grad():
            if task == "video_to_audio":
                found += list(pipe.audio_codec.decode(pipe.audio_codec.unwhiten(x.audio), own.num_samples).numpy())
            else:
                frames = pipe.video_codec.decode(pipe.video_codec.unwhiten(x.video)).clamp(-1, 1)
                found += list((frames * 127.5 + 127.5).round().to(torch.uint8).movedim(1, -1).numpy())
    return found


def through(pipe: SoundingVideoPipeline, scenes: list[Scene], task: str) -> list[Any]:
    """What the codecs alone leave of the true stream that is to be made."""
    other = "audio_to_video" if task == "video_to_audio" else "video_to_audio"
    latents = given_latents(pipe, scenes, other)
    with torch.no_grad():
        if task == "video_to_audio":
            return list(pipe.audio_codec.decode(pipe.audio_codec.unwhiten(latents.audio), pipe.geometry.num_samples).numpy())
        frames = pipe.video_codec.decode(pipe.video_codec.unwhiten(latents.video)).clamp(-1, 1)
        return list((frames * 127.5 + 127.5).round().to(torch.uint8).movedim(1, -1).numpy())


def moments(made: list[Any], task: str, geometry: Geometry) -> Times:
    """When something happens in what was made: onsets of sounds, peaks of the change between frames."""
    if task == "video_to_audio":
        return [sound_onsets(wave, geometry.sample_rate).tolist() for wave in made]
    between = (np.arange(geometry.num_frames) - 0.5) / float(geometry.fps)
    return [peaks(between, motion_energy(frames), apart=0.13, threshold=0.0).tolist() for frames in made]


def rolled(values: list[Any]) -> list[Any]:
    """The next clip's value of the same world."""
    return values[len(WORLDS) :] + values[: len(WORLDS)]


def counts(found: Times, true: Times, tolerance: float) -> np.ndarray:
    """For each clip twice the matches, and found and true events together: sums of both give F1."""
    return np.array([[2 * matches(f, t, tolerance), len(f) + len(t)] for f, t in zip(found, true, strict=True)], dtype=float)


def f1(table: np.ndarray, chosen: Any = slice(None)) -> float:
    summed = table[chosen].sum(0)
    return float(summed[0] / max(1.0, summed[1]))


def interval(*tables: np.ndarray) -> tuple[float, float, float]:
    """F1 with its 95 % interval; of two tables the difference, clip by clip."""
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, len(tables[0]), len(tables[0])) for _ in range(DRAWS)]

    def value(chosen: Any) -> float:
        return f1(tables[0], chosen) - (f1(tables[1], chosen) if len(tables) > 1 else 0.0)

    low, high = np.percentile([value(chosen) for chosen in draws], [2.5, 97.5])
    return value(slice(None)), float(low), float(high)


def said(name: str, values: tuple[float, float, float]) -> None:
    print(f"{name:56s} {values[0]:6.3f}  [{values[1]:.3f}, {values[2]:.3f}]", flush=True)


def plot(path: Path, curves: dict[str, dict[str, Any]], floor: Any, ceiling: Any, task: str) -> None:
    """F1 over lambda, one line a model, with its intervals; floor and ceiling as dashed lines."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 3.6), dpi=120)
    for number, (name, curve) in enumerate(curves.items()):
        scales = [float(s) for s in curve]
        places = np.arange(len(scales)) + 0.06 * number
        middle, low, high = (np.array([curve[s][i] for s in curve]) for i in range(3))
        axis.errorbar(places, middle, [middle - low, high - middle], marker="o", capsize=3, label=name)
        axis.set_xticks(np.arange(len(scales)), [f"{s:g}" for s in scales])
    for value, style in ((floor, ":"), (ceiling, "--")):
        axis.axhline(value[0], color="grey", linestyle=style)
    axis.set(xlabel="λ", ylabel="F1 within 100 ms", title=task.replace("_", " "), ylim=(0, 1))
    axis.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", required=True, metavar="NAME=DIR")
    parser.add_argument("--task", choices=("video_to_audio", "audio_to_video"), default="video_to_audio")
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--scales", type=float, nargs="+", default=[0.0, 0.1, 0.3, 1.0])
    parser.add_argument("--tolerance", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--components", type=int)
    parser.add_argument("--compare", nargs=2, action="append", default=[], metavar="NAME")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    models = dict(word.split("=", 1) for word in options.model)
    torch.set_num_threads(1)
    scenes: list[Scene] = []
    tables: dict[str, dict[str, np.ndarray]] = {}
    result: dict[str, Any] = {"count": options.count, "steps": options.steps, "task": options.task, "curves": {}}
    floor = ceiling = (0.0, 0.0, 0.0)
    for name, folder in models.items():
        pipe = SoundingVideoPipeline.from_pretrained(folder)
        if not scenes:
            scenes = held_out(options.count, pipe.geometry)
            events = [list(s.events) for s in scenes]
            codec = moments(through(pipe, scenes, options.task), options.task, pipe.geometry)
            ceiling = interval(counts(codec, events, options.tolerance))
            floor = interval(counts(rolled(codec), events, options.tolerance))
            project = to_components(pipe, options.components) if options.components else None
            result |= {"ceiling": ceiling, "floor": floor, "components": options.components}
            said("ceiling: the true stream through the codec", ceiling)
            said("floor: another clip's true stream", floor)
        for scale in options.scales:
            began = time.monotonic()
            made = generated(pipe, scenes, options.task, scale, options, project)
            found = moments(made, options.task, pipe.geometry)
            table = counts(found, events, options.tolerance)
            tables.setdefault(name, {})[f"{scale:g}"] = table
            values = interval(table)
            result["curves"].setdefault(name, {})[f"{scale:g}"] = values
            result.setdefault("counts", {}).setdefault(name, {})[f"{scale:g}"] = table.tolist()
            said(f"{name}, lambda {scale:g} ({time.monotonic() - began:.0f} s)", values)
            by = {world: f1(table, slice(i, None, len(WORLDS))) for i, world in enumerate(WORLDS)}
            own_floor = interval(counts(rolled(found), events, options.tolerance))
            print(" " * 8 + f"{by}, another clip's {own_floor[0]:.3f}, {sum(map(len, found))} found", flush=True)
    for one, other in options.compare:
        for scale in tables[one]:
            values = interval(tables[one][scale], tables[other][scale])
            result.setdefault("differences", {})[f"{one} - {other}, {scale}"] = values
            said(f"{one} - {other}, lambda {scale}", values)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    if options.plot:
        plot(options.plot, result["curves"], floor, ceiling, options.task)


if __name__ == "__main__":
    main()
