"""Gradient checkpointing for any model: activations inside blocks are computed again in the backward pass, not kept."""

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def enable_gradient_checkpointing(model: nn.Module) -> int:
    """Turn gradient checkpointing on, and return in how many places.

    Networks of diffusers' kind that support it do it in their own way. Of all other parts, each block of each outermost list of
    blocks (`nn.ModuleList`, or an `nn.Sequential` of modules that have parts themselves) is one piece.
    """
    if _has_its_own_way(model):
        model.enable_gradient_checkpointing()  # type: ignore[operator]
        return 1
    if isinstance(model, nn.ModuleList | nn.Sequential):
        blocks = [block for block in model if list(block.children())]
        return sum(_recompute_block(block) for block in blocks)
    return sum(enable_gradient_checkpointing(child) for child in model.children())


def _has_its_own_way(model: nn.Module) -> bool:
    """Whether a network can do it by itself, be it of diffusers or of this package's own kind."""
    return bool(getattr(model, "_supports_gradient_checkpointing", False)) and hasattr(model, "enable_gradient_checkpointing")


def _recompute_block(block: nn.Module) -> int:
    """One block as one piece, unless it holds a network that has its own way."""
    if any(_has_its_own_way(part) for part in block.modules()):
        return enable_gradient_checkpointing(block)
    if not any(parameter.requires_grad for parameter in block.parameters()):
        return 0
    # The instance's own attribute: the state's names, and the class that is saved, stay what they are.
    block.forward = partial(_through, block, block.forward)
    return 1


def _through(block: nn.Module, forward: Any, *inputs: Any, **named: Any) -> Any:
    if not (block.training and torch.is_grad_enabled()):
        return forward(*inputs, **named)
    return checkpoint(forward, *inputs, use_reentrant=False, **named)
