"""Cross-modal discriminator: are an audio image and two frames real, and do they belong to one clip (MM-LDM, Eq. 2)?"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.codecs.hierarchical.layers import ResidualBlock, SpatialAttention, TemporalAttention, group_norm

SLOTS = 3


class Discriminator(nn.Module):
    """Residual blocks over three images (slots): audio image, frame i, frame j. At low resolutions the slots attend jointly.

    Args:
        size: (rows, columns) of the images.
        width: Base width.
        mults: Multipliers of `width` for each level. Each level has half the size of the previous one.
        across: Levels at which each position attends to the same position of the other slots.
        full: Levels at which all positions of all slots attend jointly.
        head_width: Channels of an attention head.

    Raises:
        ValueError: The images cannot be halved as often as there are levels.
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
        self.conv_out, self.norm, self.out = nn.Conv2d(at, at, 3, padding=1), group_norm(at), nn.Linear(at, 1)

    def forward(self, images: Float[Tensor, "b 3 s h w"]) -> Float[Tensor, "b"]:
        """Unbounded realness score of each triple.

        Args:
            pictures: Images in [-1, 1], with the slots in the order audio image, frame i, frame j.

        Raises:
            ValueError: The images have another number or size.
        """
        if tuple(images.shape[1:]) != tuple(self.slots.shape):
            raise ValueError(f"Discriminator: pictures {tuple(images.shape[1:])}, expected {tuple(self.slots.shape)}")
        h = self.conv_in(rearrange(images + self.slots, "b c s h w -> (b s) c h w"))
        for level in self.levels:
            parts: Any = level
            if "down" in parts:
                h = parts["down"](h)
            h = parts["block"](h)
            if "across" in parts:
                clips = parts["across"](rearrange(h, "(b s) c h w -> b c s h w", s=SLOTS))
                h = rearrange(clips, "b c s h w -> (b s) c h w")
            if "full" in parts:
                # Stack the slots vertically into one image.
                tall = parts["full"](rearrange(h, "(b s) c h w -> b c (s h) w", s=SLOTS))
                h = rearrange(tall, "b c (s h) w -> (b s) c h w", s=SLOTS)
        h = F.silu(self.norm(self.conv_out(h)))
        return self.out(rearrange(h, "(b s) c h w -> b (s h w) c", s=SLOTS).mean(1))[:, 0].float()


def paper() -> dict[str, Any]:
    """The released size, for images of 256 x 256."""
    return {}


def small(size: Sequence[int], width: int = 16) -> dict[str, Any]:
    """A small size, halved four times, for images of 32 x 32 and larger."""
    return {"size": tuple(size), "width": width, "mults": (1, 2, 3, 4, 4), "across": (2, 3), "full": (4,)}
