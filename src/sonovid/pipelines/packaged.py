"""The model that comes inside the package."""

from pathlib import Path

NAME = "shipped"
FOLDER = Path(__file__).parents[1] / "weights"


def folder() -> Path:
    """The folder of the packaged model.

    Raises:
        ValueError: this installation has none.
    """
    if not (FOLDER / "model_index.json").is_file():
        raise ValueError(
            "this installation of sonovid has no packaged model: name one, as a folder or as a repository of the Hub"
        )
    return FOLDER
