"""Landscape (Lee et al. 2022): nature scenes of nine classes, as MM-Diffusion shares it (train/, test/) or a folder per class."""

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
    """Reads whole videos. Label and caption are the class, taken from the name of the file or folder; empty if neither names one.

    Args:
        folder: Folder of the dataset.
        split: train, test or all. The released set has no other. SVG holds out a tenth of all videos: use all and a held-out
            share.

    Raises:
        ValueError: The split does not exist, or there are no videos.
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
    """The class that a path names, searched from the file name upwards. Empty if there is none."""
    for part in (path.stem, *reversed(path.parts[:-1])):
        plain = " ".join(part.lower().replace("_", " ").replace("-", " ").split())
        if found := [name for name in CLASSES if plain.startswith(name)]:
            return found[0]
    return ""
