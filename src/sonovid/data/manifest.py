"""Reads training data as entries: a folder, a CSV or JSONL manifest, a public dataset or procedural scenes."""

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from sonovid.core import text_files
from sonovid.data import datasets, scenes
from sonovid.data.entry import Entry

log = logging.getLogger(__name__)

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".gif")
AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".m4a", ".opus")
# Column names with the aliases that are common in other manifests.
COLUMNS = {
    "path": ("path", "video", "media_path", "file"),
    "caption": ("caption", "text", "prompt"),
    "label": ("label", "class"),
    "start": ("start",),
    "seconds": ("seconds", "duration"),
    "events": ("events",),
}


def read(source: "str | Path", *, include_audio: bool = False) -> list[Entry]:
    """Reads the entries of a data source. Their order depends only on their names.

    A source is one of:

    - a folder, searched recursively. `clip.txt` beside `clip.mp4` is its caption, and `clip.json` may hold events, label and
    caption. - a .csv or .jsonl manifest, with paths relative to it. - a public dataset as it lies on disk, such as
    "aist:FOLDER:split=train" (see `sonovid.data.datasets`). - scenes, such as "scenes:hits+bounces:8000:seed=0": 8000 scenes of
    these worlds in turn, from this seed on.

    Args:
        source: The data source.
        include_audio: Whether to include audio files in a folder.

    Raises:
        ValueError: The source does not exist, is empty or is malformed. The message gives the line number.
    """
    if str(source).startswith("scenes:"):
        return _read_scenes(str(source))
    if datasets.is_dataset(str(source)):
        return datasets.read(str(source))
    path = Path(source).expanduser()
    if path.is_dir():
        entries = _read_folder(path, VIDEO_SUFFIXES + AUDIO_SUFFIXES if include_audio else VIDEO_SUFFIXES)
    elif not path.exists():
        raise ValueError(
            f"data={source}: no such folder or file; expected a folder of clips, a .csv or .jsonl manifest, scenes:... or a "
            f"dataset: {', '.join(f'{name}:FOLDER' for name in datasets.NAMES)}"
        )
    elif path.suffix == ".csv":
        entries = _read_rows(path, text_files.read_table(path))
    elif path.suffix in (".jsonl", ".ndjson"):
        entries = _read_rows(path, text_files.read_json_lines(path))
    else:
        raise ValueError(f"data={source}: expected a folder, a .csv or .jsonl manifest, or scenes:WORLD:COUNT")
    if not entries:
        kinds = "video or audio" if include_audio else "video"
        suffixes = " ".join(VIDEO_SUFFIXES + (AUDIO_SUFFIXES if include_audio else ()))
        raise ValueError(f"data={source}: no {kinds} files there; supported suffixes: {suffixes}")
    return entries


def split(entries: Sequence[Entry], share: float = 0.05) -> tuple[list[Entry], list[Entry]]:
    """Splits entries into training and held-out entries by a hash of each name, so that the split is stable when files are added.

    At least one file is held out if there are two or more, and none if that would hold out all.

    Args:
        entries: The entries.
        share: Held-out share, in [0, 1).
    """
    if not 0 <= share < 1:
        raise ValueError(f"share={share}: expected a held-out share in [0, 1)")
    places = [_hash_to_unit(entry.name or entry.path) for entry in entries]
    least = min(places, default=0.0)
    several = any(place != least for place in places)
    out = [place < share or (share > 0 and several and place == least) for place in places]
    if all(out):
        return list(entries), []
    training: list[Entry] = []
    held_out: list[Entry] = []
    for entry, away in zip(entries, out, strict=True):
        (held_out if away else training).append(entry)
    return training, held_out


def _hash_to_unit(name: str) -> float:
    """Hashes a name to a number in [0, 1), which decides whether the file is held out."""
    # Python represents file names that are not UTF-8 with surrogate escapes.
    digest = hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _read_scenes(source: str) -> list[Entry]:
    form = f"data={source}: expected scenes:WORLD[+WORLD...]:COUNT[:seed=N], such as scenes:hits+bounces:8000:seed=0"
    parts = source.split(":")
    seed = "seed=0" if len(parts) == 3 else parts[-1]
    if len(parts) not in (3, 4) or not parts[2].isdigit() or not seed.removeprefix("seed=").isdigit() or not int(parts[2]):
        raise ValueError(form)
    worlds, first = parts[1].split("+"), int(seed.removeprefix("seed="))
    for world in worlds:
        scenes.find(world)
    drawn = ((worlds[i % len(worlds)], first + i) for i in range(int(parts[2])))
    return [Entry("", name=f"{world}/{number}", scene=(world, number)) for world, number in drawn]


