"""MelGAN's generator: log-mel frames to a waveform by upsampling convolutions (Kumar et al. 2019; CMMD, appendix B.1).

Channels stand last throughout, and a transposed convolution is a product of neighbouring steps with one matrix: on a CPU that is
several times faster than the usual order, where every layer rearranges what it gets.
"""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from sonovid.core.model import Model, register_to_config

SLOPE = 0.2


def normed(layer: nn.Module) -> nn.Module:
    """A layer whose weight is a direction and a length for each channel (Salimans & Kingma 2016).

    Begun as torch begins it. The published code means to draw weights of deviation 0.02, but sets a product that its next call
    computes anew; so small, narrow layers would pass on a tenth of what they get, and a narrow network stays silent.
    """
    return weight_norm(layer)


def reflected(x: Float[Tensor, "b n c"], side: int) -> Float[Tensor, "b m c"]:
    """x continued on both sides by its reflection; by its ends, where it is too short to be reflected."""
    if x.shape[1] <= side:
        return torch.cat([x[:, :1].expand(-1, side, -1), x, x[:, -1:].expand(-1, side, -1)], dim=1)
    return torch.cat([x[:, 1 : side + 1].flip(1), x, x[:, -side - 1 : -1].flip(1)], dim=1)


def convolved(x: Float[Tensor, "b n c"], layer: Any) -> Float[Tensor, "b n d"]:
    """`layer`, an nn.Conv1d of odd size, on x continued by reflection."""
    (size,), (dilation,) = layer.kernel_size, layer.dilation
    padded = reflected(x, dilation * (size // 2))
    y = F.conv2d(padded[:, None].permute(0, 3, 1, 2), layer.weight[:, :, None], layer.bias, dilation=(1, dilation))
    return y.permute(0, 2, 3, 1)[:, 0]


def upsampled(x: Float[Tensor, "b n c"], layer: Any) -> Float[Tensor, "b m d"]:
    """`layer`, an nn.ConvTranspose1d twice as long as its stride: stride n steps.

    The samples from one step to the next depend on these two steps alone.
    """
    (ratio,), (padding,) = layer.stride, layer.padding
    matrix = rearrange(layer.weight, "c d (two r) -> (r d) (two c)", two=2)
    pairs = torch.cat([F.pad(x, (0, 0, 0, 1)), F.pad(x, (0, 0, 1, 0))], dim=-1)
    y = rearrange(F.linear(pairs, matrix, layer.bias.repeat(ratio)), "b n (r d) -> b (n r) d", r=ratio)
    return y[:, padding : padding + ratio * x.shape[1]]


class DilatedBlock(nn.Module):
    """A convolution of 3 at a dilation and one of 1, beside a map of the input."""

    def __init__(self, width: int, dilation: int):
        super().__init__()
        self.spread = normed(nn.Conv1d(width, width, 3, dilation=dilation))
        self.mix, self.beside = normed(nn.Conv1d(width, width, 1)), normed(nn.Conv1d(width, width, 1))

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        h = F.leaky_relu(convolved(F.leaky_relu(x, SLOPE), self.spread), SLOPE)
        mix, beside = cast(Any, self.mix), cast(Any, self.beside)
        y = F.linear(x, beside.weight[:, :, 0], beside.bias + mix.bias)
        # Added by the product itself: the sum alone would take as long as a product this narrow.
        return y.flatten(0, 1).addmm_(h.to(y.dtype).flatten(0, 1), mix.weight[:, :, 0].mT.to(y.dtype)).view_as(y)


class MelGAN(Model):
    """Mel frames to samples: each stage repeats finer what it got, at half the width.

    With the defaults this is the published generator, 4.27 million parameters, for 80 bins and a hop of 256.

    Args:
        bins: mel bins. ratios: how much each stage upsamples; their product is the hop. width: channels at the samples' rate,
        doubled at each stage before. blocks: of each stage, dilated by 1, 3, 9, ...
    """

    @register_to_config
    def __init__(self, bins: int = 80, ratios: Sequence[int] = (8, 8, 2, 2), width: int = 32, blocks: int = 3):
        super().__init__()
        if bins < 1 or width < 1 or blocks < 0 or not ratios or min(ratios) < 2:
            raise ValueError(
                f"MelGAN: bins={bins}, ratios={tuple(ratios)}, width={width}, blocks={blocks}; expected ratios of 2 or more and "
                "sizes above zero"
            )
        channels = width * 2 ** len(ratios)
        self.stem = normed(nn.Conv1d(bins, channels, 7))
        self.up, self.stages = nn.ModuleList(), nn.ModuleList()
        for ratio in ratios:
            self.up.append(normed(nn.ConvTranspose1d(channels, channels // 2, 2 * ratio, ratio, padding=(ratio + 1) // 2)))
            channels //= 2
            self.stages.append(nn.Sequential(*(DilatedBlock(channels, 3**i) for i in range(blocks))))
        self.head = normed(nn.Conv1d(channels, 1, 7))

    @property
    def hop(self) -> int:
        """Samples for each frame."""
        return math.prod(self.config.ratios)

    def forward(self, log_mel: Float[Tensor, "b f l"]) -> Float[Tensor, "b n"]:
        """Natural-logarithm mel frames to a waveform of l hop samples in [-1, 1]."""
        # The published network sees decimal logarithms.
        h = convolved(rearrange(log_mel, "b f l -> b l f") / math.log(10), self.stem)
        for up, stage in zip(self.up, self.stages, strict=True):
            h = stage(upsampled(F.leaky_relu(h, SLOPE), up))
        return torch.tanh(convolved(F.leaky_relu(h, SLOPE), self.head))[..., 0]
