"""Fine-tuning: a network that begins with a trained model's weights, and the training of one stream alone."""

import re
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sonovid.pipelines import loading

PACKAGED = "packaged"


def initialize_from(model: nn.Module, source: str) -> None:
    """Give a network all of its weights from a trained model: fine-tuning, with a new optimiser and a step count of zero.

    Args:
        model: the network of a recipe, of the same kind and size as the trained one.
        source: a model folder as training leaves it (its `denoiser`), the folder of one network or codec, or "packaged".

    Raises:
        ValueError: no such folder, or weights of another network.
    """
    given = "shipped" if source == PACKAGED else source
    folder = loading.locate(given) if given == "shipped" or not Path(given).is_dir() else Path(given)
    folder = folder / "denoiser" if (folder / loading.INDEX).is_file() else folder
    found: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= load_file(path)
    if not found:
        raise ValueError(f"init={source}: no safetensors in {folder}; expected a model folder, or the folder of one network")
    wanted = model.state_dict()
    for name, value in wanted.items():
        if name not in found:
            raise ValueError(f"init={source}: it has no {name}, so it is another network than this recipe's; set network.* alike")
        if found[name].shape != value.shape:
            sizes = f"{tuple(found[name].shape)} there and {tuple(value.shape)} here"
            raise ValueError(f"init={source}: {name} is {sizes}; set network.*, geometry.* and codecs.* as it was trained")
    if surplus := sorted(found.keys() - wanted.keys()):
        raise ValueError(f"init={source}: {surplus[0]} is no part of this recipe's network; set network.* alike")
    with torch.no_grad():
        model.load_state_dict(found)


def stream_of(name: str) -> str | None:
    """The stream that a parameter serves alone, by a part of its dotted name ("embed_video", "unets.audio"), or None."""
    parts = re.split(r"[._]", name)
    streams = [stream for stream in ("video", "audio") if stream in parts]
    return streams[0] if len(streams) == 1 else None


def freeze_other_stream(model: nn.Module, stream: str) -> None:
    """Freeze what serves the other stream alone; what both share is trained.

    Raises:
        ValueError: nothing of the network serves this stream alone.
    """
    named = list(model.named_parameters())
    if not any(stream_of(name) == stream for name, _ in named):
        raise ValueError(
            f"streams={stream}: no weights of a {type(model).__name__} belong to this stream alone; give streams=both"
        )
    for name, parameter in named:
        if stream_of(name) not in (stream, None):
            parameter.requires_grad_(False)
