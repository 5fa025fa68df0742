"""Published weights: found on this machine, checked by their hash, read without running what is in them, and put into a network.

No downloads. A file that is not at hand is a `Missing`, one that is not what it should be a ValueError; both in one line.
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

from sonovid.metrics.base import Extractor, Missing, WeightFile

# A folder of weight files, for those who do not want to name it in every command.
VARIABLE = "SONOVID_WEIGHTS"
# What of a model folder its numbers hang on: not its readme or its licence.
MODEL_FILES = (".safetensors", ".bin", ".json", ".txt", ".model", ".spm")
# Keys under which training programs keep a network's weights beside the rest of their state.
WRAPPERS = ("state_dict", "model", "model_state_dict", "module")
UNREADABLE = "cannot be read as a file of weights: damaged, cut short or something else; fetch it again"
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Found:
    """A weight file as it lies on this machine. sha256: of its bytes; of a folder, of the names and hashes of its files."""

    file: WeightFile
    path: Path
    sha256: str

    def to_record(self) -> dict[str, str]:
        """Plain values for JSON: the name and the hash, not where it lies."""
        pinned = {"revision": self.file.revision} if self.file.revision else {}
        return {"name": self.file.name, "sha256": self.sha256, "source": self.file.source, "licence": self.file.licence, **pinned}


def find(file: WeightFile, folder: "str | os.PathLike | None" = None) -> Found:
    """A weight file in `folder`, in the folder that SONOVID_WEIGHTS names, or, for a hub id, in the hub's cache; hash verified.

    Raises:
        Missing: it is in none of them.
        ValueError: `folder` is no folder, or the file found is not the published one by its hash.
    """
    path = next((path for path in _candidates(file.name, folder) if path.exists()), None) or _in_hub_cache(file)
    if path is None:
        into = f"{'into the hub cache or ' if _is_hub_id(file.name) else ''}into the folder that --weights or {VARIABLE} names"
        raise Missing(f"{file.name} is not at hand: fetch it from {file.source} {into}")
    found = Found(file, path, folder_sha256(path) if path.is_dir() else file_sha256(path))
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


def find_all(extractor: type[Extractor], folder: "str | os.PathLike | None" = None) -> tuple[Found, ...]:
    """Everything that an extractor needs, in the order in which its `load` takes it.

    Raises:
        Missing, ValueError: as `find`, for the first file that is not at hand or not right.
    """
    return tuple(find(file, folder) for file in extractor.weights)


def file_sha256(path: Path) -> str:
    """The hash of a file's bytes, computed once for as long as it keeps its size and time."""
    status = path.stat()
    return _hashed(path.resolve(), status.st_size, status.st_mtime_ns)


def file_md5(path: Path) -> str:
    """The older hash of a file's bytes, for those of which no other is published."""
    status = path.stat()
    return _hashed(path.resolve(), status.st_size, status.st_mtime_ns, "md5")


