"""Published weights: locating, verification by hash, loading without code execution, and building networks from them.

Nothing is downloaded. A missing file raises `UnavailableError`, a wrong one ValueError, both with a one-line message.
"""

import hashlib
import os
import re
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from sonovid.metrics.base import Extractor, UnavailableError, WeightFile

# The environment variable with the default folder of weight files.
WEIGHTS_VARIABLE = "SONOVID_WEIGHTS"
# The files of a model folder that its numbers depend on, without the readme and the licence.
MODEL_FILES = (".safetensors", ".bin", ".json", ".txt", ".model", ".spm")
# Keys under which training programs store the state dict.
WRAPPERS = ("state_dict", "model", "model_state_dict", "module")
UNREADABLE = "cannot be read as a weight file: damaged, truncated or another format; fetch it again"
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class LocatedWeights:
    """A weight file on this machine. sha256: of its bytes; for a folder, of the names and hashes of its files."""

    file: WeightFile
    path: Path
    sha256: str

    def to_record(self) -> dict[str, str]:
        """Plain values for JSON: the name and the hash, not the path."""
        pinned = {"revision": self.file.revision} if self.file.revision else {}
        return {"name": self.file.name, "sha256": self.sha256, "source": self.file.source, "licence": self.file.licence, **pinned}


def find_weights(file: WeightFile, folder: "str | os.PathLike | None" = None) -> LocatedWeights:
    """Find a weight file and verify its hash.

    Args:
        file: the file.
        folder: searched first; then the folder of `$SONOVID_WEIGHTS`, then, for a Hub id, the Hub's cache.

    Raises:
        UnavailableError: it is in none of them.
        ValueError: `folder` is not a folder, or the hash of the file differs from the published one.
    """
    path = next((path for path in _candidates(file.name, folder) if path.exists()), None) or _in_hub_cache(file)
    if path is None:
        hub = "into the hub cache or " if _is_hub_id(file.name) else ""
        into = f"{hub}into the folder that --weights or {WEIGHTS_VARIABLE} names"
        raise UnavailableError(f"{file.name} is not available: fetch it from {file.source} {into}")
    found = LocatedWeights(file, path, folder_sha256(path) if path.is_dir() else file_sha256(path))
    if not found.sha256.startswith(file.sha256.lower()):
        raise ValueError(
            f"{path}: not the published {file.name}: its SHA-256 begins {found.sha256[: max(len(file.sha256), 8)]}, expected "
            f"{file.sha256}; fetch it again from {file.source}"
        )
    if file.md5 and path.is_file() and (own := file_md5(path)) != file.md5:
        raise ValueError(
            f"{path}: not the published {file.name}: its MD5 is {own}, expected {file.md5}; fetch it again from {file.source}"
        )
    return found


