"""The cross-modal discriminator: an audio image and two frames, real or not, and of one clip or not (MM-LDM, Eq. 2)."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.codecs.hierarchical.layers import ResidualBlock, SpatialAttention, TemporalAttention, norm

SLOTS = 3


class Discriminator(nn.Module):
    """Residual blocks over three pictures, their slots (sound, frame i, frame j), attending to each other where they are small.

    size: (rows, columns) of the pictures. width, mults: of the levels, each half the size of the one before. across: the levels
    at which each place attends to the same place of the other slots. full: those at which all places of all slots attend.
    """

    def __init__(
        self,
        size: Sequence[int] = (256, 256),
        *,
        width: int = 32,
        mults: Sequence[int] = (1, 2, 3, 4, 4, 6, 6),
        across: Sequence[int] = (2, 3, 4),
        full: Sequence[int] = (5,),
        head_width: int = 32,
    ):
        super().__init__()
        if min(size) < 2 ** (len(mults) - 1):
            raise ValueError(f"Discriminator: pictures of {size[0]}x{size[1]} cannot be halved {len(mults) - 1} times")
        self.slots = nn.Parameter(0.02 * torch.randn(3, SLOTS, *size))
        self.conv_in = nn.Conv2d(3, width * mults[0], 3, padding=1)
        self.levels, at = nn.ModuleList(), width * mults[0]
        for i, mult in enumerate(mults):
            level = nn.ModuleDict()
            if i:
                level["down"] = nn.Conv2d(at, at, 3, stride=2, padding=1)
            level["block"] = ResidualBlock(at, width * mult)
            at = width * mult
            if i in across:
                level["across"] = TemporalAttention(at, head_width)
            if i in full:
                level["full"] = SpatialAttention(at, head_width)
            self.levels.append(level)
        self.conv_out, self.norm, self.out = nn.Conv2d(at, at, 3, padding=1), norm(at), nn.Linear(at, 1)

    def forward(self, pictures: Float[Tensor, "b 3 s h w"]) -> Float[Tensor, "b"]:
        """How real a triple is, without bounds; pictures in [-1, 1], slots in the order sound, frame i, frame j.

        Raises:
            ValueError: pictures of another number or size.
        """
        if tuple(pictures.shape[1:]) != tuple(self.slots.shape):
            raise ValueError(f"Discriminator: pictures {tuple(pictures.shape[1:])}, expected {tuple(self.slots.shape)}")
        h = self.conv_in(rearrange(pictures + self.slots, "b c s h w -> (b s) c h w"))
        for level in self.levels:
            parts: Any = level
            if "down" in parts:
                h = parts["down"](h)
            h = parts["block"](h)
            if "across" in parts:
                clips = parts["across"](rearrange(h, "(b s) c h w -> b c s h w", s=SLOTS))
                h = rearrange(clips, "b c s h w -> (b s) c h w")
            if "full" in parts:
                # All slots below each other are one picture.
                tall = parts["full"](rearrange(h, "(b s) c h w -> b c (s h) w", s=SLOTS))
                h = rearrange(tall, "b c (s h) w -> (b s) c h w", s=SLOTS)
        h = F.silu(self.norm(self.conv_out(h)))
        return self.out(rearrange(h, "(b s) c h w -> b (s h w) c", s=SLOTS).mean(1))[:, 0].float()


def paper() -> dict[str, Any]:
    """The released size, for pictures of 256 x 256."""
    return {}


def small(size: Sequence[int], width: int = 16) -> dict[str, Any]:
    """For pictures of 32 x 32 and upwards: halved four times."""
    return {"size": tuple(size), "width": width, "mults": (1, 2, 3, 4, 4), "across": (2, 3), "full": (4,)}
