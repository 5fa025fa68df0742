"""Whitening of latents: one mean and one standard deviation per channel."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def per_channel(values: Sequence, x: Tensor) -> Tensor:
    """Values per channel as a tensor that broadcasts against x [b c ...]. A single value applies to every channel.

    Raises:
        ValueError: The number of values is neither one nor the number of channels.
    """
    if len(values) not in (1, x.shape[1]):
        raise ValueError(
            f"whitening has {len(values)} values for latents of {x.shape[1]} channels: expected one, or one per channel"
        )
    return torch.tensor(values, dtype=x.dtype, device=x.device).reshape(1, -1, *[1] * (x.ndim - 2))


def whiten(raw: Float[Tensor, "b c *rest"], mean: Sequence, std: Sequence) -> Float[Tensor, "b c *rest"]:
    """(raw - mean) / std, per channel."""
    return (raw - per_channel(mean, raw)) / per_channel(std, raw)


def unwhiten(final: Float[Tensor, "b c *rest"], mean: Sequence, std: Sequence) -> Float[Tensor, "b c *rest"]:
    """final * std + mean, per channel."""
    return final * per_channel(std, final) + per_channel(mean, final)
