"""Pipelines of diffusers read from a folder: classes from known libraries, weights from safetensors, nothing run or fetched."""

import importlib.metadata
import inspect
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sonovid.pipelines import loading

# What keeps `from_pretrained` from reading pickles, fetching files and running code that lies beside the weights.
SAFE = {"use_safetensors": True, "local_files_only": True, "trust_remote_code": False}
# Beside the libraries, what diffusers writes for classes that live in a folder of one of its pipelines.
PIPELINE_MODULES = ("ltx2", "kandinsky6", "cosmos", "minimax_h3")


def diffusers_version() -> str:
    """The version of diffusers that is installed."""
    return importlib.metadata.version("diffusers")


def diffusers_release() -> tuple[int, ...]:
    """The first two numbers of `installed`."""
    return tuple(map(int, diffusers_version().split(".")[:2]))


def dtype_option(dtype: torch.dtype | None) -> dict[str, torch.dtype | None]:
    """The argument of `from_pretrained` for a dtype, under the name that the installed diffusers gives it."""
    return {"dtype" if diffusers_release() >= (0, 42) else "torch_dtype": dtype}


def component_entries(index: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The components that an index names, as (library, class); those that are null are left out."""
    found = {}
    for name, entry in index.items():
        if isinstance(entry, list) and len(entry) >= 2 and all(isinstance(part, str) for part in entry[:2]):
            found[name] = (entry[0], entry[1])
    return found


def check_components(folder: Path, index: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The components of an index, all of them from libraries that may be loaded.

    Raises:
        ValueError: a class from anywhere else.
    """
    found = component_entries(index)
    for name, (library, kind) in found.items():
        if library.split(".")[0] not in (*loading.LIBRARIES, *PIPELINE_MODULES):
            raise ValueError(
                f"model {folder}: {name} is {library}.{kind}; components are loaded from diffusers and transformers alone"
            )
    return found


def from_folder(cls: Any, folder: Path, index: Mapping[str, Any], dtype: torch.dtype | None, **components: Any) -> Any:
    """A `DiffusionPipeline` of class `cls`, with the given components in place of the folder's.

    Raises:
        ValueError: the folder does not hold what its index says, or a weight is missing.
    """
    check_components(folder, index)
    try:
        pipe = cls.from_pretrained(str(folder), **dtype_option(dtype), **SAFE, **components)
    except Exception as error:
        raise ValueError(
            f"model {folder}: cannot be loaded: {find_damage(folder, index) or loading.short_message(error)}"
        ) from error
    for name in component_entries(index):
        if name not in components and isinstance(part := getattr(pipe, name, None), torch.nn.Module):
            check_parameters(part, folder / name)
    return pipe


def stored_dtype(folder: Path, name: str = "transformer") -> torch.dtype:
    """What the files of a network hold: the type of the largest tensor in the first of them; float32 where none can be read."""
    from safetensors import SafetensorError, safe_open

    types = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
    for path in sorted((folder / name).glob("*.safetensors"))[:1]:
        try:
            with safe_open(path, "pt") as file:
                slices = [file.get_slice(key) for key in file.keys()]  # noqa: SIM118
        except (OSError, SafetensorError):
            break
        largest = max(slices, key=lambda tensor: math.prod(tensor.get_shape()), default=None)
        return torch.float32 if largest is None else types.get(largest.get_dtype(), torch.float32)
    return torch.float32


def find_damage(folder: Path, index: Mapping[str, Any]) -> str | None:
    """What is wrong with the folder itself, if anything: a component that is missing, or a damaged file."""
    for name in component_entries(index):
        if not (folder / name).is_dir():
            return f"the folder {name} is missing"
        if what := loading.find_damage(folder / name):
            return f"{name}: {what}"
    return None


def check_parameters(module: torch.nn.Module, folder: Path) -> None:
    """Every parameter of a network of diffusers stands in its files; diffusers would draw the others at random, and only warn.

    Networks of transformers are left out: their files name parameters otherwise than the networks do.

    Raises:
        ValueError: a parameter is missing.
    """
    if not type(module).__module__.startswith("diffusers."):
        return
    saved = loading.tensor_shapes(folder)
    missing = [name for name, _ in module.named_parameters() if name not in saved]
    if missing:
        raise ValueError(f"model {folder.parent}: {folder.name} lacks {len(missing)} tensors, the first of them {missing[0]}")


def convert_pipeline(cls: Any, pipe: Any) -> Any:
    """Another pipeline of the same family around the same components; nothing is copied."""
    if type(pipe) is cls:
        return pipe
    names = set(inspect.signature(cls.__init__).parameters) - {"self"}
    other = cls(**{name: pipe.components.get(name) for name in names})
    other.set_progress_bar_config(**getattr(pipe, "_progress_bar_config", {}))
    return other


def check_arguments(call: Any, extra: Mapping[str, Any], family: str) -> None:
    """Refuse further arguments that a family's own call does not take.

    Raises:
        TypeError: there is one.
    """
    known = set(inspect.signature(call).parameters)
    if unknown := sorted(set(extra) - known):
        takes = ", ".join(sorted(known - {"self"}))
        raise TypeError(f"{family}: no argument {', '.join(unknown)}; its own call takes {takes}")
