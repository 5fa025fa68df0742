"""Clips of any source as files: excerpts and scenes are written out for code that reads whole files."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any


def name_entries(entries: Sequence[Any]) -> list[Any]:
    """The entries with unique names: excerpts of a file are named by their start in milliseconds."""
    exported, seen = [], set()
    for number, entry in enumerate(entries):
        name = entry.name or Path(entry.path).name
        if entry.start or entry.seconds is not None:
            name = f"{name.removesuffix(Path(name).suffix)}-{round(1000 * entry.start):08d}{Path(name).suffix}"
        name = f"{name}#{number}" if name in seen else name
        seen.add(name)
        exported.append(replace(entry, name=name))
    return exported


def export_clips(entries: Sequence[Any], folder: Path, *, geometry: Any = None) -> list[Any]:
    """Write each entry as a file, with its caption (.txt) and events (.json) beside it. Existing files are kept.

    Args:
        entries: Entries with unique names, as from `name_entries`. Entries that are whole files are not copied unless there is a
            geometry.
        folder: Output folder. Files are lossless (.mkv), or .mp4 with a geometry.
        geometry: Frames, rate and size that clips are converted to; None: unchanged.

    Returns:
        Entries of whole files in the same order and under the same names, without those that cannot be read.
    """
    import json

    from sonovid import media
    from sonovid.core import atomic
    from sonovid.data import clips

    exported = []
    for entry in entries:
        is_whole_file = not (entry.scene or entry.start or entry.seconds is not None)
        if is_whole_file and geometry is None:
            exported.append(entry)
            continue
        path = folder / f"{entry.name.removesuffix(Path(entry.name).suffix)}{'.mp4' if geometry else '.mkv'}"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                if geometry is not None:
                    clip = clips.load_clip(clips.Window(entry, entry.start), geometry)
                else:
                    clip = media.read(entry.path, start=entry.start, seconds=entry.seconds)
            except media.MediaError as error:
                clips.log.warning("skipped: %s: %s", entry.name, error)
                continue
            media.write(path, clip)
        if entry.caption:
            atomic.write_text(path.with_suffix(".txt"), entry.caption + "\n")
        atomic.write_text(path.with_suffix(".json"), json.dumps({"label": entry.label, "events": list(entry.events)}) + "\n")
        exported.append(replace(entry, path=str(path), start=0.0, seconds=None, scene=None))
    return exported


@contextmanager
def as_clip_files(source: str) -> Iterator[str]:
    """The source itself or, for a dataset, the path of a temporary list of its clips, with excerpts written as files."""
    from sonovid.data import datasets

    if not datasets.is_dataset(source):
        yield source
        return
    import tempfile

    from sonovid.data import manifest, manifest_writer

    with tempfile.TemporaryDirectory() as folder:
        entries = export_clips(name_entries(manifest.read(source)), Path(folder) / "clips")
        list_path = Path(folder) / "clips.jsonl"
        manifest_writer.write(
            list_path, entries, {"name": {one.name: one.name.removesuffix(Path(one.name).suffix) for one in entries}}
        )
        yield str(list_path)
