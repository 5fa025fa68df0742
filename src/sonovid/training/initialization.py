"""Fine-tuning: initialise a network from a trained model, train LoRA layers, and freeze all but one stream."""

import json
import re
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sonovid.pipelines import loading, lora
from sonovid.training.config import TrainingConfig
from sonovid.training.seeding import seeded_init


def initialize_from(model: nn.Module, source: str) -> None:
    """Load all weights of a network from a trained model. The optimiser and the step count stay new.

    Args:
        model: the network of a recipe, of the same class and size as the trained one.
        source: a model folder, the folder of one network or codec, or the name of a packaged model. Of a folder with several
            networks, that of this class is used.

    Raises:
        ValueError: there is no such folder, or its weights belong to another network.
    """
    folder = _network_folder(loading.locate(source), type(model).__name__)
    found: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= load_file(path)
    if not found:
        raise ValueError(f"init={source}: no safetensors in {folder}; expected a model folder, or the folder of one network")
    own = model.state_dict()
    for name, value in own.items():
        if name not in found:
            raise ValueError(f"init={source}: it has no {name}, so it is another network; use the same network.*")
        if found[name].shape != value.shape:
            sizes = f"{tuple(found[name].shape)} there and {tuple(value.shape)} here"
            raise ValueError(f"init={source}: {name} is {sizes}; use its network.*, geometry.* and codecs.*")
    if surplus := sorted(found.keys() - own.keys()):
        raise ValueError(f"init={source}: this recipe's network has no {surplus[0]}; use the same network.*")
    with torch.no_grad():
        model.load_state_dict(found)


def _network_folder(folder: Path, kind: str) -> Path:
    """The folder of the network of this class: `folder` itself or below it; the denoiser of a model folder if there is none."""
    for path in [folder / "config.json", *sorted(folder.glob("*/config.json")), *sorted(folder.glob("*/*/config.json"))]:
        if path.is_file() and json.loads(path.read_text(encoding="utf-8")).get("_class_name") == kind:
            return path.parent
    return folder / "denoiser" if (folder / loading.INDEX).is_file() else folder


def prepare_fine_tuning(model: nn.Module, config: TrainingConfig, *, resumed: bool) -> None:
    """Do what the keys `init`, `streams` and `lora_*` of a training ask for, before its optimiser is built.

    Args:
        model: the network of a recipe.
        config: the training config.
        resumed: whether a checkpoint will be loaded, so that `init` is not read.

    Raises:
        ValueError: see `initialize_from`, `freeze_other_stream` and `lora.add`; LoRA layers without a trained network.
    """
    if config.lora_rank and not config.init:
        raise ValueError(
            f"lora_rank={config.lora_rank}: LoRA layers adapt a trained network; name it by init=MODEL_FOLDER or init=packaged"
        )
    if config.init and not resumed:
        initialize_from(model, config.init)
    if config.streams != "both":
        freeze_other_stream(model, config.streams)
    if config.lora_rank:
        with seeded_init(config.seed):
            lora.add(model, config.lora_rank, config.lora_alpha, config.lora_layers)


def stream_of(name: str) -> str | None:
    """The stream that a parameter belongs to, by its name ("embed_video", "unets.audio"); None if it is shared."""
    parts = re.split(r"[._]", name)
    streams = [stream for stream in ("video", "audio") if stream in parts]
    return streams[0] if len(streams) == 1 else None


def freeze_other_stream(model: nn.Module, stream: str) -> None:
    """Freeze the parameters that belong to the other stream alone. Shared parameters stay trainable.

    Args:
        model: the network.
        stream: "video" or "audio", the stream to train.

    Raises:
        ValueError: no parameter belongs to this stream alone.
    """
    named = list(model.named_parameters())
    if not any(stream_of(name) == stream for name, _ in named):
        raise ValueError(
            f"streams={stream}: no weights of a {type(model).__name__} belong to this stream alone; use streams=both"
        )
    for name, parameter in named:
        if stream_of(name) not in (stream, None):
            parameter.requires_grad_(False)
