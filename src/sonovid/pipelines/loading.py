"""Locate, check and load model folders. Nothing in a folder is run: weights are safetensors, classes come from this package."""

import importlib
import json
import logging
import math
import os
import re
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from sonovid.core import renamed
from sonovid.pipelines import packaged

INDEX = "model_index.json"
# The index of a modular pipeline of diffusers, which is read where there is no other.
MODULAR_INDEX = "modular_model_index.json"
INDICES = (INDEX, MODULAR_INDEX)
# Libraries that components of a diffusers model may come from; `foreign` checks these.
LIBRARIES = ("sonovid", "diffusers", "transformers")
# Classes that an index may name: networks and codecs of this package only. Classes of other libraries may run code that lies in
# the folder.
ALLOWED_MODULES = re.compile(r"sonovid\.(models|codecs)(\.[a-z0-9_]+)+")
PICKLE_SUFFIXES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npz", ".npy", ".h5", ".msgpack"}
CODE_SUFFIXES = {".py", ".pyc", ".pyo", ".pyw", ".pyz", ".so", ".pyd", ".dll", ".dylib", ".sh", ".bat", ".exe", ".pth"}
# An index of this package has about two thousand bytes.
MAX_INDEX_BYTES = 1_000_000
# Files that are fetched from a repository of the Hub: never pickles, never code.
HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.md", "*.jinja"]
# Components that an index names and this package does not load: the second network of H3, and its image processor.
UNUSED_COMPONENTS = {"MiniMaxH3ModularPipeline": {"transformer_ref", "processor"}}
HUB_OPTIONS = ("revision", "cache_dir", "local_files_only", "force_download", "token")

log = logging.getLogger(__name__)


def locate(model: "str | os.PathLike | None", *, weights: bool = True, **hub: Any) -> Path:
    """The folder of a model: a packaged one, a folder on disk, or a repository of the Hub, which is downloaded.

    Args:
        model: None (the default), the name of a packaged model, a folder, or OWNER/NAME.
        weights: whether the weights of a repository are downloaded, or only what describes it.
        hub: `HUB_OPTIONS`, as huggingface_hub takes them.

    Raises:
        ValueError: no such model.
    """
    if model is None or packaged.is_packaged(model):
        return packaged.folder(packaged.NAME if model is None else model)
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    name = os.fspath(model)
    if path.exists() or name.count("/") != 1 or name.startswith((".", "/", "~")) or name.endswith("/"):
        what = "a file" if path.exists() else "no such folder"
        names = ", ".join(packaged.NAMES)
        raise ValueError(f"model {name!r}: {what}; expected a folder with {INDEX}, a repository OWNER/NAME, or one of {names}")
    try:
        return _download(name, weights=weights, **hub)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"model {name!r}: no such folder, and it could not be downloaded from the Hub: {reason}") from error


def _download(name: str, *, weights: bool, **hub: Any) -> Path:
    """Download a repository of the Hub, without files that its index does not name: some hold the weights a second time."""
    from huggingface_hub import snapshot_download

    indices = list(INDICES)
    folder = Path(snapshot_download(name, allow_patterns=indices, **hub))
    patterns = [pattern for pattern in HUB_FILES if weights or pattern != "*.safetensors"]
    path = next((folder / index for index in indices if (folder / index).is_file()), None)
    if path is None:
        return Path(snapshot_download(name, allow_patterns=patterns, **hub))
    index = json.loads(path.read_text())
    unused = UNUSED_COMPONENTS.get(index.get("_class_name"), set())
    components = [part for part, entry in index.items() if isinstance(entry, list) and part not in unused]
    wanted = [f"{component}/{pattern}" for component in components for pattern in patterns]
    return Path(snapshot_download(name, allow_patterns=[*indices, "*.md", "LICENSE*", *wanted], **hub))


def load_components(
    model: "str | os.PathLike | None",
    components: Sequence[str],
    optional: Sequence[str],
    settings: Sequence[str],
    *,
    variant: str | None = None,
    **options: Any,
) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """Load the components and settings of a model.

    Args:
        model: as in `locate`.
        components: names of the components.
        optional: names of those that a model may lack.
        settings: names of the settings.
        variant: variant of the weight files.
        options: components as objects, by name, and `HUB_OPTIONS`.

    Returns:
        (folder, components by name, settings by name).

    Raises:
        ValueError: no such model, a component that the index does not name, or an error of `read_index` or `load_component`.
        TypeError: an unknown option.
    """
    hub = {name: options.pop(name) for name in HUB_OPTIONS if name in options}
    if unknown := sorted(set(options) - set(components)):
        raise TypeError(f"from_pretrained: {unknown} are no components; expected {tuple(components)} or {HUB_OPTIONS}")
    folder = locate(model, **hub)
    index = read_index(folder)
    # Folders that were saved before joint codecs existed have no entry for one.
    index = {"joint_codec": [None, None], **index}
    if missing := [name for name in components if name not in index and name not in options]:
        raise ValueError(f"model {folder}: {INDEX} lacks {' and '.join(missing)}")
    # diffusers writes [null, null] for an absent component.
    absent = {name for name in optional if index.get(name) == [None, None]}
    loaded: dict[str, Any] = {}
    for name in components:
        loaded[name] = options.get(name) or (
            None if name in absent else load_component(folder, name, index[name], variant=variant)
        )
    return folder, loaded, {name: index[name] for name in settings if name in index}


def list_files(folder: Path) -> Iterator[Path]:
    """All files in a folder, also behind symbolic links to folders; each folder is visited once."""
    visited: set[str] = set()
    for root, inner, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(root)) in visited:
            inner.clear()
            continue
        visited.add(real)
        yield from (Path(root, name) for name in sorted(names))