def _read_folder(folder: Path, suffixes: tuple[str, ...]) -> list[Entry]:
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    visible = (path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return [_entry_with_sidecars(path, folder) for path in sorted(visible, key=lambda path: path.relative_to(folder).as_posix())]


def _entry_with_sidecars(path: Path, folder: Path) -> Entry:
    """Builds the entry of a file from its .txt and .json files. Its folder is the label unless the .json file gives one."""
    name = path.relative_to(folder).as_posix()
    known: dict[str, Any] = {"label": path.parent.name if path.parent != folder else ""}
    words, facts = path.with_suffix(".txt"), path.with_suffix(".json")
    if words.is_file():
        known["caption"] = text_files.read_caption(words)
    if facts.is_file():
        found = text_files.read_json(facts)
        if not isinstance(found, dict):
            raise ValueError(f"{facts}: expected an object with events, label, caption")
        for key in ("caption", "label", "events"):
            if key in found:
                known.setdefault(key, found[key]) if key == "caption" else known.update({key: found[key]})
    return Entry(str(path), name=name, **_parse_values(str(facts), known))


def _read_rows(manifest: Path, rows: Iterable[tuple[int, Mapping[str, Any]]]) -> list[Entry]:
    entries: list[Entry] = []
    missing: list[tuple[int, Path]] = []
    passed_over: set[str] = set()
    for number, row in rows:
        where = f"{manifest} line {number}"
        known = _rename_columns(where, row, passed_over)
        path = Path(str(known.pop("path")))
        full = path if path.is_absolute() else manifest.parent / path
        if not full.is_file():
            missing.append((number, path))
        entries.append(Entry(str(full), name=path.as_posix(), **_parse_values(where, known)))
    if missing:
        shown = ", ".join(f"{path} (line {number})" for number, path in missing[:3])
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ValueError(f"{manifest}: no such files: {shown}{more}; paths are relative to {manifest.parent}")
    if passed_over:
        log.warning("%s: unknown columns ignored: %s", manifest, ", ".join(sorted(passed_over)))
    return entries


@lru_cache(maxsize=256)
def _match_column(column: str) -> tuple[str, str]:
    """Returns the canonical name of a column (or ""), and the known column that a misspelt one resembles (or "")."""
    aliases = {alias: name for name, names in COLUMNS.items() for alias in names}
    near = [] if column in aliases else get_close_matches(column, aliases, 1, cutoff=0.75)
    return aliases.get(column, ""), near[0] if near else ""


def _rename_columns(where: str, row: Mapping[str, Any], passed_over: set[str]) -> dict[str, Any]:
    """Returns a row with canonical column names.

    Raises:
        ValueError: There is no path, or a column resembles a known one.
    """
    known = {}
    for column, value in row.items():
        ours, near = _match_column(column)
        if ours:
            if value not in (None, ""):
                known[ours] = value
        elif near:
            raise ValueError(f"{where}: column {column!r}: did you mean {near!r}?")
        else:
            passed_over.add(column)
    if "path" not in known:
        raise ValueError(f"{where}: no path; expected one of the columns {', '.join(COLUMNS['path'])}")
    return known


def _parse_values(where: str, known: dict[str, Any]) -> dict[str, Any]:
    """Converts the values of a row to the types of `Entry`."""
    values: dict[str, Any] = {}
    for key in ("caption", "label"):
        try:
            values[key] = text_files.to_one_line(known.get(key) or "")
        except ValueError as error:
            raise ValueError(f"{where}: {key}: {error}") from None
    for key in ("start", "seconds"):
        if key in known:
            values[key] = _parse_seconds(where, key, known[key])
    if values.get("seconds") == 0:
        raise ValueError(f"{where}: seconds is 0; expected more, or none for the whole file")
    if known.get("events"):
        events = known["events"]
        if isinstance(events, str):
            events = events.replace(";", " ").replace(",", " ").strip("[] ").split()
        if not isinstance(events, list):
            raise ValueError(f"{where}: events={events!r}: expected times in seconds")
        values["events"] = tuple(_parse_seconds(where, "events", value) for value in events)
    return values


def _parse_seconds(where: str, key: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number < 1e9:
        raise ValueError(f"{where}: {key}={value!r}: expected seconds from zero up")
    return number
