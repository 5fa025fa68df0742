"""LoRA layers (Hu et al. 2021) of a network, through peft: add, load, save, unload, fuse."""

import copy
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sonovid.core import atomic

FILE = "pytorch_lora_weights.safetensors"
# Prefixes that other libraries put before the names of the network's modules.
PREFIXES = ("base_model.model.", "denoiser.", "transformer.", "unet.")


def _peft() -> Any:
    try:
        import peft
    except ImportError:
        raise ValueError("LoRA needs peft: pip install 'sonovid[lora]'") from None
    return peft


def add(network: nn.Module, rank: int, alpha: float | None, layers: Sequence[str], name: str = "default") -> None:
    """Add new LoRA layers to the linear layers of a network, and freeze all other weights.

    The output does not change at first, since B is zero (Hu et al. 2021, Sec. 4.1). A is drawn from the global random state.

    Args:
        network: the network. Linear layers with frozen weights get no LoRA layer.
        rank: rank r of the update.
        alpha: the update is scaled by alpha / r. None: alpha = r.
        layers: ends of the names of the layers to adapt, such as "qkv" or "attention.out". Empty: all linear layers.
        name: name of the adapter.

    Raises:
        ValueError: peft is not installed, or the network has no such layers.
    """
    peft = _peft()
    trained = [name for name, part in network.named_modules() if isinstance(part, nn.Linear) and part.weight.requires_grad]
    wanted = [name for name in trained if not layers or any(name == end or name.endswith("." + end) for end in layers)]
    if not wanted:
        ends = sorted({name.rpartition(".")[2] for name in trained})
        asked = f" {' or '.join(layers)} among those that are trained; their names end in {', '.join(ends)}" if ends else "s"
        raise ValueError(f"LoRA: {type(network).__name__} has no linear layer{asked}")
    # A pattern matches whole names, whereas names in a list match ends too.
    pattern = "|".join(re.escape(name) for name in wanted)
    config = peft.LoraConfig(r=rank, lora_alpha=rank if alpha is None else alpha, target_modules=pattern)
    _inject(network, config, name)


def _inject(network: nn.Module, config: Any, name: str) -> None:
    """Insert the LoRA layers of a config of peft."""
    _peft().inject_adapter_in_model(config, network, name)
    for _, _, layer in _lora_layers(network):
        # Motion modules of diffusers call linear layers with input=, which those of peft do not take.
        layer.register_forward_pre_hook(_positional_input, with_kwargs=True)
    network._lora = {**getattr(network, "_lora", {}), name: config}  # type: ignore[assignment]


