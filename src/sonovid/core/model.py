"""Model: a network with a config and a folder, in the layout of diffusers, without the two seconds that importing it takes."""

import functools
import inspect
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model"
INDEX = f"{WEIGHTS}.safetensors.index.json"

log = logging.getLogger(__name__)


class Config(dict):
    """The arguments that a model was made with; entries are attributes too, and none can be changed."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"config has no {name!r}; it has {', '.join(self)}") from None

    def _fixed(self, *_: Any, **__: Any) -> Any:
        raise TypeError("a config cannot be changed: make another model with from_config(config, name=value)")

    __setattr__ = __setitem__ = __delitem__ = __delattr__ = pop = popitem = update = setdefault = clear = _fixed

    def __reduce__(self) -> tuple:
        return (type(self), (dict(self),))

    def __deepcopy__(self, memo: dict) -> "Config":
        return type(self)(dict(self.items()))


def register_to_config(init: Callable[..., None]) -> Callable[..., None]:
    """Decorator of `__init__`: what it is called with, defaults included, becomes `self.config`."""
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


class Model(nn.Module):
    """A network whose arguments are its config, saved as `config.json` beside safetensors.

    The same calls as those of diffusers' `ModelMixin` and `ConfigMixin`, and the same files: each reads folders of the other.
    Weights are read from safetensors alone, and all of them have to be there.
    """

    config_name = CONFIG
    _supports_gradient_checkpointing = False
    _gradient_checkpointing_func: Any = None
    _config = Config()

    @property
    def config(self) -> Any:
        """The arguments of `__init__`, by name, as entries or attributes."""
        return self._config

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return next((w.dtype for w in self.parameters() if w.is_floating_point()), torch.float32)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next((w.device for w in [*self.parameters(), *self.buffers()]), torch.device("cpu"))

    def num_parameters(self, only_trainable: bool = False) -> int:
        """How many numbers there are to learn."""
        return sum(w.numel() for w in self.parameters() if w.requires_grad or not only_trainable)

    def register_to_config(self, **changed: Any) -> None:
        """Replace entries of the config, such as a whitening that was measured after training."""
        object.__setattr__(self, "_config", Config({**self._config, **changed}))

    # --- gradient checkpointing ----------------------------------------------------------------------------------------

    def enable_gradient_checkpointing(self, function: Callable[..., Any] | None = None) -> None:
        """Keep the inputs of blocks instead of their activations, and compute these again in the backward pass.

        Raises:
            ValueError: the network has no such blocks.
        """
        if not self._supports_gradient_checkpointing:
            raise ValueError(f"{type(self).__name__} does not support gradient checkpointing")
        self._set_checkpointing(True, function or functools.partial(checkpoint, use_reentrant=False))

    def disable_gradient_checkpointing(self) -> None:
        """Keep all activations."""
        self._set_checkpointing(False, None)

    @property
    def is_gradient_checkpointing(self) -> bool:
        return any(getattr(module, "gradient_checkpointing", False) for module in self.modules())

    def _set_checkpointing(self, on: bool, function: Callable[..., Any] | None) -> None:
        for module in self.modules():
            if hasattr(module, "gradient_checkpointing"):
                module.gradient_checkpointing = on  # type: ignore[assignment]
                module._gradient_checkpointing_func = function  # type: ignore[assignment]

    # --- folders -------------------------------------------------------------------------------------------------------

    @classmethod
    def load_config(cls, folder: "str | os.PathLike", *, subfolder: str | None = None, **_: Any) -> dict[str, Any]:
        """The entries of a folder's `config.json`.

        Raises:
            OSError: there is none. ValueError: it is no JSON table.
        """
        path = Path(folder, subfolder or "", CONFIG)
        if not path.is_file():
            raise OSError(f"{path.parent}: no {CONFIG} there")
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"{path} is no table of settings")
        return found

    @classmethod
    def from_config(cls, config: Mapping[str, Any], **changed: Any) -> Any:
        """A model from the entries of a config; those that its class does not know are left out, which the log says.

        Raises:
            ValueError: the config is that of another class.
        """
        named = config.get("_class_name", cls.__name__)
        if named != cls.__name__:
            raise ValueError(f"this is the config of {named}, and not of {cls.__name__}")
        given = {name: value for name, value in config.items() if not name.startswith("_")} | changed
        known = inspect.signature(cls.__init__).parameters
        if unknown := sorted(set(given) - set(known)):
            log.warning("%s: %s in the config are not known to this version and are left out", cls.__name__, ", ".join(unknown))
        return cls(**{name: value for name, value in given.items() if name in known})

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
        """Read a folder, or the `subfolder` of one. variant: of the weights' files, such as "fp16".

        Raises:
            OSError: no config or no weights there.
            ValueError: pickled weights are asked for, a tensor is missing, or one has another shape.
        """
        if not use_safetensors:
            raise ValueError("use_safetensors=False: only safetensors are read, since a pickle can run code")
        path = Path(folder, subfolder or "")
        config = cls.load_config(path)
        # Values that are overwritten need not be drawn, and whoever draws from torch's own generator finds it as it was.
        with torch.random.fork_rng(devices=[]), _without_initial_values():
            model = cls.from_config(config)
        model.load_state_dict(_matching(model, read_weights(path, variant), path), strict=False)
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
        """Write `config.json` and the weights, as safetensors, in several files above `max_shard_size`.

        Raises:
            ValueError: pickles are asked for.
        """
        from huggingface_hub import save_torch_state_dict

        if not safe_serialization:
            raise ValueError("safe_serialization=False: only safetensors are written, since a pickle can run code")
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        entries = {"_class_name": type(self).__name__, **self.config}
        (path / CONFIG).write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        pattern = f"{WEIGHTS}{{suffix}}.{variant}.safetensors" if variant else f"{WEIGHTS}{{suffix}}.safetensors"
        weights = {name: value.contiguous() for name, value in self.state_dict().items()}
        save_torch_state_dict(weights, path, filename_pattern=pattern, max_shard_size=max_shard_size, metadata={"format": "pt"})


def read_weights(folder: Path, variant: str | None = None) -> dict[str, torch.Tensor]:
    """All tensors of a folder's safetensors, whether one file or several. variant: as in `Model.from_pretrained`.

    Raises:
        OSError: there are none.
    """
    from safetensors.torch import load_file

    middle = f".{variant}" if variant else ""
    files = sorted(path for path in folder.glob(f"{WEIGHTS}*.safetensors") if variant or _plain_name(path))
    files = [path for path in files if path.name.endswith(f"{middle}.safetensors")]
    if not files:
        raise OSError(f"{folder}: no {WEIGHTS}{middle}.safetensors there")
    found: dict[str, torch.Tensor] = {}
    for path in files:
        found |= load_file(path)
    return found


def _plain_name(path: Path) -> bool:
    """Whether a file of weights is of no variant: `weights.safetensors` or `weights-00001-of-00002.safetensors`."""
    return "." not in path.name.removesuffix(".safetensors")


def _matching(model: nn.Module, found: dict[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    """The found tensors, each of which the model has, in its shape.

    Raises:
        ValueError: a tensor of the model is missing, or has another shape.
    """
    wanted = model.state_dict()
    # Of tied weights one name is saved.
    there = {wanted[name].data_ptr() for name in found if name in wanted}
    for name, value in wanted.items():
        if name not in found and value.data_ptr() not in there:
            raise ValueError(f"{path.name} lacks the tensor {name} {tuple(value.shape)}")
        if name in found and found[name].shape != value.shape:
            raise ValueError(f"{path.name}: {name} is {tuple(found[name].shape)}, expected {tuple(value.shape)}")
    if extra := sorted(set(found) - set(wanted)):
        log.warning("%s: %d tensors are not the model's and are left out, such as %s", path, len(extra), extra[0])
    return {name: value for name, value in found.items() if name in wanted}


class _NoInit(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if getattr(func, "__module__", None) != "torch.nn.init":
            return func(*args, **(kwargs or {}))
        return (kwargs or {}).get("tensor", args[0] if args else None)


@contextmanager
def _without_initial_values() -> Iterator[None]:
    """Modules made inside keep whatever their memory held, wherever torch.nn.init would have filled it."""
    with _NoInit():
        yield
