"""Model folders: found, checked and read. Nothing in one is run: weights are safetensors, classes come from known libraries."""

import importlib
import json
import logging
import math
import os
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

import torch

from sonovid import shipped

INDEX = "model_index.json"
# What diffusers calls the index of a modular pipeline, which is read where there is no other.
MODULAR_INDEX = "modular_model_index.json"
LIBRARIES = ("sonovid", "diffusers", "transformers")
PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}
# What is taken from a repository of the Hub: never a pickle, never code.
HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.md", "*.jinja"]
# Components that an index names and that nothing here loads: H3's second network, and a processor of images.
UNUSED = {"MiniMaxH3ModularPipeline": {"transformer_ref", "processor"}}

log = logging.getLogger(__name__)


def locate(model: "str | os.PathLike | None", *, weights: bool = True) -> Path:
    """The folder of a model: the packaged one (None or "shipped"), a folder on disk, or a repository of the Hub, fetched.

    weights: whether a repository's weights are fetched, or only what describes it.

    Raises:
        ValueError: there is no such model.
    """
    if model is None or model == shipped.NAME:
        return shipped.folder()
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    name = os.fspath(model)
    if path.exists() or name.count("/") != 1 or name.startswith((".", "/", "~")) or name.endswith("/"):
        what = "a file" if path.exists() else "no such folder"
        raise ValueError(f"model {name!r}: {what}; expected a folder with {INDEX}, a repository OWNER/NAME, or {shipped.NAME!r}")
    try:
        return _fetch(name, weights=weights)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"model {name!r}: no such folder, and the Hub did not give it: {reason}") from error


def _fetch(name: str, *, weights: bool) -> Path:
    """A repository of the Hub, without what its index does not name: some hold the same weights as one more file of 40 GB."""
    from huggingface_hub import snapshot_download

    indices = [INDEX, MODULAR_INDEX]
    folder = Path(snapshot_download(name, allow_patterns=indices))
    kinds = [kind for kind in HUB_FILES if weights or kind != "*.safetensors"]
    path = next((folder / index for index in indices if (folder / index).is_file()), None)
    if path is None:
        return Path(snapshot_download(name, allow_patterns=kinds))
    index = json.loads(path.read_text())
    unused = UNUSED.get(index.get("_class_name"), set())
    parts = [part for part, entry in index.items() if isinstance(entry, list) and part not in unused]
    wanted = [f"{part}/{kind}" for part in parts for kind in kinds]
    return Path(snapshot_download(name, allow_patterns=[*indices, "*.md", "LICENSE*", *wanted]))


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a model folder, after a look at what else lies there.

    Raises:
        ValueError: no index, an unreadable one, or a pickle anywhere in the folder.
    """
    path = next((folder / name for name in (INDEX, MODULAR_INDEX) if (folder / name).is_file()), None)
    if path is None:
        raise ValueError(f"model {folder}: no {INDEX} there; expected a folder that save_pretrained wrote")
    pickles = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.suffix.lower() in PICKLES)
    if pickles:
        raise ValueError(
            f"model {folder}: {pickles[0]} is a pickle, which can run code when it is read; only safetensors are loaded"
        )
    try:
        index = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"model {folder}: {path.name} cannot be read ({error})") from None
    if not isinstance(index, dict):
        raise ValueError(f"model {folder}: {path.name} holds no table of components")
    return index


def load_component(folder: Path, name: str, entry: Any) -> Any:
    """One component of a model folder; `entry` is its (library, class) in the index.

    Raises:
        ValueError: a library outside `LIBRARIES`, no such class, or weights that do not fit it.
    """
    if not (isinstance(entry, list | tuple) and len(entry) == 2 and all(isinstance(part, str) for part in entry)):
        raise ValueError(f"model {folder}: {name} is {entry!r} in {INDEX}, expected [library, class]")
    library, kind = entry
    if library.split(".")[0] not in LIBRARIES:
        raise ValueError(f"model {folder}: {name} comes from {library!r}; classes are taken from {', '.join(LIBRARIES)} only")
    try:
        load = getattr(importlib.import_module(library), kind).from_pretrained
    except (ImportError, AttributeError):
        raise ValueError(f"model {folder}: {name} is {library}.{kind}, which this version does not have") from None
    if not (folder / name).is_dir():
        raise ValueError(f"model {folder}: the folder {name} is missing")
    try:
        component = load(str(folder / name))
    except Exception as error:
        raise ValueError(f"model {folder}: {name} cannot be loaded: {fault(folder / name) or first_line(error)}") from error
    if isinstance(component, torch.nn.Module):
        component.eval().requires_grad_(False)
        check_weights(component, folder / name)
    return component


def first_line(error: Exception) -> str:
    """An error in one line; those of libraries that explain at length are cut."""
    line = " ".join(str(error).split()) or type(error).__name__
    return line if len(line) <= 300 else line[:297] + "..."


def headers(folder: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors in the safetensors files of a folder, not of the folders in it."""
    from safetensors import safe_open

    shapes: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            shapes |= {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    return shapes


def num_values(shapes: Iterable[tuple[int, ...]]) -> int:
    """How many numbers tensors of these shapes hold."""
    return sum(math.prod(shape) for shape in shapes)


def fault(folder: Path) -> str | None:
    """What is wrong with the weights' files themselves, if anything: the plainest reason why a component does not load."""
    for inner in [folder, *sorted(p for p in folder.rglob("*") if p.is_dir())]:
        if (inner / "config.json").is_file():
            try:
                json.loads((inner / "config.json").read_text())
            except ValueError:
                return f"{inner.name}/config.json is not JSON"
        for path in sorted(inner.glob("*.safetensors")):
            try:
                headers(inner)
            except Exception as error:
                return f"{path.name} is damaged ({first_line(error)})"
    return None


def check_weights(module: torch.nn.Module, folder: Path) -> None:
    """Every tensor of the module stands in its file with its shape, in this folder and in those of its parts.

    Raises:
        ValueError: a tensor is missing, or has another shape.
    """
    parts = [p.name for p in folder.iterdir() if p.is_dir() and isinstance(getattr(module, p.name, None), torch.nn.Module)]
    for part in parts:
        check_weights(getattr(module, part), folder / part)
    saved = headers(folder)
    state = {key: value for key, value in module.state_dict().items() if key.split(".")[0] not in parts}
    if not saved:
        if any(key in state for key, _ in module.named_parameters()):
            raise ValueError(f"model {folder.parent}: {folder.name} has no safetensors file")
        return
    # Tied weights are saved once, under one of their names.
    present = {value.data_ptr() for key, value in state.items() if saved_name(key, saved) is not None}
    for key, value in state.items():
        name = saved_name(key, saved)
        if name is None and value.data_ptr() not in present:
            raise ValueError(f"model {folder.parent}: {folder.name} lacks the tensor {key} {tuple(value.shape)}")
        if name is not None and saved[name] != tuple(value.shape):
            raise ValueError(f"model {folder.parent}: {folder.name}: {key} is {saved[name]}, expected {tuple(value.shape)}")


def saved_name(key: str, saved: Container[str]) -> str | None:
    """The name under which a tensor is saved: its own, or without the names of the classes that wrap a released network."""
    parts = key.split(".")
    return next((name for i in range(min(3, len(parts))) if (name := ".".join(parts[i:])) in saved), None)


def forget_origins(folder: Path) -> None:
    """Take from all settings in a folder where its parts were loaded from: a path of somebody's machine, of no use to others."""
    for path in (folder / INDEX, *folder.rglob("config.json")):
        settings = json.loads(path.read_text())
        if settings.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
