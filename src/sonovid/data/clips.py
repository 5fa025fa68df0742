"""Entries to clips of one geometry: windows of files and rendered scenes, by a pool of processes, in order."""

import json
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from sonovid import media
from sonovid.core import atomic, progress
from sonovid.core.av import AV
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry, duration
from sonovid.core.processes import process_pool
from sonovid.data import probes, scenes
from sonovid.data.manifest import Entry

log = logging.getLogger(__name__)

BOTH = AV(video=True, audio=True)


@dataclass(frozen=True, slots=True)
class Window:
    """One clip to be: an entry, and where in its file it begins, in seconds."""

    entry: Entry
    start: float = 0.0


def find_windows(
    entries: Sequence[Entry], geometry: Geometry, *, streams: AV = BOTH, most: int | None = None, workers: int = 0
) -> list[Window]:
    """The stretches of `geometry`'s length that the entries hold, one after the other, at most `most` of each.

    Files that are too short, lack one of the `streams` asked for or cannot be read are left out, and counted in the log.
    """
    found: list[Window] = []
    left_out: dict[str, list[str]] = {}
    known = probes.probe_files((entry.path for entry in entries if entry.scene is None), workers=workers)
    # Containers round their lengths; half a frame is forgiven, and the last picture then shows that much longer.
    slack, seconds = duration(1, geometry.fps) / 2, float(geometry.seconds)
    for entry in entries:
        length = _usable_seconds(entry, known.get(entry.path), streams)
        if isinstance(length, str):
            left_out.setdefault(length, []).append(entry.name or entry.path)
            continue
        count = 1 if math.isinf(length) else math.floor((Fraction(length) + slack) / geometry.seconds)
        if count == 0:
            left_out.setdefault(f"shorter than {seconds:g} s", []).append(entry.name or entry.path)
        found += [Window(entry, entry.start + float(i * geometry.seconds)) for i in range(min(count, most or count))]
    for reason, names in left_out.items():
        log.warning("left out %d of %d files, %s: %s", len(names), len(entries), reason, ", ".join(names[:3]))
    if not found:
        reasons = "; ".join(f"{len(names)} {reason}" for reason, names in left_out.items()) or "there are no entries"
        raise ValueError(f"data: no clip of {float(geometry.seconds):g} s can be had: {reasons}")
    return found


def _usable_seconds(entry: Entry, extent: "probes.Extent | None", streams: AV) -> float | str:
    """How many seconds an entry holds, infinitely many for a scene, or why it cannot be used."""
    if entry.scene is not None:
        return math.inf
    if extent is None:
        return "not readable"
    if streams.video and not extent.video:
        return "without pictures"
    if streams.audio and not extent.audio:
        return "without sound"
    left = extent.seconds - entry.start
    return left if entry.seconds is None else min(left, entry.seconds)


def window_events(window: Window, geometry: Geometry) -> tuple[float, ...]:
    """The times of an entry's known events from the beginning of the window, in seconds."""
    offset = window.start - window.entry.start
    return tuple(t - offset for t in window.entry.events if 0 <= t - offset < geometry.seconds)


def load_clip(window: Window, geometry: Geometry, streams: AV = BOTH) -> Clip:
    """One clip of exactly this geometry, mono; a stream that is not asked for is None.

    Raises:
        ValueError: the file cannot be read, or ends early.
    """
    entry = window.entry
    if entry.scene is not None:
        clip = scenes.render(*entry.scene, geometry)
        return replace(clip, frames=clip.frames if streams.video else None, waveform=clip.waveform if streams.audio else None)
    clip = media.read(
        entry.path,
        fps=geometry.fps,
        size=(geometry.height, geometry.width),
        sample_rate=geometry.sample_rate,
        mono=True,
        start=window.start,
        seconds=geometry.seconds,
        video=streams.video,
        audio=streams.audio,
    )
    frames, waveform = clip.frames, clip.waveform
    if streams.video:
        assert frames is not None
        if len(frames) < geometry.num_frames - 1:
            raise ValueError(f"{entry.path}: ends {geometry.num_frames - len(frames)} frames early")
        frames = np.concatenate([frames, frames[-1:]])[: geometry.num_frames]
    if streams.audio:
        if waveform is None:
            raise ValueError(f"{entry.path}: no sound from {window.start:g} s on")
        short = geometry.num_samples - waveform.shape[1]
        if short > geometry.sample_rate / geometry.fps:
            raise ValueError(f"{entry.path}: its sound ends {short / geometry.sample_rate:.2f} s early")
        waveform = np.pad(waveform, ((0, 0), (0, max(0, short))))[:, : geometry.num_samples]
    known = (entry.caption, entry.label, window_events(window, geometry))
    return Clip(frames, waveform, geometry.fps, geometry.sample_rate, *known)


