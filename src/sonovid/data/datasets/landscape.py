"""Landscape (Lee et al. 2022): nine kinds of sounding nature, as MM-Diffusion shares it (train/, test/) or a folder for each."""

from pathlib import Path

from sonovid.data.datasets import layout
from sonovid.data.entry import Entry

CLASSES = (
    "explosion",
    "fire crackling",
    "raining",
    "splashing water",
    "squishing water",
    "thunder",
    "underwater bubbling",
    "waterfall burbling",
    "wind noise",
)


def read(folder: Path, *, split: str = "train") -> list[Entry]:
    """The videos of a split, whole; the kind is label and caption, from the folder's or the file's name, where either has it.

    split: train, test, or all; the released set has no other. SVG holds out a tenth of all by itself: take all, and hold out.

    Raises:
        ValueError: no such split, or no videos.
    """
    layout.check_split(split, ("train", "test", "all"))
    paths = layout.find_videos(folder)
    if not paths:
        raise ValueError("no videos there")
    entries = []
    for path in layout.filter_split(paths, folder, split):
        kind = _class_from_path(path.relative_to(folder))
        entries.append(Entry(str(path), kind, kind, name=path.relative_to(folder).as_posix()))
    return entries


def _class_from_path(path: Path) -> str:
    """The class that a path names, nearest part first; empty where none does."""
    for part in (path.stem, *reversed(path.parts[:-1])):
        plain = " ".join(part.lower().replace("_", " ").replace("-", " ").split())
        if found := [name for name in CLASSES if plain.startswith(name)]:
            return found[0]
    return ""
