"""Writes entries as a manifest that `manifest.read` reads."""

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sonovid.core import atomic
from sonovid.data.entry import Entry

SUFFIXES = (".jsonl", ".csv")


def write(path: "str | os.PathLike", entries: Sequence[Entry], extra: "Mapping[str, Mapping[str, Any]] | None" = None) -> None:
    """Writes entries as a .jsonl or .csv file, atomically. Files below the folder of the manifest get relative paths.

    Args:
        path: The manifest.
        entries: The entries.
        extra: Additional columns: values by the names of the entries.

    Raises:
        ValueError: The suffix is unknown, or an entry is a scene, which has no file.
    """
    path = Path(path)
    check_path(path)
    if scene := next((entry for entry in entries if entry.scene), None):
        raise ValueError(f"{path}: {scene.name} is a scene and has no file; a manifest lists files")
    rows = [entry_to_row(entry, path.absolute().parent) | _extra_columns(entry, extra or {}) for entry in entries]
    if path.suffix == ".jsonl":
        atomic.write_text(path, "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows))
        return
    text = io.StringIO()
    columns = list(dict.fromkeys(["path", *(key for one in rows for key in one)]))
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for one in rows:
        writer.writerow({key: " ".join(map(str, value)) if isinstance(value, list) else value for key, value in one.items()})
    atomic.write_text(path, text.getvalue())


def check_path(path: Path) -> None:
    """Raises ValueError if no manifest can be written to this path."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: a manifest is {' or '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: the folder {path.parent} does not exist; create it first")


def entry_to_row(entry: Entry, folder: Path) -> dict[str, Any]:
    """Returns the columns of an entry without empty values."""
    file = Path(entry.path).absolute()
    shown = file.relative_to(folder).as_posix() if file.is_relative_to(folder) else str(file)
    found: dict[str, Any] = {"path": shown, "caption": entry.caption, "label": entry.label, "start": entry.start or None}
    found |= {"seconds": entry.seconds, "events": list(entry.events)}
    return {key: value for key, value in found.items() if value not in (None, "", [])}


def _extra_columns(entry: Entry, extra: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {column: values[entry.name] for column, values in extra.items() if entry.name in values}
