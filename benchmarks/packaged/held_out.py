"""How well the sound and the pictures of the small packaged model belong together, on scenes it has never seen.

    python -m benchmarks packaged.held_out [--model DIR] [--count 48] [--steps 25] [--json FILE]

`sonovid benchmark` has the same figures of any model, the packaged one included. For each task the figure stands between its
floor (another clip's partner) and its ceiling (the true partner). Events are those that the scenes know; found events are onsets
of the sound, or what a reader trained on scenes finds in the pictures (benchmarks/readers.py), or peaks of the change between
frames. F1 counts one-to-one matches within 100 ms.
"""

import argparse
import json
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from benchmarks.readers import read_attributes, read_events, rolled, scenes, through_codec, train_reader
from sonovid.core.clip import Clip
from sonovid.metrics.alignment import agreement, motion_energy, peaks, sound_onsets
from sonovid.pipelines.pipeline import SoundingVideoPipeline

WORLDS = ["bounces", "hits"]
# Far from the seeds of training (counted from 0) and of the readers.
READER_SEED, HELD_OUT_SEED = 50_000_000, 90_000_000


def _begin(model: str | None, options: dict) -> None:
    """One worker's pipeline, on one thread: for networks this small two processes are faster than two threads."""
    global _pipe, _options
    torch.set_num_threads(1)
    _pipe, _options = SoundingVideoPipeline.from_pretrained(model), options
    _pipe.set_progress_bar_config(disable=True)


def _make(job: tuple[str | None, np.ndarray | None, np.ndarray | None, int]) -> Clip:
    words, frames, waveform, seed = job
    own = _pipe.geometry
    given = {}
    if frames is not None:
        given["video"] = Clip(frames, None, fps=own.fps, sample_rate=own.sample_rate)
    if waveform is not None:
        given["audio"] = Clip(None, waveform[None], fps=own.fps, sample_rate=own.sample_rate)
    return _pipe(words, generator=seed, **given, **_options).clips[0]


def motion_peaks(frames: np.ndarray, fps: float) -> list[float]:
    """Peaks of the change between frames, at the moment between them."""
    return peaks((np.arange(len(frames)) - 0.5) / fps, motion_energy(frames), apart=0.13, threshold=0.0).tolist()


