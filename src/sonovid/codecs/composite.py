"""Codecs made of parts, saved as one folder: settings in `config.json`, and each part in a folder of its own."""

import importlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sonovid.core import atomic

CONFIG = "config.json"


def save(codec: Any, folder: "str | os.PathLike", settings: Mapping[str, Any], parts: Sequence[str], **options: Any) -> None:
    """Write the parts, attributes of the codec, and then the settings with the codec's class; safetensors only."""
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    for name in parts:
        getattr(codec, name).save_pretrained(path / name, **options)
    atomic.write_text(path / CONFIG, json.dumps({"_class_name": type(codec).__name__, **settings}, indent=2) + "\n")


def read_config(folder: "str | os.PathLike", what: str) -> dict[str, Any]:
    """The settings. what: the kind of codec, for the error.

    Raises:
        ValueError: there are none.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise ValueError(f"{path.parent}: no {CONFIG} of {what} there")
    return json.loads(path.read_text())


def load_part(folder: "str | os.PathLike", config: Mapping[str, Any], name: str, known: Mapping[str, str], **options: Any) -> Any:
    """One part, of the class that the settings name for it, from safetensors.

    known: the classes that may be named, and their modules; anything else is refused, so that a folder cannot run foreign code.

    Raises:
        ValueError: another class.
    """
    path, kind = Path(folder), config[name]
    if kind not in known:
        raise ValueError(f"{path / CONFIG}: {name} is {kind!r}, expected one of {', '.join(known)}")
    return getattr(importlib.import_module(known[kind]), kind).from_pretrained(path / name, use_safetensors=True, **options)
