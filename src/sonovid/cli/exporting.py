"""Entries of any source as files of their own: stretches and scenes cut out, for what reads whole files."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any


def named(entries: Sequence[Any]) -> list[Any]:
    """The entries with names of their own: those of stretches of one file are told apart by where they begin."""
    found, seen = [], set()
    for number, entry in enumerate(entries):
        name = entry.name or Path(entry.path).name
        if entry.start or entry.seconds is not None:
            name = f"{name.removesuffix(Path(name).suffix)}-{round(1000 * entry.start):08d}{Path(name).suffix}"
        name = f"{name}#{number}" if name in seen else name
        seen.add(name)
        found.append(replace(entry, name=name))
    return found


def export(entries: Sequence[Any], folder: Path, *, geometry: Any = None) -> list[Any]:
    """Each entry as a file below a folder, its caption and events beside it; what is there already is kept.

    Args:
        entries: with names of their own, as `named` gives them; those that are whole files are not copied unless there is a
            geometry. folder: where files are written, lossless (.mkv), or .mp4 at a geometry.
        geometry: frames, rate and size that clips are brought to; None: as they are.

    Returns:
        Entries of whole files, in the same order and under the same names; those that cannot be read are left out.
    """
    import json

    from sonovid import media
    from sonovid.core import atomic
    from sonovid.data import clips

    found = []
    for entry in entries:
        whole = not (entry.scene or entry.start or entry.seconds is not None)
        if whole and geometry is None:
            found.append(entry)
            continue
        path = folder / f"{entry.name.removesuffix(Path(entry.name).suffix)}{'.mp4' if geometry else '.mkv'}"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                if geometry is not None:
                    clip = clips.load(clips.Window(entry, entry.start), geometry)
                else:
                    clip = media.read(entry.path, start=entry.start, seconds=entry.seconds)
            except media.MediaError as error:
                clips.log.warning("left out: %s: %s", entry.name, error)
                continue
            media.write(path, clip)
        if entry.caption:
            atomic.write_text(path.with_suffix(".txt"), entry.caption + "\n")
        atomic.write_text(path.with_suffix(".json"), json.dumps({"label": entry.label, "events": list(entry.events)}) + "\n")
        found.append(replace(entry, path=str(path), start=0.0, seconds=None, scene=None))
    return found


def is_cut(source: str) -> bool:
    """Whether a source names a dataset, of whose files some are cut into clips, rather than a folder or a list."""
    from sonovid.data import sources

    return sources.known(source)


@contextmanager
def as_files(source: str) -> Iterator[str]:
    """A source as what `evaluate` takes: itself, or, of a dataset, a list of its clips, stretches cut out into a folder aside."""
    if not is_cut(source):
        yield source
        return
    from sonovid.data import listing, manifest

    with tempfile.TemporaryDirectory() as aside:
        entries = export(named(manifest.read(source)), Path(aside) / "clips")
        listed = Path(aside) / "clips.jsonl"
        listing.write(listed, entries, {"name": {one.name: one.name.removesuffix(Path(one.name).suffix) for one in entries}})
        yield str(listed)
