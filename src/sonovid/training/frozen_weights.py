"""Frozen weights of a run: saved once beside the checkpoints, which refer to them by a fingerprint."""

import logging
import zlib
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sonovid.core import atomic
from sonovid.training import sharding

log = logging.getLogger(__name__)


def frozen_parameters(model: nn.Module) -> dict[str, Tensor]:
    """The parameters without `requires_grad`, by name, as far as they are in the model's state dict."""
    state = model.state_dict()
    return {name: state[name] for name, p in model.named_parameters() if not p.requires_grad and name in state}


def fingerprint(tensors: dict[str, Tensor]) -> str:
    """CRC-32 of names, dtypes, shapes and bytes as eight hexadecimal digits; "" for no tensors."""
    crc = 0
    for name, tensor in sorted(tensors.items()):
        crc = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), crc)
        crc = zlib.crc32(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data, crc)
    return f"{crc:08x}" if tensors else ""


def file_name(fingerprint: str) -> str:
    """The file of the frozen weights with this fingerprint."""
    return f"frozen-{fingerprint}.safetensors"


def save(out: Path, tensors: dict[str, Tensor], fingerprint: str) -> None:
    """Save frozen weights in the folder of a run, unless they are already there."""
    path = out / file_name(fingerprint)
    if fingerprint and not path.is_file():
        with atomic.atomic_file(path) as temporary:
            save_file({name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}, temporary)


def restore(
    model: nn.Module, checkpoint: Path, expected: str, *, own_fingerprint: str = "", expected_to_differ: bool = False
) -> None:
    """Load the frozen weights that belong to a checkpoint into a model.

    No file is read if the model already has them, for example because its recipe loads the same released components.

    Args:
        model: the model; its frozen parameters are compared and replaced.
        checkpoint: folder of the checkpoint.
        expected: fingerprint of the frozen weights, from the state of the checkpoint.
        own_fingerprint: of the model's frozen weights, if it is known; those of a sharded model are not read.
        expected_to_differ: no warning if the model has other weights, because the run was initialised from a trained model.

    Raises:
        ValueError: the model has other frozen weights, and the file beside the checkpoint is missing or damaged.
    """
    own = frozen_parameters(model)
    if (own_fingerprint or fingerprint(own)) == expected:
        return
    path = checkpoint.absolute().parent / file_name(expected)
    if not path.is_file():
        raise ValueError(
            f"resume: {checkpoint} was trained with other frozen weights than this recipe loads, and {path.name} is not beside "
            "it; use the same released components, or copy that file there"
        )
    found = load_file(path)
    if fingerprint(found) != expected or found.keys() != own.keys():
        raise ValueError(f"resume: {path} is damaged, or belongs to another model than this recipe's; copy it again")
    if not expected_to_differ:
        log.warning(
            "the frozen weights that this recipe loads differ from those of %s; %s is used instead", checkpoint, path.name
        )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in found:
                sharding.copy_whole(parameter, found[name])
