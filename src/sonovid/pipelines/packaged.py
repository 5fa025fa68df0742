"""The models inside the package, by name."""

import json
import os
from pathlib import Path

# The default model: three worlds of scenes at 96x96 and 16 frames per second.
NAME = "packaged"
# A model of two worlds at 64x64 and 8 frames per second, the geometry in which the systems are compared. Its codecs are the
# default of the recipes of scenes.
SMALL = "uniform"
NAMES = (NAME, SMALL)
# Former names. "shipped" as the source of a codec means `SMALL` (recipes.components).
FORMER_NAMES = {"shipped": NAME}
FOLDER = Path(__file__).parents[1] / "weights"


def is_packaged(model: "str | os.PathLike") -> bool:
    """Whether `model` names a packaged model."""
    return model in NAMES or model in FORMER_NAMES


def folder(name: "str | os.PathLike" = NAME) -> Path:
    """The folder of a packaged model.

    Args:
        name: one of `NAMES` or `FORMER_NAMES`.

    Raises:
        ValueError: this installation does not have it.
    """
    path = FOLDER / FORMER_NAMES.get(os.fspath(name), os.fspath(name))
    if not (path / "model_index.json").is_file():
        raise ValueError(
            f"this installation of sonovid does not have the packaged model {os.fspath(name)!r}: name a folder, or a repository "
            "of the Hub"
        )
    return path


def component_folder(model: Path, name: str) -> Path:
    """The folder of a component of a model folder.

    Packaged models share codecs: "shared" in the index of one maps a component to the packaged model that holds it. This is only
    followed within the package, so no other folder can name files outside it.

    Args:
        model: a model folder.
        name: name of the component.
    """
    own = model / name
    if own.is_dir() or model.parent != FOLDER:
        return own
    shared = json.loads((model / "model_index.json").read_text(encoding="utf-8")).get("shared", {})
    return FOLDER / shared[name] / name if shared.get(name) in NAMES else own
