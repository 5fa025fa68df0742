"""Model folders: found, checked and read. Nothing in one is run: weights are safetensors, classes come from this package."""

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
# What diffusers calls the index of a modular pipeline, which is read where there is no other.
MODULAR_INDEX = "modular_model_index.json"
# What components of a model of diffusers come from: see `foreign`, which has rules of its own.
LIBRARIES = ("sonovid", "diffusers", "transformers")
# What an index may name: the classes that this package defines as networks and codecs, and nothing of another library, whose
# classes may run code that lies in the folder.
ALLOWED_MODULES = re.compile(r"sonovid\.(models|codecs)(\.[a-z0-9_]+)+")
PICKLE_SUFFIXES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npz", ".npy", ".h5", ".msgpack"}
CODE_SUFFIXES = {".py", ".pyc", ".pyo", ".pyw", ".pyz", ".so", ".pyd", ".dll", ".dylib", ".sh", ".bat", ".exe", ".pth"}
# An index of this package has two thousand characters.
MAX_INDEX_BYTES = 1_000_000
# What is taken from a repository of the Hub: never a pickle, never code.
HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.md", "*.jinja"]
# Components that an index names and that nothing here loads: H3's second network, and a processor of images.
UNUSED_COMPONENTS = {"MiniMaxH3ModularPipeline": {"transformer_ref", "processor"}}
HUB_OPTIONS = ("revision", "cache_dir", "local_files_only", "force_download", "token")

log = logging.getLogger(__name__)


def locate(model: "str | os.PathLike | None", *, weights: bool = True, **hub: Any) -> Path:
    """The folder of a model: the packaged one (None or "shipped"), a folder on disk, or a repository of the Hub, fetched.

    Args:
        model: which. weights: whether a repository's weights are fetched, or only what describes it. hub: `HUB_OPTIONS`, as
            huggingface_hub takes them.

    Raises:
        ValueError: there is no such model.
    """
    if model is None or model == packaged.NAME:
        return packaged.folder()
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    name = os.fspath(model)
    if path.exists() or name.count("/") != 1 or name.startswith((".", "/", "~")) or name.endswith("/"):
        what = "a file" if path.exists() else "no such folder"
        raise ValueError(f"model {name!r}: {what}; expected a folder with {INDEX}, a repository OWNER/NAME, or {packaged.NAME!r}")
    try:
        return _fetch(name, weights=weights, **hub)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"model {name!r}: no such folder, and the Hub did not give it: {reason}") from error


def _fetch(name: str, *, weights: bool, **hub: Any) -> Path:
    """A repository of the Hub, without what its index does not name: some hold the same weights as one more file of 40 GB."""
    from huggingface_hub import snapshot_download

    indices = [INDEX, MODULAR_INDEX]
    folder = Path(snapshot_download(name, allow_patterns=indices, **hub))
    kinds = [kind for kind in HUB_FILES if weights or kind != "*.safetensors"]
    path = next((folder / index for index in indices if (folder / index).is_file()), None)
    if path is None:
        return Path(snapshot_download(name, allow_patterns=kinds, **hub))
    index = json.loads(path.read_text())
    unused = UNUSED_COMPONENTS.get(index.get("_class_name"), set())
    parts = [part for part, entry in index.items() if isinstance(entry, list) and part not in unused]
    wanted = [f"{part}/{kind}" for part in parts for kind in kinds]
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
    """A model's folder, its components, and its settings.

    Args:
        model: as in `locate`. components: their names. optional: those that a model may be without. settings: names of settings.
        variant: of the weights' files. options: components as objects, by name, and `HUB_OPTIONS`.

    Raises:
        ValueError: no such model, a component that the index does not name, or what `read_index` and `load_component` refuse.
        TypeError: an option that is neither.
    """
    hub = {name: options.pop(name) for name in HUB_OPTIONS if name in options}
    if unknown := sorted(set(options) - set(components)):
        raise TypeError(f"from_pretrained: {unknown} are no components; expected {tuple(components)} or {HUB_OPTIONS}")
    folder = locate(model, **hub)
    index = read_index(folder)
    # Folders from before there were joint codecs name none.
    index = {"joint_codec": [None, None], **index}
    if missing := [name for name in components if name not in index and name not in options]:
        raise ValueError(f"model {folder}: {INDEX} names no {' and no '.join(missing)}")
    # A model without words has no text encoder, and one of two codecs no joint one, which diffusers writes as two nulls.
    absent = {name for name in optional if index.get(name) == [None, None]}
    parts: dict[str, Any] = {}
    for name in components:
        given = options.get(name)
        none = name in absent
        parts[name] = given or (None if none else load_component(folder, name, index[name], variant=variant))
    return folder, parts, {name: index[name] for name in settings if name in index}