def _positional_input(_: nn.Module, inputs: tuple, named: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
    return (named.pop("input"), *inputs) if "input" in named else inputs, named


def read_weights(source: "str | os.PathLike | Mapping[str, torch.Tensor]", weight_name: str | None = None) -> tuple[dict, dict]:
    """Read LoRA weights.

    Args:
        source: a safetensors file, a folder of peft (`adapter_model.safetensors`, `adapter_config.json`) or diffusers
            (`pytorch_lora_weights.safetensors`), or a state dict.
        weight_name: name of the file in the folder.

    Returns:
        (weights by the network's names, settings of peft from `adapter_config.json` if there is one).

    Raises:
        ValueError: no such file, or no LoRA weights in it.
    """
    settings: dict[str, Any] = {}
    if isinstance(source, Mapping):
        weights = dict(source)
    else:
        from safetensors.torch import load_file

        path = Path(source)
        names = [weight_name] if weight_name else [FILE, "adapter_model.safetensors"]
        files = [path] if path.is_file() else [path / name for name in names if (path / name).is_file()]
        if not files or files[0].suffix != ".safetensors":
            raise ValueError(f"LoRA {source}: expected a .safetensors file, or a folder with {' or '.join(names)}")
        weights = load_file(files[0])
        config = files[0].parent / "adapter_config.json"
        if config.is_file():
            settings = json.loads(config.read_text(encoding="utf-8"))
    found = {_strip_prefixes(name): value for name, value in weights.items() if ".lora_" in name}
    if not found:
        raise ValueError(f"LoRA: no LoRA weights among {len(weights)} tensors: expected names with .lora_A. and .lora_B.")
    return found, settings


def _strip_prefixes(name: str) -> str:
    while prefix := next((p for p in PREFIXES if name.startswith(p)), ""):
        name = name[len(prefix) :]
    return name


def load(network: nn.Module, source: Any, adapter_name: str, *, weight_name: str | None = None) -> None:
    """Insert LoRA layers into a network and load their weights.

    Args:
        network: the network.
        source: as in `read_weights`.
        adapter_name: name of the adapter.
        weight_name: as in `read_weights`.

    Raises:
        ValueError: as `read_weights`, or layers that the network does not have.
    """
    peft = _peft()
    weights, settings = read_weights(source, weight_name)
    ranks = {name.split(".lora_")[0]: value.shape[0] for name, value in weights.items() if ".lora_A." in name}
    known = dict(network.named_modules())
    if missing := sorted(set(ranks) - set(known)):
        raise ValueError(f"LoRA: {len(missing)} layers are not in {type(network).__name__}, such as {missing[0]}")
    rank = min(ranks.values(), default=8)
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=settings.get("lora_alpha", rank),
        rank_pattern={name: r for name, r in ranks.items() if r != rank},
        alpha_pattern=settings.get("alpha_pattern") or {},
        use_rslora=bool(settings.get("use_rslora", False)),
        target_modules=sorted(ranks),
    )
    _inject(network, config, adapter_name)
    keys = peft.set_peft_model_state_dict(network, weights, adapter_name)
    if unexpected := list(getattr(keys, "unexpected_keys", [])):
        raise ValueError(f"LoRA: {len(unexpected)} tensors do not fit {type(network).__name__}, such as {unexpected[0]}")
    network.eval().requires_grad_(False)


def save(network: nn.Module, folder: "str | os.PathLike", adapter_name: str = "default") -> None:
    """Save the LoRA layers as `pytorch_lora_weights.safetensors`, with the settings of peft in `adapter_config.json`.

    Raises:
        ValueError: the network has no such adapter.
    """
    peft = _peft()
    from safetensors.torch import save_file

    configs = getattr(network, "_lora", {})
    if adapter_name not in configs:
        raise ValueError(f"LoRA: {type(network).__name__} has no adapter {adapter_name!r}; it has {sorted(configs)}")
    weights = peft.get_peft_model_state_dict(network, adapter_name=adapter_name)
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    save_file({f"denoiser.{name}": value.contiguous() for name, value in weights.items()}, path / FILE, {"format": "pt"})
    atomic.open_private_files(path, FILE)
    settings = {name: getattr(configs[adapter_name], name) for name in ("r", "lora_alpha", "alpha_pattern", "use_rslora")}
    (path / "adapter_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _lora_layers(network: nn.Module) -> list[tuple[nn.Module, str, Any]]:
    """Every LoRA layer as (parent module, name in the parent, layer)."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    found = []
    for name, module in list(network.named_modules()):
        if isinstance(module, BaseTunerLayer):
            parent, _, child = name.rpartition(".")
            found.append((network.get_submodule(parent), child, module))
    return found


def unload(network: nn.Module) -> None:
    """Replace the LoRA layers by the layers that they wrap."""
    _peft()
    for parent, child, layer in _lora_layers(network):
        setattr(parent, child, layer.get_base_layer())
    _clear_adapters(network)


def _clear_adapters(network: nn.Module) -> None:
    network._lora = {}  # type: ignore[assignment]
    # peft takes a network with this attribute for one with adapters.
    network.__dict__.pop("peft_config", None)


def fused_copy(network: nn.Module) -> nn.Module:
    """A copy of a network whose weights contain the LoRA updates, without LoRA layers; the network itself if it has none."""
    if not getattr(network, "_lora", {}):
        return network
    copied = copy.deepcopy(network)
    fuse(copied)
    return copied


def fuse(network: nn.Module, scale: float = 1.0) -> None:
    """Add the LoRA updates, times `scale`, to the weights and remove the LoRA layers."""
    _peft()
    for parent, child, layer in _lora_layers(network):
        if scale != 1:
            layer.scale_layer(scale)
        layer.merge()
        setattr(parent, child, layer.get_base_layer())
    _clear_adapters(network)