def by_world(name: str, pairs: list, table: dict) -> None:
    """F1 of all pairs and of each world's."""
    for world, chosen in [("both", pairs), *[(w, pairs[i :: len(WORLDS)]) for i, w in enumerate(WORLDS)]]:
        result = agreement(chosen)
        table.setdefault(name, {})[world] = round(result.f1, 3)
    print(f"{name:62s} " + "  ".join(f"{w} {v:.3f}" for w, v in table[name].items()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="uniform")
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=None)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--reader-clips", type=int, default=1200)
    parser.add_argument("--reader-epochs", type=int, default=8)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    pipe = SoundingVideoPipeline.from_pretrained(options.model)
    geometry, rate, table = pipe.geometry, pipe.geometry.sample_rate, {}
    fps = float(geometry.fps)
    reader = train_reader(
        scenes(WORLDS, options.reader_clips, READER_SEED, geometry), geometry, pipe.video_codec, epochs=options.reader_epochs
    )
    held = scenes(WORLDS, options.count, HELD_OUT_SEED, geometry)
    events = [s.events for s in held]
    pool = get_context("spawn").Pool(
        options.workers, _begin, (options.model, {"num_inference_steps": options.steps, "guidance_scale": options.guidance})
    )

    # The measures on true clips.
    onsets = [sound_onsets(s.waveform, rate).tolist() for s in held]
    seen = read_events(reader, [s.frames for s in held], geometry)
    moved = [motion_peaks(s.frames, fps) for s in held]
    with torch.no_grad():
        waves = torch.from_numpy(np.stack([s.waveform for s in held]))
        through = pipe.audio_codec.decode(pipe.audio_codec.encode(waves), geometry.num_samples).numpy()
        rebuilt = [through_codec(pipe.video_codec, [s.frames])[0] for s in held]

    began = time.monotonic()
    for text in (False, True):
        heading = "video+text -> audio" if text else "video -> audio"
        made = pool.map(_make, [(s.caption if text else None, s.frames, None, i) for i, s in enumerate(held)], 1)
        made = [clip.waveform[0] for clip in made]
        found = [sound_onsets(w, rate).tolist() for w in made]
        by_world(f"{heading}: onsets against events", list(zip(found, events, strict=True)), table)
    by_world("video -> audio floor: another clip's true sound", list(zip(rolled(onsets), events, strict=True)), table)
    by_world("video -> audio floor: another clip's generated sound", list(zip(rolled(found), events, strict=True)), table)
    by_world("video -> audio ceiling: true sound", list(zip(onsets, events, strict=True)), table)
    codec = [sound_onsets(w, rate).tolist() for w in through]
    by_world("video -> audio ceiling: true sound through the codec", list(zip(codec, events, strict=True)), table)

    for text in (False, True):
        heading = "audio+text -> video" if text else "audio -> video"
        made = pool.map(_make, [(s.caption if text else None, None, s.waveform, i) for i, s in enumerate(held)], 1)
        made = [clip.frames for clip in made]
        by_world(
            f"{heading}: events read against events", list(zip(read_events(reader, made, geometry), events, strict=True)), table
        )
        by_world(
            f"{heading}: motion peaks against events", list(zip([motion_peaks(f, fps) for f in made], events, strict=True)), table
        )
    by_world("audio -> video floor: another clip's true frames, read", list(zip(rolled(seen), events, strict=True)), table)
    by_world("audio -> video ceiling: true frames, read", list(zip(seen, events, strict=True)), table)
    codec = read_events(reader, rebuilt, geometry)
    by_world("audio -> video ceiling: true frames through the codec, read", list(zip(codec, events, strict=True)), table)
    by_world("audio -> video floor: another clip's frames, motion peaks", list(zip(rolled(moved), events, strict=True)), table)
    by_world("audio -> video ceiling: true frames, motion peaks", list(zip(moved, events, strict=True)), table)

    joint = pool.map(_make, [(s.caption, None, None, i) for i, s in enumerate(held)], 1)
    heard = [sound_onsets(c.waveform[0], rate).tolist() for c in joint]
    read = read_events(reader, [c.frames for c in joint], geometry)
    by_world("text -> both: onsets against events read", list(zip(heard, read, strict=True)), table)
    by_world("text -> both floor: another clip's onsets", list(zip(rolled(heard), read, strict=True)), table)
    by_world("text -> both ceiling: true clips", list(zip(onsets, seen, strict=True)), table)
    by_world(
        "text -> both: onsets against motion peaks",
        list(zip(heard, [motion_peaks(c.frames, fps) for c in joint], strict=True)),
        table,
    )
    by_world("text -> both ceiling: true clips, motion peaks", list(zip(onsets, moved, strict=True)), table)

    wanted = [s.attributes for s in held]
    sources = {
        "generated": read_attributes(reader, [c.frames for c in joint], [c.waveform[0] for c in joint]),
        "ceiling: true clips": read_attributes(reader, [s.frames for s in held], [s.waveform for s in held]),
    }
    sources["floor: another clip"] = rolled(sources["ceiling: true clips"])
    for source, found in sources.items():
        shares = {n: round(float(np.mean([f[n] == w[n] for f, w in zip(found, wanted, strict=True)])), 3) for n in reader.classes}
        table[f"text followed, {source}"] = shares
        print(f"text followed, {source:47s} " + "  ".join(f"{n} {v:.3f}" for n, v in shares.items()), flush=True)
    print(f"{time.monotonic() - began:.0f} s for {options.count} held-out clips, {options.steps} steps")
    if options.json:
        options.json.write_text(json.dumps({"count": options.count, "steps": options.steps, "figures": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