def stream_clips(
    windows: Sequence[Window], geometry: Geometry, *, streams: AV = BOTH, workers: int = 0
) -> Iterator[tuple[Window, Clip | None]]:
    """Each window with its clip, in order whatever the number of processes; None where the file turned out to be faulty."""
    with process_pool(workers) as run:
        yield from zip(windows, run(partial(try_load_clip, geometry=geometry, streams=streams), windows), strict=True)


def try_load_clip(window: Window, geometry: Geometry, streams: AV) -> Clip | None:
    try:
        return load_clip(window, geometry, streams)
    except ValueError as error:
        log.warning("left out: %s", error)
        return None


def write_scenes(
    out: "str | Path", world: str, count: int, seed: int, geometry: Geometry, *, workers: int = 0, quiet: bool = False
) -> Path:
    """Render `count` scenes of a world, from `seed` on, into a folder that trains as it is, and return its manifest.

    Each is an mp4 with its caption (.txt) and its event times, label and attributes (.json); `manifest.jsonl` names them all.
    What lies there already is kept, so that an interrupted call is finished by calling again.

    Raises:
        ValueError: no such world, or a folder that holds scenes of another extent.
    """
    if count < 1:
        raise ValueError(f"count={count}: expected at least one scene")
    scenes.find(world)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    _check_geometry(out, geometry)
    render = partial(_write_scene, out=str(out), world=world, geometry=geometry)
    with process_pool(workers) as run:
        seeds = run(render, range(seed, seed + count))
        for _ in progress.bar(seeds, desc=f"scenes {world}", total=count, unit="clip", quiet=quiet):
            pass
    lines = []
    for path in sorted(out.glob("*.json")):
        if path.with_suffix(".mp4").is_file():
            facts = json.loads(path.read_text())
            lines.append(json.dumps({"path": path.with_suffix(".mp4").name, **facts}) + "\n")
    atomic.write_text(out / "manifest.jsonl", "".join(lines))
    return out / "manifest.jsonl"


def _check_geometry(out: Path, geometry: Geometry) -> None:
    """Refuse to mix scenes of several extents in a folder."""
    path, wanted = out / ".geometry", geometry.to_config()
    if path.is_file() and (found := json.loads(path.read_text())) != wanted:
        raise ValueError(f"{out}: holds scenes of {found}, not {wanted}; take another folder")
    atomic.write_text(path, json.dumps(wanted))


def _write_scene(number: int, out: str, world: str, geometry: Geometry) -> None:
    path = Path(out) / f"{world}-{number:07d}.mp4"
    facts = path.with_suffix(".json")
    if path.is_file() and facts.is_file() and path.with_suffix(".txt").is_file():
        return
    clip = scenes.render(world, number, geometry)
    media.write(path, clip, overwrite=True)
    atomic.write_text(path.with_suffix(".txt"), clip.caption + "\n")
    # Last, so that a scene with its facts is a whole one.
    known = {"caption": clip.caption, "label": clip.label, "events": list(clip.events)}
    atomic.write_text(
        facts, json.dumps({**known, "world": world, "seed": number, "attributes": scenes.attributes(world, number)})
    )
