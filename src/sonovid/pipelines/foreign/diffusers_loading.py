"""Load pipelines of diffusers from a folder: classes of known libraries, safetensors only; no code is run or downloaded."""

import importlib.metadata
import inspect
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sonovid.pipelines import loading

# Keeps `from_pretrained` from reading pickles, downloading files and running code of the folder.
SAFE = {"use_safetensors": True, "local_files_only": True, "trust_remote_code": False}
# What diffusers writes in place of a library for classes of its own pipeline packages.
PIPELINE_MODULES = ("ltx2", "kandinsky6", "cosmos", "minimax_h3")


def diffusers_version() -> str:
    """The version of the installed diffusers."""
    return importlib.metadata.version("diffusers")


def diffusers_release() -> tuple[int, ...]:
    """Major and minor version of the installed diffusers."""
    return tuple(map(int, diffusers_version().split(".")[:2]))


def dtype_option(dtype: torch.dtype | None) -> dict[str, torch.dtype | None]:
    """The dtype argument of `from_pretrained`, under its name in the installed diffusers."""
    return {"dtype" if diffusers_release() >= (0, 42) else "torch_dtype": dtype}


def component_entries(index: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The components of an index as (library, class), without those that are null."""
    found = {}
    for name, entry in index.items():
        if isinstance(entry, list) and len(entry) >= 2 and all(isinstance(part, str) for part in entry[:2]):
            found[name] = (entry[0], entry[1])
    return found


def check_components(folder: Path, index: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The components of an index; see `component_entries`.

    Raises:
        ValueError: a class of an unknown library.
    """
    found = component_entries(index)
    for name, (library, kind) in found.items():
        if library.split(".")[0] not in (*loading.LIBRARIES, *PIPELINE_MODULES):
            raise ValueError(
                f"model {folder}: {name} is {library}.{kind}; only components of diffusers and transformers are loaded"
            )
    return found


def from_folder(cls: Any, folder: Path, index: Mapping[str, Any], dtype: torch.dtype | None, **components: Any) -> Any:
    """Load a `DiffusionPipeline`.

    Args:
        cls: its class.
        folder: the model folder.
        index: the index of the folder.
        dtype: dtype of all networks.
        components: components as objects, in place of those of the folder.

    Raises:
        ValueError: the folder does not match its index, or a weight is missing.
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
    """The dtype of a network's files: that of the largest tensor in the first file; float32 where none can be read."""
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
    """A description of a missing component or a damaged file; None where there is none."""
    for name in component_entries(index):
        if not (folder / name).is_dir():
            return f"the folder {name} is missing"
        if what := loading.find_damage(folder / name):
            return f"{name}: {what}"
    return None


def check_parameters(module: torch.nn.Module, folder: Path) -> None:
    """Check that the files contain every parameter of a diffusers network: diffusers only warns and initializes it randomly.

    Networks of transformers are not checked: their files use other parameter names than the networks.

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
    """A pipeline of class `cls` that shares the components of `pipe`."""
    if type(pipe) is cls:
        return pipe
    names = set(inspect.signature(cls.__init__).parameters) - {"self"}
    other = cls(**{name: pipe.components.get(name) for name in names})
    other.set_progress_bar_config(**getattr(pipe, "_progress_bar_config", {}))
    return other


def check_arguments(call: Any, extra: Mapping[str, Any], family: str) -> None:
    """Check further arguments of a family's own call.

    Raises:
        TypeError: an unknown argument.
    """
    known = set(inspect.signature(call).parameters)
    if unknown := sorted(set(extra) - known):
        takes = ", ".join(sorted(known - {"self"}))
        raise TypeError(f"{family}: no argument {', '.join(unknown)}; its own call takes {takes}")
