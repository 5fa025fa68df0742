"""Whether sound and pictures that MM-LDM makes belong together, on scenes it has never seen, task by task and by what guides it.

    python -m benchmarks mmldm.scenes --model DIR --json FILE [--sets both:context:2 video_to_audio:modality:2 ...] [--count 32]
        [--steps 25] [--drawing 10]

DIR is a model that mmldm.scenes leaves (out/model). A set is TASK:AGAINST:PHI, see `SoundingVideoPipeline`; PHI 1 is no guidance.
FILE keeps every clip's figures under the set's name; what stands there is not made again. --drawing: steps by which the
autoencoder draws pictures.

Sound for pictures is scored by its onsets against the times at which the scene's events happened, pictures for a sound by peaks
of the change between frames against the same, and of what is made together the onsets stand against the peaks: F1 of one-to-one
matches within 100 ms. All three are scored by the embedded network for synchrony too. Floors are another clip's stream of the
same world, ceilings the true one, as it is and through the autoencoder. Intervals are of 95 %, from a bootstrap over clips; what
guides is compared clip by clip, with the same noise.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.cmmd.guidance import Table, Timer, moments, said, table
from benchmarks.readers import Scene, rolled, scenes
from sonovid.core import atomic
from sonovid.core.clip import Clip
from sonovid.pipelines.pipeline import SoundingVideoPipeline

WORLDS = ["bounces", "hits"]
TASKS = ("both", "video_to_audio", "audio_to_video")
# Far from the seeds of training, which are counted from 0.
SEED, TOLERANCE = 90_000_000, 0.1
SETS = ("video_to_audio:modality:1", "audio_to_video:modality:1", "both:context:1")


def made(pipe: SoundingVideoPipeline, held: list[Scene], named: str, steps: int) -> list[Clip]:
    """The clips of one set, one seed a clip."""
    task, against, phi = named.split(":")
    own, found = pipe.geometry, []
    for seed, scene in enumerate(held):
        given: dict[str, Any] = {}
        if task == "video_to_audio":
            given["video"] = Clip(scene.frames, None, fps=own.fps, sample_rate=own.sample_rate)
        if task == "audio_to_video":
            given["audio"] = Clip(None, scene.waveform[None], fps=own.fps, sample_rate=own.sample_rate)
        options: dict[str, Any] = {"guidance_against": against, "guidance_scale": float(phi), "num_inference_steps": steps}
        output: Any = pipe(label=scene.attributes["material"], generator=seed, **given, **options)
        found += output.clips
    return found


def through(pipe: SoundingVideoPipeline, held: list[Scene]) -> list[Clip]:
    """True clips through the autoencoder."""
    found = []
    for scene in held:
        x = torch.from_numpy(scene.frames).movedim(-1, 0)[None].float() / 127.5 - 1
        codec = pipe.codec
        y = codec.decode(codec.encode(x, torch.from_numpy(scene.waveform)[None]), len(scene.waveform))
        frames = ((y.video[0].clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).movedim(0, -1).numpy()
        found.append(Clip(frames, y.audio.clamp(-1, 1).numpy(), fps=pipe.geometry.fps, sample_rate=pipe.geometry.sample_rate))
    return found


def judged(clips: list[Clip], held: list[Scene], task: str, timer: Timer) -> Table:
    """Every clip's figures in one task."""
    frames, waves = [clip.frames for clip in clips], [clip.waveform[0] for clip in clips if clip.waveform is not None]
    if task == "video_to_audio":
        return table(waves, held, task, timer, TOLERANCE)
    if task == "audio_to_video":
        return table(frames, held, task, timer, TOLERANCE)
    moved = moments(frames, "audio_to_video", timer.geometry)
    both = [replace(s, frames=f, waveform=w, events=tuple(m)) for s, f, w, m in zip(held, frames, waves, moved, strict=True)]
    return table(waves, both, "video_to_audio", timer, TOLERANCE)


def shuffled(clips: list[Clip], task: str) -> list[Clip]:
    """Each clip's made stream, or for both its sound, from the next clip of the same world."""
    if task == "audio_to_video":
        return [replace(clip, frames=frames) for clip, frames in zip(clips, rolled([c.frames for c in clips]), strict=True)]
    return [replace(clip, waveform=wave) for clip, wave in zip(clips, rolled([c.waveform for c in clips]), strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--drawing", type=int, default=10)
    options = parser.parse_args()
    pipe = SoundingVideoPipeline.from_pretrained(options.model)
    pipe.set_progress_bar_config(disable=True)
    pipe.joint_codec.set_decoding(steps=options.drawing)
    held = scenes(WORLDS, options.count, SEED, pipe.geometry, workers=1)
    timer, kept = Timer(pipe.geometry), json.loads(options.json.read_text()) if options.json.is_file() else {}

    def keep(name: str, clips: list[Clip], task: str) -> None:
        kept[name] = judged(clips, held, task, timer)
        atomic.write_text(options.json, json.dumps(kept))

    true = [Clip(s.frames, s.waveform[None], fps=pipe.geometry.fps, sample_rate=pipe.geometry.sample_rate) for s in held]
    rebuilt = through(pipe, held) if any(f"{task} ceiling, autoencoder" not in kept for task in TASKS) else []
    for task in TASKS:
        if f"{task} ceiling" not in kept:
            keep(f"{task} ceiling", true, task)
            keep(f"{task} floor", shuffled(true, task), task)
            keep(f"{task} ceiling, autoencoder", rebuilt, task)
    for named in options.sets:
        task = named.split(":")[0]
        if named not in kept:
            began = time.monotonic()
            clips = made(pipe, held, named, options.steps)
            keep(named, clips, task)
            keep(f"{named} floor", shuffled(clips, task), task)
            print(f"{named}: {time.monotonic() - began:.0f} s", flush=True)
    for name, one in sorted(kept.items()):
        said(name, one)
    for named in options.sets:
        said(f"{named} less its floor", kept[named], kept[f"{named} floor"])
        task, _, phi = named.split(":")
        for other in kept:
            if other.split(":")[0] == task and other.endswith(":1") and phi != "1":
                said(f"{named} less {other}", kept[named], kept[other])


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
