"""Saving and loading of codecs with several components: settings in `config.json`, each component in a subfolder."""

import importlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sonovid.core import atomic

CONFIG = "config.json"


def save(codec: Any, folder: "str | os.PathLike", settings: Mapping[str, Any], parts: Sequence[str], **options: Any) -> None:
    """Save the components of a codec, then its settings and class name. Weights are saved as safetensors only.

    Args:
        codec: The codec.
        folder: Folder to save to.
        settings: Entries of `config.json`.
        parts: Names of the attributes of `codec` that are components.
        **options: Passed to `save_pretrained` of each component.
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    for name in parts:
        getattr(codec, name).save_pretrained(path / name, **options)
    atomic.write_text(path / CONFIG, json.dumps({"_class_name": type(codec).__name__, **settings}, indent=2) + "\n")


def read_config(folder: "str | os.PathLike", what: str) -> dict[str, Any]:
    """Read the settings of a saved codec.

    Args:
        folder: Folder of the codec.
        what: Kind of codec, for the error message.

    Raises:
        ValueError: The folder has no `config.json`.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise ValueError(f"{path.parent}: no {CONFIG} of {what} there")
    return json.loads(path.read_text())


def load_part(
    folder: "str | os.PathLike", config: Mapping[str, Any], name: str, allowed: Mapping[str, str], **options: Any
) -> Any:
    """Load one component from safetensors.

    Args:
        folder: Folder of the codec.
        config: Settings of the codec, which name the class of the component.
        name: Name of the component.
        allowed: Classes that may be named, and their modules. Any other class is refused, so that a folder cannot run foreign
            code.
        **options: Passed to `from_pretrained` of the component.

    Raises:
        ValueError: The settings name another class.
    """
    path, kind = Path(folder), config[name]
    if kind not in allowed:
        raise ValueError(f"{path / CONFIG}: {name} is {kind!r}, expected one of {', '.join(allowed)}")
    return getattr(importlib.import_module(allowed[kind]), kind).from_pretrained(path / name, use_safetensors=True, **options)