def list_files(folder: Path) -> Iterator[Path]:
    """All files in a folder, also behind links to folders, each folder once."""
    seen: set[str] = set()
    for root, inner, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(root)) in seen:
            inner.clear()
            continue
        seen.add(real)
        yield from (Path(root, name) for name in sorted(names))


def check_safe_files(folder: Path) -> None:
    """Whether a folder holds nothing that could run.

    Raises:
        ValueError: a pickle or code anywhere in it.
    """
    for path in list_files(folder):
        place, kind = path.relative_to(folder), path.suffix.lower()
        if kind in PICKLE_SUFFIXES:
            raise ValueError(
                f"model {folder}: {place} is a pickle or of a kind like it, which can run code when it is read; only safetensors "
                "are loaded"
            )
        if kind in CODE_SUFFIXES:
            raise ValueError(f"model {folder}: {place} is code; a model folder holds settings and safetensors: take it out")


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a model folder, after a look at what else lies there.

    Raises:
        ValueError: no index, an unreadable one, or a pickle or code anywhere in the folder.
    """
    path = next((folder / name for name in (INDEX, MODULAR_INDEX) if (folder / name).is_file()), None)
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

    Raises:
        ValueError: not one of the networks and codecs of this package.
    """
    if not (isinstance(entry, list | tuple) and len(entry) == 2 and all(isinstance(part, str) for part in entry)):
        raise ValueError(f"model {folder}: {name} is {entry!r} in {INDEX}, expected [module, class]")
    module, kind = renamed.current(entry[0]), entry[1]
    if not ALLOWED_MODULES.fullmatch(module):
        raise ValueError(
            f"model {folder}: {name} comes from {module!r}; classes are taken from sonovid.models and sonovid.codecs only"
        )
    try:
        found = getattr(importlib.import_module(module), kind)
    except (ImportError, AttributeError):
        found = None
    # A class that the module or package defines, and not one that it imported for itself.
    own = isinstance(found, type) and (found.__module__ == module or found.__module__.startswith(module + "."))
    if not (own and hasattr(found, "from_pretrained")):
        raise ValueError(f"model {folder}: {name} is {module}.{kind}, which this version does not have")
    return found


def load_component(folder: Path, name: str, entry: Any, *, variant: str | None = None) -> Any:
    """One component of a model folder; `entry` is its (module, class) in the index. variant: of its weights' files.

    Raises:
        ValueError: a class that is not allowed, or weights that do not fit it.
    """
    kind = resolve_class(folder, name, entry)
    check_safe_files(folder / name)
    if not (folder / name).is_dir():
        raise ValueError(f"model {folder}: the folder {name} is missing")
    try:
        component = kind.from_pretrained(str(folder / name), **({"variant": variant} if variant else {}))
    except Exception as error:
        raise ValueError(
            f"model {folder}: {name} cannot be loaded: {find_damage(folder / name) or short_message(error)}"
        ) from error
    if isinstance(component, torch.nn.Module):
        component.eval().requires_grad_(False)
        check_weights(component, folder / name)
    return component


def short_message(error: Exception) -> str:
    """An error in one line; those of libraries that explain at length are cut."""
    line = " ".join(str(error).split()) or type(error).__name__
    return line if len(line) <= 300 else line[:297] + "..."


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors in the safetensors files of a folder, not of the folders in it."""
    from safetensors import safe_open

    shapes: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            shapes |= {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    return shapes


def count_values(shapes: Iterable[tuple[int, ...]]) -> int:
    """How many numbers tensors of these shapes hold."""
    return sum(math.prod(shape) for shape in shapes)


def find_damage(folder: Path) -> str | None:
    """What is wrong with the weights' files themselves, if anything: the plainest reason why a component does not load."""
    for inner in [folder, *sorted(p for p in folder.rglob("*") if p.is_dir())]:
        if (inner / "config.json").is_file():
            try:
                json.loads((inner / "config.json").read_text())
            except (ValueError, RecursionError):
                return f"{inner.name}/config.json is not JSON"
        for path in sorted(inner.glob("*.safetensors")):
            try:
                tensor_shapes(inner)
            except Exception as error:
                return f"{path.name} is damaged ({short_message(error)})"
    return None


def check_weights(module: torch.nn.Module, folder: Path) -> None:
    """Every tensor of the module stands in its file with its shape, in this folder and in those of its parts.

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
    """The name under which a tensor is saved: its own, or without the names of the classes that wrap a released network."""
    parts = key.split(".")
    return next((name for i in range(min(3, len(parts))) if (name := ".".join(parts[i:])) in saved), None)


def remove_local_paths(folder: Path) -> None:
    """Take from all settings in a folder where its parts were loaded from: a path of somebody's machine, of no use to others."""
    for path in (folder / INDEX, *folder.rglob("config.json")):
        settings = json.loads(path.read_text())
        if settings.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
