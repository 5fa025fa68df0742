"""Gradient checkpointing for any model: activations inside blocks are recomputed in the backward pass instead of stored."""

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def enable_gradient_checkpointing(model: nn.Module) -> int:
    """Turn on gradient checkpointing.

    A network with a method of its own for this (as in diffusers) uses it. In all other parts each block of the outermost lists of
    blocks is one checkpointed segment: an `nn.ModuleList`, or an `nn.Sequential` of modules that have children.

    Returns:
        The number of checkpointed segments; a network that uses its own method counts as one.
    """
    if _supports_checkpointing(model):
        model.enable_gradient_checkpointing()  # type: ignore[operator]
        return 1
    if isinstance(model, nn.ModuleList | nn.Sequential):
        blocks = [block for block in model if list(block.children())]
        return sum(_checkpoint_block(block) for block in blocks)
    return sum(enable_gradient_checkpointing(child) for child in model.children())


def _supports_checkpointing(model: nn.Module) -> bool:
    """Whether a network of diffusers or of this package has its own gradient checkpointing."""
    return bool(getattr(model, "_supports_gradient_checkpointing", False)) and hasattr(model, "enable_gradient_checkpointing")


def _checkpoint_block(block: nn.Module) -> int:
    """Checkpoint a block as one segment, unless it contains a network with its own method."""
    if any(_supports_checkpointing(part) for part in block.modules()):
        return enable_gradient_checkpointing(block)
    if not any(parameter.requires_grad for parameter in block.parameters()):
        return 0
    # An attribute of the instance leaves the state dict and the saved class name as they are.
    block.forward = partial(_forward, block, block.forward)
    return 1


def _forward(block: nn.Module, forward: Any, *inputs: Any, **named: Any) -> Any:
    if not (block.training and torch.is_grad_enabled()):
        return forward(*inputs, **named)
    return checkpoint(forward, *inputs, use_reentrant=False, **named)
