"""Frozen weights beside a run's checkpoints: written once, and referenced by each checkpoint instead of copied into it."""

import logging
import zlib
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sonovid.core import atomic

log = logging.getLogger(__name__)


def frozen_parameters(model: nn.Module) -> dict[str, Tensor]:
    """The parameters that ask for no gradients, by name; those that the model's state does not hold are left out."""
    held = model.state_dict()
    return {name: held[name] for name, p in model.named_parameters() if not p.requires_grad and name in held}


def fingerprint(tensors: dict[str, Tensor]) -> str:
    """A CRC-32 of names, kinds and bytes, as eight hexadecimal digits; "" for no tensors."""
    crc = 0
    for name, tensor in sorted(tensors.items()):
        crc = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), crc)
        crc = zlib.crc32(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data, crc)
    return f"{crc:08x}" if tensors else ""


def file_name(mark: str) -> str:
    """The file of the frozen weights that have this fingerprint."""
    return f"frozen-{mark}.safetensors"


def save(out: Path, tensors: dict[str, Tensor], mark: str) -> None:
    """Write frozen weights into a run's folder, unless they are there."""
    path = out / file_name(mark)
    if mark and not path.is_file():
        with atomic.atomic_file(path) as aside:
            save_file({name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}, aside)


def restore(model: nn.Module, checkpoint: Path, mark: str) -> None:
    """Give a model the frozen weights that a checkpoint was trained beside.

    mark: their fingerprint, from the checkpoint's state. Nothing is read where the model has them already, as when its recipe
    loads the same released parts.

    Raises:
        ValueError: the model's are others, and the file beside the checkpoint is missing or not what was written.
    """
    own = frozen_parameters(model)
    if fingerprint(own) == mark:
        return
    path = checkpoint.absolute().parent / file_name(mark)
    if not path.is_file():
        raise ValueError(
            f"resume: {checkpoint} was trained beside other frozen weights than this recipe loads, and {path.name} is not beside "
            "it; name the same released parts, or bring that file"
        )
    found = load_file(path)
    if fingerprint(found) != mark or found.keys() != own.keys():
        raise ValueError(f"resume: {path} is not what was written, or is of another model than this recipe's; copy it again")
    log.warning("the frozen weights that this recipe loads are not those of %s; those of %s are taken", checkpoint, path.name)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in found:
                parameter.copy_(found[name])