def check_safe_files(folder: Path) -> None:
    """Check that a folder contains nothing that could run.

    Raises:
        ValueError: a pickle or code anywhere in the folder.
    """
    for path in list_files(folder):
        place, suffix = path.relative_to(folder), path.suffix.lower()
        if suffix in PICKLE_SUFFIXES:
            raise ValueError(
                f"model {folder}: {place} is a pickle or of a similar format, which can run code when it is read; only "
                "safetensors are loaded"
            )
        if suffix in CODE_SUFFIXES:
            raise ValueError(f"model {folder}: {place} is code; a model folder holds settings and safetensors: remove it")


def read_index(folder: Path) -> dict[str, Any]:
    """Read the index of a model folder, after a check of all files in the folder.

    Raises:
        ValueError: no index, an unreadable one, or a pickle or code anywhere in the folder.
    """
    path = next((folder / name for name in INDICES if (folder / name).is_file()), None)
    if path is None:
        raise ValueError(f"model {folder}: no {INDEX} there; expected a folder that save_pretrained wrote")
    check_safe_files(folder)
    if path.stat().st_size > MAX_INDEX_BYTES:
        raise ValueError(f"model {folder}: {path.name} of {path.stat().st_size} bytes: expected at most {MAX_INDEX_BYTES}")
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"model {folder}: {path.name} cannot be read ({short_message(error)})") from None
    if not isinstance(index, dict):
        raise ValueError(f"model {folder}: {path.name} holds no table of components")
    return index


def resolve_class(folder: Path, name: str, entry: Any) -> Any:
    """The class that an index names for a component.

    Args:
        folder: the model folder, for error messages.
        name: name of the component.
        entry: its [module, class] in the index.

    Raises:
        ValueError: not one of the networks and codecs of this package.
    """
    if not (isinstance(entry, list | tuple) and len(entry) == 2 and all(isinstance(part, str) for part in entry)):
        raise ValueError(f"model {folder}: {name} is {entry!r} in {INDEX}, expected [module, class]")
    module, class_name = renamed.current(entry[0]), entry[1]
    if not ALLOWED_MODULES.fullmatch(module):
        raise ValueError(
            f"model {folder}: {name} comes from {module!r}; classes are taken from sonovid.models and sonovid.codecs only"
        )
    try:
        found = getattr(importlib.import_module(module), class_name)
    except (ImportError, AttributeError):
        found = None
    # The class must be defined in the module or package, not imported into it.
    own = isinstance(found, type) and (found.__module__ == module or found.__module__.startswith(module + "."))
    if not (own and hasattr(found, "from_pretrained")):
        raise ValueError(f"model {folder}: {name} is {module}.{class_name}, which this version does not have")
    return found


def load_component(folder: Path, name: str, entry: Any, *, variant: str | None = None) -> Any:
    """Load one component of a model folder.

    Args:
        folder: the model folder.
        name: name of the component.
        entry: its [module, class] in the index.
        variant: variant of the weight files.

    Raises:
        ValueError: a class that is not allowed, or weights that do not fit it.
    """
    cls = resolve_class(folder, name, entry)
    place = packaged.component_folder(folder, name)
    check_safe_files(place)
    if not place.is_dir():
        raise ValueError(f"model {folder}: the folder {name} is missing")
    try:
        component = cls.from_pretrained(str(place), **({"variant": variant} if variant else {}))
    except Exception as error:
        reason = find_damage(place) or short_message(error)
        raise ValueError(f"model {folder}: {name} cannot be loaded: {reason}") from error
    if isinstance(component, torch.nn.Module):
        component.eval().requires_grad_(False)
        check_weights(component, place)
    return component


def short_message(error: Exception) -> str:
    """The message of an error as one line of at most 300 characters."""
    line = " ".join(str(error).split()) or type(error).__name__
    return line if len(line) <= 300 else line[:297] + "..."


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors in the safetensors files of a folder, without its subfolders."""
    from safetensors import safe_open

    shapes: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            shapes |= {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    return shapes


def count_values(shapes: Iterable[tuple[int, ...]]) -> int:
    """The number of values in tensors of these shapes."""
    return sum(math.prod(shape) for shape in shapes)


def find_damage(folder: Path) -> str | None:
    """A description of the first damaged config or weight file of a component; None where there is none."""
    from safetensors import safe_open

    for inner in [folder, *sorted(p for p in folder.rglob("*") if p.is_dir())]:
        if (inner / "config.json").is_file():
            try:
                json.loads((inner / "config.json").read_text())
            except (ValueError, RecursionError):
                return f"{inner.name}/config.json is not JSON"
        for path in sorted(inner.glob("*.safetensors")):
            try:
                with safe_open(path, "pt") as file:
                    file.keys()
            except Exception as error:
                return f"{path.name} is damaged ({short_message(error)})"
    return None


def check_weights(module: torch.nn.Module, folder: Path) -> None:
    """Check that the files contain every tensor of a module in its shape, in this folder and in those of its submodules.

    Raises:
        ValueError: a tensor is missing, or has another shape.
    """
    parts = [p.name for p in folder.iterdir() if p.is_dir() and isinstance(getattr(module, p.name, None), torch.nn.Module)]
    for part in parts:
        check_weights(getattr(module, part), folder / part)
    saved = tensor_shapes(folder)
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
    """The name of a tensor in its file: the module's own name, or that without the attributes that wrap a released network."""
    parts = key.split(".")
    return next((name for i in range(min(3, len(parts))) if (name := ".".join(parts[i:])) in saved), None)


def remove_local_paths(folder: Path) -> None:
    """Remove `_name_or_path` from all configs of a folder: a path of the machine that saved it."""
    for path in (folder / INDEX, *folder.rglob("config.json")):
        settings = json.loads(path.read_text())
        if settings.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
