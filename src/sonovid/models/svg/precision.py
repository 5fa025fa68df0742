"""Precision of operations that a CPU handles badly in bfloat16, and gradient checkpointing that keeps it."""

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint


class SinglePrecision(TorchFunctionMode):
    """Run operations in single precision that a CPU handles badly in bfloat16.

    These are attention, whose backward pass is slow, and convolutions over a width of one, as for audio with one mel position:
    with a stride, the gradients of their weights were sometimes not finite (torch 2.13).
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        narrow = func is F.conv2d and args[0].shape[-1] == 1
        if func is not F.scaled_dot_product_attention and not narrow:
            return func(*args, **(kwargs or {}))

        def single(value: Any) -> Any:
            return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value

        with torch.autocast("cpu", enabled=False):
            return func(*map(single, args), **{name: single(value) for name, value in (kwargs or {}).items()})


def cpu_precision(device: torch.device) -> Any:
    """Context for a forward pass: `SinglePrecision` if a CPU trains under autocast, else nothing."""
    slow = device.type == "cpu" and torch.is_autocast_enabled("cpu") and torch.is_grad_enabled()
    return SinglePrecision() if slow else nullcontext()


def checkpoint_block(block: nn.Module, *inputs: Any) -> Any:
    """Gradient checkpointing of a block that recomputes in the precision of the forward pass.

    The backward pass runs outside `cpu_precision`, so its mode has to be entered again.
    """
    tensors = [value for value in inputs if isinstance(value, Tensor)]
    mode = cpu_precision(tensors[0].device)
    return checkpoint(block, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), mode))