def find_extractor_weights(extractor: type[Extractor], folder: "str | os.PathLike | None" = None) -> tuple[LocatedWeights, ...]:
    """Find all weight files of an extractor, in the order in which its `load` takes them.

    Raises:
        UnavailableError, ValueError: as `find_weights`, for the first file that is missing or wrong.
    """
    return tuple(find_weights(file, folder) for file in extractor.weights)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, cached as long as its size and modification time stay the same."""
    status = path.stat()
    return _hashed(path.resolve(), status.st_size, status.st_mtime_ns)


def file_md5(path: Path) -> str:
    """The MD5 of a file, for files of which no other hash is published."""
    status = path.stat()
    return _hashed(path.resolve(), status.st_size, status.st_mtime_ns, "md5")


def folder_sha256(path: Path) -> str:
    """The SHA-256 of the names and hashes of a model folder's weights, configs and vocabularies."""
    files = sorted(file for file in path.rglob("*") if file.suffix in MODEL_FILES and file.is_file())
    if not files:
        raise ValueError(f"{path}: a folder without weights or a config")
    lines = [f"{file_sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Load the state dict of a .safetensors, .npz or PyTorch file (.pt, .pth, ...), on the CPU.

    PyTorch files are loaded with weights_only=True, so that no code in them is executed. Of a TorchScript archive only the
    parameters and buffers are returned.

    Raises:
        ValueError: the file has another format, is damaged, or contains more than weights.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {name: torch.from_numpy(np.asarray(arrays[name])) for name in arrays.files}
        if is_torchscript(path):
            return dict(read_torchscript(path).state_dict())
        with _allow_numpy_arrays():
            held = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:
        # torch names the object that a pickle asks for; its advice to allow it is not passed on.
        asked = re.search(r"GLOBAL (\S+)", str(error))
        why = f"holds more than weights ({asked[1]}), which is not loaded" if asked else UNREADABLE
        raise ValueError(f"{path}: {why}") from None
    for wrapper in WRAPPERS:
        if isinstance(held, Mapping) and isinstance(held.get(wrapper), Mapping):
            held = held[wrapper]
    if not isinstance(held, Mapping) or not held or not all(isinstance(value, Tensor) for value in held.values()):
        raise ValueError(f"{path}: expected the state dict of a network, got {type(held).__name__}")
    return {str(name): value.detach() for name, value in held.items()}


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive, judged by its table of contents."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.split("/")[1:2] == ["code"] for name in archive.namelist())


def read_torchscript(path: Path, device: str = "cpu") -> torch.jit.ScriptModule:
    """Load a TorchScript archive, a network with its program. TorchScript computes with tensors and accesses no files or Python.

    Raises:
        ValueError: it is not a TorchScript archive, or damaged.
    """
    import warnings

    if not is_torchscript(path):
        raise ValueError(f"{path}: expected a TorchScript archive, a network with its program")
    try:
        with warnings.catch_warnings():
            # TorchScript is deprecated in favour of torch.export, but the published file uses it.
            warnings.simplefilter("ignore", DeprecationWarning)
            return torch.jit.load(str(path), map_location=device).eval()
    except RuntimeError as error:
        raise ValueError(f"{path}: cannot be read as a TorchScript archive: {_first_line(error)}") from None


def build_network(
    build: Callable[[], Network],
    state: Mapping[str, Tensor],
    *,
    name: str,
    device: str = "cpu",
    ignored: Collection[str] = (),
) -> Network:
    """Build a network and load its weights: float32, evaluation mode, no gradients.

    Args:
        build: the constructor of the network.
        state: the state dict.
        name: of the file, for error messages.
        device: where the network runs.
        ignored: keys that may be in the file and are not used.

    Raises:
        ValueError: keys or shapes differ, so the weights belong to another network.
    """
    with torch.device("meta"):
        network = build()
    expected = network.state_dict()
    state = {key: value for key, value in state.items() if key in expected or key not in ignored}
    # Batch norm counters do not matter in evaluation mode, and older files lack them.
    state |= {key: torch.tensor(0) for key in expected if key.endswith("num_batches_tracked") and key not in state}
    wrong = mismatches(expected, state)
    if wrong:
        raise ValueError(f"{name}: weights of another network than {type(network).__name__}: {'; '.join(wrong)}")
    floats = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    network.load_state_dict(floats, assign=True)
    return network.to(device).eval().requires_grad_(False)


def mismatches(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """The differences between two state dicts, in words; empty if there are none."""
    shapes = [key for key in expected if key in state and expected[key].shape != state[key].shape]
    found = {
        "missing": [key for key in expected if key not in state],
        "unknown": [key for key in state if key not in expected],
        "of another shape": [f"{key} {list(state[key].shape)}, expected {list(expected[key].shape)}" for key in shapes],
    }
    return [f"{len(keys)} {what} ({_shorten(keys)})" for what, keys in found.items() if keys]


def _candidates(name: str, folder: "str | os.PathLike | None") -> list[Path]:
    """The possible locations of a file or a model folder, in order."""
    folders = []
    if folder is not None:
        folders.append(Path(folder).expanduser())
        if not folders[0].is_dir():
            raise ValueError(f"{folder}: expected a folder of weight files")
    if os.environ.get(WEIGHTS_VARIABLE):
        folders.append(Path(os.environ[WEIGHTS_VARIABLE]).expanduser())
    names = [name, name.split("/")[-1]] if _is_hub_id(name) else [name]
    return [folder / name for folder in folders for name in names]


def _is_hub_id(name: str) -> bool:
    return name.count("/") == 1


def _in_hub_cache(file: WeightFile) -> Path | None:
    """The pinned snapshot of a Hub model in the local cache, or the newest if none is pinned; without network access."""
    if not _is_hub_id(file.name):
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(file.name, revision=file.revision or None, local_files_only=True))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError):
        return None


@lru_cache(maxsize=128)
def _hashed(path: Path, size: int, time: int, kind: str = "sha256") -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _allow_numpy_arrays() -> AbstractContextManager:
    """Allow numpy arrays and scalars: some checkpoints contain the state of a sampler besides the weights."""
    dtypes: Sequence[Any] = [type(np.dtype(kind)) for kind in (np.uint32, np.int64, np.float32, np.float64, np.bool_)]
    builders = [
        (np._core.multiarray._reconstruct, "numpy.core.multiarray._reconstruct"),  # type: ignore[attr-defined]
        (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),  # type: ignore[attr-defined]
        np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
        np._core.multiarray.scalar,  # type: ignore[attr-defined]
    ]
    return torch.serialization.safe_globals([np.ndarray, np.dtype, *dtypes, *builders])


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _shorten(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
