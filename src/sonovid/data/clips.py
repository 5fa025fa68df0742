"""Cuts entries into windows of one geometry and loads them as clips with a process pool, in order."""

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
from sonovid.core import atomic, progress, renamed
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
    """A clip to be loaded.

    Attributes:
        entry: The entry it belongs to.
        start: Its beginning in the file, in seconds.
    """

    entry: Entry
    start: float = 0.0


def find_windows(
    entries: Sequence[Entry], geometry: Geometry, *, streams: AV = BOTH, max_per_entry: int | None = None, workers: int = 0
) -> list[Window]:
    """Cuts entries into consecutive windows of the length of `geometry`.

    Files that are too short, lack a required stream or cannot be read are skipped and counted in the log.

    Args:
        entries: The entries.
        geometry: Geometry of the windows.
        streams: The required streams.
        max_per_entry: Largest number of windows per entry. None: all.
        workers: Number of processes that probe files.

    Raises:
        ValueError: There is no window.
    """
    found: list[Window] = []
    skipped: dict[str, list[str]] = {}
    probed = probes.probe_files((entry.path for entry in entries if entry.scene is None), workers=workers)
    # Containers round durations. Half a frame is tolerated, and the last frame is then held that much longer.
    slack, seconds = duration(1, geometry.fps) / 2, float(geometry.seconds)
    for entry in entries:
        length = _usable_seconds(entry, probed.get(entry.path), streams)
        if isinstance(length, str):
            skipped.setdefault(length, []).append(entry.name or entry.path)
            continue
        count = 1 if math.isinf(length) else math.floor((Fraction(length) + slack) / geometry.seconds)
        if count == 0:
            skipped.setdefault(f"shorter than {seconds:g} s", []).append(entry.name or entry.path)
        found += [Window(entry, entry.start + float(i * geometry.seconds)) for i in range(min(count, max_per_entry or count))]
    for reason, names in skipped.items():
        log.warning("skipped %d of %d files, %s: %s", len(names), len(entries), reason, ", ".join(names[:3]))
    if not found:
        reasons = "; ".join(f"{len(names)} {reason}" for reason, names in skipped.items()) or "there are no entries"
        raise ValueError(f"data: no clip of {float(geometry.seconds):g} s found: {reasons}")
    return found


def _usable_seconds(entry: Entry, result: "probes.ProbeResult | None", streams: AV) -> float | str:
    """Duration of an entry in seconds (infinite for a scene), or the reason why it cannot be used."""
    if entry.scene is not None:
        return math.inf
    if result is None:
        return "not readable"
    if streams.video and not result.video:
        return "without video"
    if streams.audio and not result.audio:
        return "without audio"
    left = result.seconds - entry.start
    return left if entry.seconds is None else min(left, entry.seconds)


def window_events(window: Window, geometry: Geometry) -> tuple[float, ...]:
    """Times of the events of an entry that lie in a window, in seconds from its beginning."""
    offset = window.start - window.entry.start
    return tuple(t - offset for t in window.entry.events if 0 <= t - offset < geometry.seconds)


def load_clip(window: Window, geometry: Geometry, streams: AV = BOTH) -> Clip:
    """Loads a window as a mono clip of exactly this geometry. Streams that are not requested are None.

    Raises:
        ValueError: The file cannot be read or ends early.
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
            raise ValueError(f"{entry.path}: no audio from {window.start:g} s on")
        short = geometry.num_samples - waveform.shape[1]
        if short > geometry.sample_rate / geometry.fps:
            raise ValueError(f"{entry.path}: its audio ends {short / geometry.sample_rate:.2f} s early")
        waveform = np.pad(waveform, ((0, 0), (0, max(0, short))))[:, : geometry.num_samples]
    annotations = (entry.caption, entry.label, window_events(window, geometry))
    return Clip(frames, waveform, geometry.fps, geometry.sample_rate, *annotations)


def stream_clips(
    windows: Sequence[Window], geometry: Geometry, *, streams: AV = BOTH, workers: int = 0
) -> Iterator[tuple[Window, Clip | None]]:
    """Loads windows in order with a process pool.

    Yields:
        Each window with its clip, or with None if the file is faulty.
    """
    with process_pool(workers) as run:
        yield from zip(windows, run(partial(try_load_clip, geometry=geometry, streams=streams), windows), strict=True)


def try_load_clip(window: Window, geometry: Geometry, streams: AV) -> Clip | None:
    """Loads a clip, or logs the fault and returns None."""
    try:
        return load_clip(window, geometry, streams)
    except ValueError as error:
        log.warning("skipped: %s", error)
        return None


def write_scenes(
    out: "str | Path", world: str, count: int, seed: int, geometry: Geometry, *, workers: int = 0, quiet: bool = False
) -> Path:
    """Renders scenes of a world into a folder that can be trained on directly.

    Each scene is an mp4 with its caption (.txt) and its event times, label and attributes (.json). `manifest.jsonl` lists them
    all. Existing scenes are kept, so that an interrupted call can be resumed.

    Args:
        out: The folder.
        world: Name of the world.
        count: Number of scenes.
        seed: First seed.
        geometry: Geometry of the clips.
        workers: Number of processes.
        quiet: Whether to hide the progress bar.

    Returns:
        Path of the manifest.

    Raises:
        ValueError: The world does not exist, or the folder contains scenes of another geometry.
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
    """Raises ValueError if a folder contains scenes of another geometry."""
    path, wanted = out / ".geometry", geometry.to_config()
    if path.is_file() and (found := json.loads(path.read_text())) != wanted:
        raise ValueError(f"{out}: contains scenes of {found}, not {wanted}; use another folder")
    atomic.write_text(path, json.dumps(wanted))


def _write_scene(number: int, out: str, world: str, geometry: Geometry) -> None:
    path = Path(out) / f"{world}-{number:07d}.mp4"
    facts = path.with_suffix(".json")
    if path.is_file() and facts.is_file() and path.with_suffix(".txt").is_file():
        return
    clip = scenes.render(world, number, geometry)
    media.write(path, clip, overwrite=True)
    atomic.write_text(path.with_suffix(".txt"), clip.caption + "\n")
    # The .json file is written last and marks the scene as complete.
    info = {"caption": clip.caption, "label": clip.label, "events": list(clip.events)}
    atomic.write_text(facts, json.dumps({**info, "world": world, "seed": number, "attributes": scenes.attributes(world, number)}))


__getattr__ = renamed.attributes(__name__, {"load": "load_clip", "stream": "stream_clips", "windows": "find_windows"})
