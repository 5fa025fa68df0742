"""On-disk cache of features: one small file per clip and extractor, used only if everything the features depend on is equal."""

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sonovid import __version__
from sonovid.core import atomic
from sonovid.metrics.base import Arrays

log = logging.getLogger(__name__)

# Libraries that may change a feature: decoders, resamplers, onset detection, optical flow, networks.
LIBRARIES = ("numpy", "scipy", "torch", "av", "soxr", "pillow", "librosa", "opencv-python-headless", "transformers")


def library_versions() -> dict[str, str]:
    """The versions of the installed libraries that features are computed with."""
    found = {"sonovid": __version__}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def default_folder() -> Path:
    """`$SONOVID_CACHE/features`, or `sonovid/features` in the user's cache folder."""
    if chosen := os.environ.get("SONOVID_CACHE"):
        return Path(chosen).expanduser() / "features"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sonovid" / "features"


@dataclass
class Cache:
    """Features by cache key.

    Each file contains its key and a digest of its arrays. A file whose key or digest does not match (a flipped bit, a file copied
    from elsewhere) is reported in the log, computed again and replaced.

    Args:
        folder: where features are stored; None: nowhere.

    Attributes:
        hits: how many entries were used.
        refused: how many files were invalid.
    """

    folder: Path | None
    hits: int = field(default=0, init=False)
    refused: int = field(default=0, init=False)

    def get(self, key: Mapping[str, Any]) -> Arrays | str | None:
        """Look up a key: arrays, or the reason why the clip is unusable, or None if there is no entry."""
        if self.folder is None:
            return None
        path = self._path(key)
        try:
            with safe_open(path, "np") as file:
                about = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError, ValueError) as error:
            self._refuse(path, f"cannot be read ({error})")
            return None
        fault = "belongs to something else" if about.get("key") != _text(key) else ""
        if fault := fault or ("is damaged" if about.get("digest") != _digest(arrays) else ""):
            self._refuse(path, fault)
            return None
        self.hits += 1
        return about.get("unfit", arrays)

    def put(self, key: Mapping[str, Any], found: Arrays | str) -> None:
        """Store arrays, or the reason why the clip is unusable."""
        if self.folder is None:
            return
        arrays = {} if isinstance(found, str) else {name: np.ascontiguousarray(array) for name, array in found.items()}
        about = {"key": _text(key), "digest": _digest(arrays)} | ({"unfit": found} if isinstance(found, str) else {})
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic.atomic_file(path) as aside:
            aside.write_bytes(save(arrays, about))

    def _path(self, key: Mapping[str, Any]) -> Path:
        assert self.folder is not None
        name = hashlib.sha256(_text(key).encode()).hexdigest()
        return self.folder / name[:2] / f"{name[2:40]}.safetensors"

    def _refuse(self, path: Path, why: str) -> None:
        self.refused += 1
        log.warning("cached features %s: the file %s; computed again", path, why)


def _text(key: Mapping[str, Any]) -> str:
    return json.dumps(key, sort_keys=True, default=str)


def _digest(arrays: Arrays) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
