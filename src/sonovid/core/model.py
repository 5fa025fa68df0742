"""Model: base class of networks with a config, with the calls and files of diffusers but without importing it (two seconds)."""

import functools
import inspect
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

from sonovid.core import atomic

CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model"
INDEX = f"{WEIGHTS}.safetensors.index.json"

log = logging.getLogger(__name__)


class Config(dict):
    """The arguments that a model was created with, as an immutable dict whose entries are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"config has no {name!r}; it has {', '.join(self)}") from None

    def _immutable(self, *_: Any, **__: Any) -> Any:
        raise TypeError("a config is immutable: create another model with from_config(config, name=value)")

    __setattr__ = __setitem__ = __delitem__ = __delattr__ = pop = popitem = update = setdefault = clear = _immutable

    def __reduce__(self) -> tuple:
        return (type(self), (dict(self),))

    def __deepcopy__(self, memo: dict) -> "Config":
        return type(self)(dict(self.items()))


def register_to_config(init: Callable[..., None]) -> Callable[..., None]:
    """Decorator of `__init__`: stores its arguments, including defaults, as `self.config`."""
    signature = inspect.signature(init)

    @functools.wraps(init)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        values = {name: _plain(value) for name, value in list(bound.arguments.items())[1:]}
        if type(self).__init__ is wrapped:
            object.__setattr__(self, "_config", Config(values))
        init(self, *args, **kwargs)

    return wrapped


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


class SavedWeightsMixin:
    """Networks whose frozen weights lie in a file already, which `save_pretrained` links instead of writing them again."""

    _saved_weights: Path | None = None

    @contextmanager
    def saved_weights(self, file: "str | os.PathLike") -> Iterator[None]:
        """Link a file within the block.

        Args:
            file: a safetensors file whose tensors have the names and values of weights of this network.
        """
        self._saved_weights = Path(file)
        try:
            yield
        finally:
            self._saved_weights = None


class Model(SavedWeightsMixin, nn.Module):
    """A network with a config, saved as `config.json` and safetensors.

    It has the methods and files of diffusers' `ModelMixin` and `ConfigMixin`: each reads folders of the other. Weights are read
    from safetensors only, and none may be missing.
    """

    config_name = CONFIG
    _supports_gradient_checkpointing = False
    # Names of the classes of blocks, which sharded training gathers one at a time.
    _no_split_modules: ClassVar[list[str]] = []
    _gradient_checkpointing_func: Any = None
    _config = Config()

    @property
    def config(self) -> Any:
        """The arguments of `__init__`, as entries or attributes."""
        return self._config

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return next((w.dtype for w in self.parameters() if w.is_floating_point()), torch.float32)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next((w.device for w in [*self.parameters(), *self.buffers()]), torch.device("cpu"))

    def num_parameters(self, only_trainable: bool = False) -> int:
        """The number of parameters.

        Args:
            only_trainable: count only those that require a gradient.
        """
        return sum(w.numel() for w in self.parameters() if w.requires_grad or not only_trainable)

    def register_to_config(self, **changed: Any) -> None:
        """Replace entries of the config, such as whitening statistics that are computed after training."""
        object.__setattr__(self, "_config", Config({**self._config, **changed}))

    # --- gradient checkpointing ----------------------------------------------------------------------------------------

    def enable_gradient_checkpointing(self, function: Callable[..., Any] | None = None) -> None:
        """Store only the inputs of blocks and recompute their activations in the backward pass.

        Args:
            function: the checkpoint function; None: torch's non-reentrant one.

        Raises:
            ValueError: the network does not support it.
        """
        if not self._supports_gradient_checkpointing:
            raise ValueError(f"{type(self).__name__} does not support gradient checkpointing")
        self._set_checkpointing(True, function or functools.partial(checkpoint, use_reentrant=False))

    def disable_gradient_checkpointing(self) -> None:
        """Store all activations."""
        self._set_checkpointing(False, None)

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether gradient checkpointing is enabled in any module."""
        return any(getattr(module, "gradient_checkpointing", False) for module in self.modules())

    def _set_checkpointing(self, on: bool, function: Callable[..., Any] | None) -> None:
        for module in self.modules():
            if hasattr(module, "gradient_checkpointing"):
                module.gradient_checkpointing = on  # type: ignore[assignment]
                module._gradient_checkpointing_func = function  # type: ignore[assignment]

    # --- folders -------------------------------------------------------------------------------------------------------

    @classmethod
    def load_config(cls, folder: "str | os.PathLike", *, subfolder: str | None = None, **_: Any) -> dict[str, Any]:
        """Read the `config.json` of a folder.

        Raises:
            OSError: no such file.
            ValueError: not a JSON object.
        """
        path = Path(folder, subfolder or "", CONFIG)
        if not path.is_file():
            raise OSError(f"{path.parent}: no {CONFIG} there")
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"{path} is not a JSON object")
        return found

    @classmethod
    def from_config(cls, config: Mapping[str, Any], **changed: Any) -> Any:
        """Create a model from a config. Entries that the class does not know are ignored with a warning in the log.

        Args:
            config: the config.
            changed: entries to replace.

        Raises:
            ValueError: the config of another class.
        """
        named = config.get("_class_name", cls.__name__)
        if named != cls.__name__:
            raise ValueError(f"this is the config of {named}, not of {cls.__name__}")
        values = {name: value for name, value in config.items() if not name.startswith("_")} | changed
        known = inspect.signature(cls.__init__).parameters
        if unknown := sorted(set(values) - set(known)):
            log.warning("%s: config entries %s are unknown to this version and are ignored", cls.__name__, ", ".join(unknown))
        return cls(**{name: value for name, value in values.items() if name in known})

    @classmethod
    def from_pretrained(
        cls,
        folder: "str | os.PathLike",
        *,
        subfolder: str | None = None,
        dtype: torch.dtype | None = None,
        torch_dtype: torch.dtype | None = None,
        variant: str | None = None,
        use_safetensors: bool = True,
        **_: Any,
    ) -> Any:
        """Load a model from a folder.

        Args:
            folder: the folder.
            subfolder: the subfolder with the model.
            dtype: dtype of the weights; `torch_dtype` is its former name.
            variant: variant of the weight files, such as "fp16".
            use_safetensors: must be True.

        Raises:
            OSError: no config or no weights in the folder.
            ValueError: use_safetensors=False, or a tensor is missing or has another shape.
        """
        if not use_safetensors:
            raise ValueError("use_safetensors=False: only safetensors are read, since a pickle can run code")
        path = Path(folder, subfolder or "")
        config = cls.load_config(path)
        # Initial values would be overwritten. Torch's global random state stays unchanged.
        with torch.random.fork_rng(devices=[]), _skip_initialization():
            model = cls.from_config(config)
        model.load_state_dict(_check_state_dict(model, read_weights(path, variant), path), strict=False)
        return model.to(dtype=dtype or torch_dtype).eval()

    def save_pretrained(
        self,
        folder: "str | os.PathLike",
        *,
        variant: str | None = None,
        max_shard_size: int | str = "10GB",
        safe_serialization: bool = True,
        **_: Any,
    ) -> None:
        """Save `config.json` and the weights as safetensors.

        Args:
            folder: the folder.
            variant: variant of the weight files, such as "fp16".
            max_shard_size: weights above this size are split into several files.
            safe_serialization: must be True.

        Raises:
            ValueError: safe_serialization=False.
        """
        from huggingface_hub import save_torch_state_dict

        if not safe_serialization:
            raise ValueError("safe_serialization=False: only safetensors are written, since a pickle can run code")
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        entries = {"_class_name": type(self).__name__, **self.config}
        (path / CONFIG).write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        pattern = f"{WEIGHTS}{{suffix}}.{variant}.safetensors" if variant else f"{WEIGHTS}{{suffix}}.safetensors"
        if self._saved_weights is not None and variant is None:
            save_linked_weights(self.state_dict(), self._saved_weights, path)
            atomic.open_private_files(path, "*.safetensors")
            return
        weights = {name: value.contiguous() for name, value in self.state_dict().items()}
        save_torch_state_dict(weights, path, filename_pattern=pattern, max_shard_size=max_shard_size, metadata={"format": "pt"})
        atomic.open_private_files(path, "*.safetensors")


