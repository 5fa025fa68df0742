"""Facts of clips, manifests and training runs for sonovid info."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# The most files that are opened, evenly spaced. With more files, durations and sizes are estimates.
MAX_PROBED = 100
MANIFEST_SUFFIXES = (".csv", ".jsonl", ".ndjson")


def describe_source(what: str) -> dict[str, Any] | None:
    """Facts of a training run, a manifest, a dataset or a folder of clips by name. None if `what` is none of these."""
    from sonovid.data import datasets, manifest

    path = Path(what).expanduser()
    if path.is_dir() and (path / "recipe.json").is_file() and not (path / "config.json").exists():
        return None if (path / "model_index.json").exists() else describe_run(path)
    if datasets.is_dataset(what) or (path.is_file() and path.suffix.lower() in MANIFEST_SUFFIXES):
        return describe_clips(what)
    if path.is_dir() and not (path / "model_index.json").exists() and not (path / "config.json").exists():
        known = (*manifest.VIDEO_SUFFIXES, *manifest.AUDIO_SUFFIXES)
        return describe_clips(what) if any(one.suffix.lower() in known for one in path.rglob("*")) else None
    return None


def describe_run(folder: Path) -> dict[str, Any]:
    """Recipe, progress, last losses, checkpoints and clips of a training run."""
    from sonovid.core import text_files

    recipe = text_files.read_json(folder / "recipe.json")
    found: dict[str, Any] = {
        "run": folder,
        "recipe": recipe.get("name", "unknown"),
        "data": recipe.get("data", {}).get("path", ""),
    }
    lines = [row for _, row in text_files.read_json_lines(folder / "log.jsonl")] if (folder / "log.jsonl").is_file() else []
    steps = recipe.get("training", {}).get("steps")
    reached = max((row.get("step", 0) for row in lines), default=0)
    found["steps"] = f"{reached:,} of {steps:,}" if steps else f"{reached:,}"
    for kind, title in (("train", "losses"), ("validation", "held-out losses")):
        last: dict[str, Any] = next((row for row in reversed(lines) if row.get("kind") == kind), {})
        losses = {name.removeprefix("loss/"): value for name, value in last.items() if name.startswith("loss/")}
        if losses:
            found[title] = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
    if minutes := next((row["minutes"] for row in reversed(lines) if "minutes" in row), None):
        found["time"] = f"{minutes:.1f} minutes"
    checkpoints = sorted(path.name for path in folder.glob("checkpoint-*") if path.is_dir())
    found["checkpoints"] = ", ".join(checkpoints) or "none"
    found["model"] = folder / "model" if (folder / "model").is_dir() else "none yet"
    clips = folder / "clips.txt"
    if clips.is_file():
        found["clips"] = f"{sum(1 for _ in text_files.read_lines(clips)):,}"
    if (folder / "codecs.json").is_file():
        loss = json.loads((folder / "codecs.json").read_text(encoding="utf-8"))
        found["codecs"] = f"pictures {loss['psnr']:.1f} dB, sounds {loss['distance']:.1f} dB off, onsets F1 {loss['onsets']:.2f}"
    return found


def describe_clips(source: str) -> dict[str, Any]:
    """Number of clips, their annotations, durations and sizes.

    Raises:
        ValueError: no clips there, or a faulty manifest.
    """
    from sonovid.data import manifest, probes

    entries = manifest.read(source, include_audio=True)
    captions, labels = sum(bool(entry.caption) for entry in entries), Counter(entry.label for entry in entries if entry.label)
    found: dict[str, Any] = {"clips": f"{len(entries):,}", "captions": f"{captions:,} of {len(entries):,}"}
    if labels:
        named = ", ".join(label for label, _ in labels.most_common(5)) + (", ..." if len(labels) > 5 else "")
        found["labels"] = f"{len(labels)} kinds: {named}"
    if events := sum(bool(entry.events) for entry in entries):
        found["events"] = f"in {events:,}"
    files = list(dict.fromkeys(entry.path for entry in entries))
    opened = files[:: -(-len(files) // MAX_PROBED)]
    extents = probes.probe_files(opened)
    if not extents:
        return {**found, "files": f"{len(files):,}, of which {len(opened)} were opened and none can be read"}
    seconds = sum(extent.seconds for extent in extents.values()) / len(extents) * len(files)
    found["files"] = f"{len(files):,}, {'about ' if len(opened) < len(files) else ''}{_format_duration(seconds)}"
    return found | _describe_streams(opened, extents, len(opened) < len(files))


def _describe_streams(opened: Sequence[str], extents: dict[str, Any], sampled: bool) -> dict[str, Any]:
    """Frame sizes, rates and missing streams of the opened files."""
    from sonovid import media

    found: dict[str, Any] = {}
    of = f" of {len(opened)} that were opened" if sampled else ""
    infos = [media.probe(path) for path in list(extents)[:10]]
    sizes = dict.fromkeys(f"{info.size[1]}x{info.size[0]} at {info.fps} per second" for info in infos if info.size)
    rates = dict.fromkeys(f"{info.sample_rate} Hz" for info in infos if info.sample_rate)
    for name, kinds in (("pictures", list(sizes)), ("sound", list(rates))):
        if kinds:
            found[name] = ", ".join(kinds[:3]) + (" and others" if len(kinds) > 3 else "")
    lacking = {
        "unreadable": len(opened) - len(extents),
        "without pictures": sum(not extent.video for extent in extents.values()),
        "without sound": sum(not extent.audio for extent in extents.values()),
    }
    return found | {name: f"{count}{of}" for name, count in lacking.items() if count}


def _format_duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
