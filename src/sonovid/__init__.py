"""Sonovid: models of sounding video, trained, run and measured in one place."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["AV", "Clip", "Geometry", "SoundingVideoOutput", "SoundingVideoPipeline", "Task", "__version__"]

# Public names and where they live: fetched when they are asked for, so that the command line starts at once.
_HOMES = {
    "AV": "av",
    "Clip": "clip",
    "Geometry": "geometry",
    "SoundingVideoOutput": "pipeline",
    "SoundingVideoPipeline": "pipeline",
    "Task": "av",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sonovid' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"sonovid.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
