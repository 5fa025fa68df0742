"""Readers for public datasets as they lie on disk: a folder to entries with splits, time ranges, labels and captions.

layout          shared functions: finding files, reading lists, cutting segments
aist            AIST++: the crop of MM-Diffusion, or the raw videos with the lists of AIST++
audioset        AudioSet: clips of ten seconds with 527 classes of sounds
epic_sounds     EPIC-SOUNDS: the videos of EPIC-KITCHENS-100 with annotated sounds
greatest_hits   Greatest Hits: drumstick hits with annotated contacts
landscape       Landscape: nine classes of nature scenes
vggsound        VGGSound: clips of ten seconds with one of 309 classes of sounds

Each module has `read(folder, **options) -> list[Entry]`. Nothing is downloaded: every dataset has its own terms and location.
"""

import inspect
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

from sonovid.data.entry import Entry

NAMES = {
    "aist": "aist",
    "audioset": "audioset",
    "epic-sounds": "epic_sounds",
    "greatest-hits": "greatest_hits",
    "landscape": "landscape",
    "vggsound": "vggsound",
}


def is_dataset(source: str) -> bool:
    """Whether a data source names a dataset: aist:FOLDER, with options."""
    return source.partition(":")[0] in NAMES and ":" in source


def read(source: str) -> list[Entry]:
    """Reads the entries of a dataset.

    Args:
        source: NAME:FOLDER[:option=value...], such as aist:data/AIST++_crop:split=train:label=music.

    Raises:
        ValueError: The folder or option does not exist, or the folder contains nothing of this dataset.
    """
    name, _, rest = source.partition(":")
    module = import_module(f"sonovid.data.datasets.{NAMES[name]}")
    options = {}
    # Options are split off from the end, since a folder name may contain colons and equal signs.
    while not Path(rest).expanduser().is_dir() and "=" in rest.rpartition(":")[2] and ":" in rest:
        rest, _, option = rest.rpartition(":")
        key, _, value = option.partition("=")
        options[key] = value
    folder = Path(rest).expanduser()
    # An empty name would mean the current folder.
    if not rest or not folder.is_dir():
        raise ValueError(f"data={source}: {rest or 'nothing'} is not a folder; expected {usage(name, module)}")
    takes = inspect.signature(module.read).parameters
    if unknown := [key for key in options if key not in takes or key == "folder"]:
        raise ValueError(f"data={source}: no option {unknown[0]!r}; expected {usage(name, module)}")
    reader: Callable[..., list[Entry]] = module.read
    try:
        return reader(folder, **{key: _parse_option(key, value, takes[key].default) for key, value in options.items()})
    except ValueError as error:
        raise ValueError(f"data={source}: {error}") from None


def usage(name: str, module: ModuleType) -> str:
    """How a dataset is specified, with its options and their defaults."""
    options = [p for p in inspect.signature(module.read).parameters.values() if p.name != "folder"]
    return f"{name}:FOLDER" + "".join(f"[:{p.name}={p.default}]" for p in options)


def _parse_option(key: str, value: str, default: object) -> object:
    """Converts the value of an option to the type of its default."""
    if not isinstance(default, float):
        return value
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e6:
        raise ValueError(f"{key}={value}: expected seconds above zero")
    return number
