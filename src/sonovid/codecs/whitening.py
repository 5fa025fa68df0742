"""Raw latents to final ones and back: one mean and one standard deviation per channel."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def channelwise(values: Sequence, x: Tensor) -> Tensor:
    """One value per channel as a tensor that broadcasts against x [b c ...]; a single value serves every channel.

    Raises:
        ValueError: as many values as channels were expected.
    """
    if len(values) not in (1, x.shape[1]):
        raise ValueError(
            f"whitening has {len(values)} values for latents of {x.shape[1]} channels: expected one, or one per channel"
        )
    return torch.tensor(values, dtype=x.dtype, device=x.device).reshape(1, -1, *[1] * (x.ndim - 2))


def whiten(raw: Float[Tensor, "b c *rest"], mean: Sequence, std: Sequence) -> Float[Tensor, "b c *rest"]:
    """(raw - mean) / std, channel by channel."""
    return (raw - channelwise(mean, raw)) / channelwise(std, raw)


def unwhiten(final: Float[Tensor, "b c *rest"], mean: Sequence, std: Sequence) -> Float[Tensor, "b c *rest"]:
    """final * std + mean, channel by channel."""
    return final * channelwise(std, final) + channelwise(mean, final)