def folder_sha256(path: Path) -> str:
    """The hash of the names and hashes of a model folder's files: weights, configurations, vocabularies."""
    files = sorted(file for file in path.rglob("*") if file.suffix in MODEL_FILES and file.is_file())
    if not files:
        raise ValueError(f"{path}: a folder without weights or configuration in it")
    lines = [f"{file_sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_state(path: Path) -> dict[str, Tensor]:
    """Names and tensors of a .safetensors, .npz, or PyTorch file (.pt, .pth, ...), on the CPU.

    A PyTorch file is read with weights_only=True, so that nothing in it is run. One that is a TorchScript archive is read for its
    parameters and buffers.

    Raises:
        ValueError: it is none of these, damaged, or holds more than weights.
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
        with _plain_arrays():
            held = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:
        # torch names what a pickle asks for beyond tensors and plain values, and then advises to let it.
        asked = re.search(r"GLOBAL (\S+)", str(error))
        why = f"holds more than weights ({asked[1]}), and nothing else is read" if asked else UNREADABLE
        raise ValueError(f"{path}: {why}") from None
    for wrapper in WRAPPERS:
        if isinstance(held, Mapping) and isinstance(held.get(wrapper), Mapping):
            held = held[wrapper]
    if not isinstance(held, Mapping) or not held or not all(isinstance(value, Tensor) for value in held.values()):
        raise ValueError(f"{path}: expected names and tensors of a network in it, got {type(held).__name__}")
    return {str(name): value.detach() for name, value in held.items()}


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive, by its table of contents alone."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.split("/")[1:2] == ["code"] for name in archive.namelist())


def read_torchscript(path: Path, device: str = "cpu") -> torch.jit.ScriptModule:
    """A network together with its program, to be run. TorchScript alone is run, which knows tensors but no files and no Python.

    Raises:
        ValueError: it is no TorchScript archive, or damaged.
    """
    import warnings

    if not is_torchscript(path):
        raise ValueError(f"{path}: expected a TorchScript archive, a network with its program")
    try:
        with warnings.catch_warnings():
            # It is deprecated in favour of torch.export, and the published file is what it is.
            warnings.simplefilter("ignore", DeprecationWarning)
            return torch.jit.load(str(path), map_location=device).eval()
    except RuntimeError as error:
        raise ValueError(f"{path}: cannot be read as a TorchScript archive: {_first_line(error)}") from None


def filled(
    build: Callable[[], Network],
    state: Mapping[str, Tensor],
    *,
    name: str,
    device: str = "cpu",
    passed_over: Collection[str] = (),
) -> Network:
    """A network with these weights, in float32, in evaluation mode, without gradients.

    build: makes the network. name: of the file, for the errors. passed_over: names that may be in the file and are not used.

    Raises:
        ValueError: names or shapes differ: these are the weights of another network.
    """
    with torch.device("meta"):
        network = build()
    expected = network.state_dict()
    state = {key: value for key, value in state.items() if key in expected or key not in passed_over}
    # How many batches a normalisation has seen does not matter for evaluation, and older files do not have it.
    state |= {key: torch.tensor(0) for key in expected if key.endswith("num_batches_tracked") and key not in state}
    wrong = mismatches(expected, state)
    if wrong:
        raise ValueError(f"{name}: weights of another network than {type(network).__name__}: {'; '.join(wrong)}")
    floats = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    network.load_state_dict(floats, assign=True)
    return network.to(device).eval().requires_grad_(False)


def mismatches(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """How two lists of named tensors differ, in words; empty where they do not."""
    shapes = [key for key in expected if key in state and expected[key].shape != state[key].shape]
    found = {
        "missing": [key for key in expected if key not in state],
        "unknown": [key for key in state if key not in expected],
        "of another shape": [f"{key} {list(state[key].shape)}, expected {list(expected[key].shape)}" for key in shapes],
    }
    return [f"{len(keys)} {what} ({_some(keys)})" for what, keys in found.items() if keys]


def _candidates(name: str, folder: "str | os.PathLike | None") -> list[Path]:
    """Where a file or a model folder may lie, in order."""
    folders = []
    if folder is not None:
        folders.append(Path(folder).expanduser())
        if not folders[0].is_dir():
            raise ValueError(f"{folder}: expected a folder of weight files")
    if os.environ.get(VARIABLE):
        folders.append(Path(os.environ[VARIABLE]).expanduser())
    names = [name, name.split("/")[-1]] if _is_hub_id(name) else [name]
    return [folder / name for folder in folders for name in names]


def _is_hub_id(name: str) -> bool:
    return name.count("/") == 1


def _in_hub_cache(file: WeightFile) -> Path | None:
    """The pinned snapshot of a hub model in the hub's cache, the newest where none is pinned; nothing is asked of the network."""
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


def _plain_arrays() -> AbstractContextManager:
    """Lets numpy's arrays and numbers through: some checkpoints hold their sampler's state beside the weights."""
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


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