def save_linked_weights(weights: dict[str, torch.Tensor], file: Path, folder: Path) -> None:
    """Save weights as two shards and their index, the first of which is a link to a file that holds its tensors already.

    On a file system without hard links, the file is copied.
    """
    from safetensors import safe_open
    from safetensors.torch import save_file

    names = [f"{WEIGHTS}-{number:05d}-of-00002.safetensors" for number in (1, 2)]
    with safe_open(file, "pt") as saved:
        first = set(saved.keys()) & weights.keys()
    (folder / names[0]).unlink(missing_ok=True)
    try:
        os.link(file, folder / names[0])
    except OSError:
        shutil.copyfile(file, folder / names[0])
    rest = {name: value.detach().cpu().contiguous() for name, value in weights.items() if name not in first}
    save_file(rest, folder / names[1], metadata={"format": "pt"})
    places = {name: names[0] if name in first else names[1] for name in weights}
    total = sum(value.nbytes for value in weights.values())
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": places}, indent=2) + "\n")


def read_weights(folder: Path, variant: str | None = None) -> dict[str, torch.Tensor]:
    """Read all tensors of the safetensors files of a folder.

    Args:
        folder: the folder.
        variant: variant of the weight files, such as "fp16".

    Raises:
        OSError: no such files.
    """
    from safetensors.torch import load_file

    middle = f".{variant}" if variant else ""
    files = sorted(path for path in folder.glob(f"{WEIGHTS}*.safetensors") if variant or _has_no_variant(path))
    files = [path for path in files if path.name.endswith(f"{middle}.safetensors")]
    if not files:
        raise OSError(f"{folder}: no {WEIGHTS}{middle}.safetensors there")
    found: dict[str, torch.Tensor] = {}
    for path in files:
        found |= load_file(path)
    return found


