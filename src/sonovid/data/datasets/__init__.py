"""How public datasets lie on disk, once they are unpacked: a folder to entries with splits, stretches, labels and captions.

layout          what their readers share: files by name, lists, stretches of equal length
aist            AIST++: the crop of MM-Diffusion, or the raw videos with AIST++'s lists
audioset        AudioSet: ten seconds of sounds of 527 kinds
epic_sounds     EPIC-SOUNDS: kitchens of EPIC-KITCHENS-100 with the sounds in them
greatest_hits   Greatest Hits: a drumstick, with annotated hits
landscape       Landscape: nine kinds of nature
vggsound        VGGSound: ten seconds of one of 309 kinds of sound

Each has `read(folder, **options) -> list[Entry]`. Nothing is fetched: every dataset has its own terms and its own place.
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
    """Whether this names a dataset: aist:FOLDER, with options behind."""
    return source.partition(":")[0] in NAMES and ":" in source


def read(source: str) -> list[Entry]:
    """The entries of NAME:FOLDER[:option=value...], such as aist:data/AIST++_crop:split=train:label=music.

    Raises:
        ValueError: no such folder or option, or nothing in the folder that is this dataset's.
    """
    name, _, rest = source.partition(":")
    module = import_module(f"sonovid.data.datasets.{NAMES[name]}")
    options = {}
    # From the end: a folder's own name may have colons and equal signs in it.
    while not Path(rest).expanduser().is_dir() and "=" in rest.rpartition(":")[2] and ":" in rest:
        rest, _, option = rest.rpartition(":")
        key, _, value = option.partition("=")
        options[key] = value
    folder = Path(rest).expanduser()
    # An empty word would be the folder in which we happen to be.
    if not rest or not folder.is_dir():
        raise ValueError(f"data={source}: {rest or 'nothing'} is no folder; expected {usage(name, module)}")
    takes = inspect.signature(module.read).parameters
    if unknown := [key for key in options if key not in takes or key == "folder"]:
        raise ValueError(f"data={source}: no option {unknown[0]!r}; expected {usage(name, module)}")
    reader: Callable[..., list[Entry]] = module.read
    try:
        return reader(folder, **{key: _parse_option(key, value, takes[key].default) for key, value in options.items()})
    except ValueError as error:
        raise ValueError(f"data={source}: {error}") from None


def usage(name: str, module: ModuleType) -> str:
    """How a dataset is asked for, with its options and what they are when they are not given."""
    options = [p for p in inspect.signature(module.read).parameters.values() if p.name != "folder"]
    return f"{name}:FOLDER" + "".join(f"[:{p.name}={p.default}]" for p in options)


def _parse_option(key: str, value: str, default: object) -> object:
    """An option's value as its default is: a number where that is one."""
    if not isinstance(default, float):
        return value
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e6:
        raise ValueError(f"{key}={value}: expected seconds above zero")
    return number
