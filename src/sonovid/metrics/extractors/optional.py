"""Imports of the optional libraries that the detectors of peaks use: librosa and OpenCV."""

import functools
import importlib
import tempfile
from pathlib import Path
from types import ModuleType

import filelock
import numpy as np

from sonovid.metrics.base import UnavailableError


def import_optional(module: str) -> ModuleType:
    """Import an optional library on first use; `import_librosa` imports librosa.

    Raises:
        UnavailableError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = {"cv2": "opencv-python-headless"}.get(module, module)
        raise UnavailableError(f"{package} cannot be imported ({error}): pip install 'sonovid[eval]'") from None


def import_librosa() -> ModuleType:
    """Import librosa with its detectors compiled.

    Raises:
        UnavailableError: it is not installed.
    """
    compile_detectors()
    return import_optional("librosa")


@functools.cache
def compile_detectors() -> None:
    """Let librosa compile its detectors, one process at a time.

    numba compiles them and caches the result on disk for all processes. Two processes that fill the cache at the same time can
    leave one whose code ends every later process with a segmentation fault, hence the lock.
    """
    with filelock.FileLock(lock_path()):
        librosa = import_optional("librosa")
        # Noise has onsets and a tempo, so that both detectors run to their ends.
        noise = np.random.default_rng(0).standard_normal(22050).astype(np.float32)
        strength = librosa.onset.onset_strength(y=noise, sr=22050)
        librosa.onset.onset_detect(onset_envelope=strength, sr=22050)
        librosa.beat.beat_track(y=noise, sr=22050)


def lock_path() -> Path:
    """The lock file of this user. The folder of temporary files exists on every machine and is writable."""
    try:
        user = Path.home().name
    except RuntimeError:
        user = "user"
    return Path(tempfile.gettempdir()) / f"sonovid-numba-{user}.lock"