def _has_no_variant(path: Path) -> bool:
    """Whether a weight file belongs to no variant: `weights.safetensors` or `weights-00001-of-00002.safetensors`."""
    return "." not in path.name.removesuffix(".safetensors")


def _check_state_dict(model: nn.Module, saved: dict[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    """The saved tensors that the model has; others are ignored with a warning in the log.

    Raises:
        ValueError: a tensor of the model is missing, or has another shape.
    """
    expected = model.state_dict()
    # Tied weights are saved under one of their names.
    present = {expected[name].data_ptr() for name in saved if name in expected}
    for name, value in expected.items():
        if name not in saved and value.data_ptr() not in present:
            raise ValueError(f"{path.name} lacks the tensor {name} {tuple(value.shape)}")
        if name in saved and saved[name].shape != value.shape:
            raise ValueError(f"{path.name}: {name} is {tuple(saved[name].shape)}, expected {tuple(value.shape)}")
    if extra := sorted(set(saved) - set(expected)):
        log.warning("%s: %d tensors are not the model's and are ignored, such as %s", path, len(extra), extra[0])
    return {name: value for name, value in saved.items() if name in expected}


class _NoInit(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if getattr(func, "__module__", None) != "torch.nn.init":
            return func(*args, **(kwargs or {}))
        return (kwargs or {}).get("tensor", args[0] if args else None)


@contextmanager
def _skip_initialization() -> Iterator[None]:
    """Modules that are created in the block skip torch.nn.init; their weights are uninitialized memory."""
    with _NoInit():
        yield
