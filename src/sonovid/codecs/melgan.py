"""MelGAN generator: log-mel frames to a waveform by upsampling convolutions (Kumar et al. 2019; CMMD, appendix B.1).

Tensors are channels-last, and a transposed convolution is one matrix product over pairs of neighbouring steps. On a CPU this is
several times faster than the usual layout, where every layer rearranges its input.
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


def apply_weight_norm(layer: nn.Module) -> nn.Module:
    """Apply weight normalisation to a layer (Salimans & Kingma 2016).

    The initial values are torch's. The published code intends weights with a standard deviation of 0.02, but sets a derived
    tensor that the next call computes again, so its weights keep torch's initial values. With 0.02 in effect, small layers would
    pass on a tenth of their input, and a narrow network would stay silent.
    """
    return weight_norm(layer)


def pad_reflect(x: Float[Tensor, "b n c"], side: int) -> Float[Tensor, "b m c"]:
    """Pad both ends by reflection, or by repetition of the end values if x is too short."""
    if x.shape[1] <= side:
        return torch.cat([x[:, :1].expand(-1, side, -1), x, x[:, -1:].expand(-1, side, -1)], dim=1)
    return torch.cat([x[:, 1 : side + 1].flip(1), x, x[:, -side - 1 : -1].flip(1)], dim=1)


def conv1d_reflect(x: Float[Tensor, "b n c"], layer: Any) -> Float[Tensor, "b n d"]:
    """Apply `layer`, an nn.Conv1d of odd kernel size, to x padded by reflection."""
    (size,), (dilation,) = layer.kernel_size, layer.dilation
    padded = pad_reflect(x, dilation * (size // 2))
    y = F.conv2d(padded[:, None].permute(0, 3, 1, 2), layer.weight[:, :, None], layer.bias, dilation=(1, dilation))
    return y.permute(0, 2, 3, 1)[:, 0]


def conv_transpose1d(x: Float[Tensor, "b n c"], layer: Any) -> Float[Tensor, "b m d"]:
    """Apply `layer`, an nn.ConvTranspose1d whose kernel is twice its stride: n steps become stride * n steps.

    The samples between two steps depend on these two steps only.
    """
    (ratio,), (padding,) = layer.stride, layer.padding
    matrix = rearrange(layer.weight, "c d (two r) -> (r d) (two c)", two=2)
    pairs = torch.cat([F.pad(x, (0, 0, 0, 1)), F.pad(x, (0, 0, 1, 0))], dim=-1)
    y = rearrange(F.linear(pairs, matrix, layer.bias.repeat(ratio)), "b n (r d) -> b (n r) d", r=ratio)
    return y[:, padding : padding + ratio * x.shape[1]]


class DilatedBlock(nn.Module):
    """Residual block: a dilated convolution of size 3 and a 1x1 convolution, with a 1x1 convolution as the skip."""

    def __init__(self, width: int, dilation: int):
        super().__init__()
        self.spread = apply_weight_norm(nn.Conv1d(width, width, 3, dilation=dilation))
        self.mix, self.beside = apply_weight_norm(nn.Conv1d(width, width, 1)), apply_weight_norm(nn.Conv1d(width, width, 1))

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        h = F.leaky_relu(conv1d_reflect(F.leaky_relu(x, SLOPE), self.spread), SLOPE)
        mix, beside = cast(Any, self.mix), cast(Any, self.beside)
        y = F.linear(x, beside.weight[:, :, 0], beside.bias + mix.bias)
        # addmm_ also adds the skip: a separate sum would take as long as a product this narrow.
        return y.flatten(0, 1).addmm_(h.to(y.dtype).flatten(0, 1), mix.weight[:, :, 0].mT.to(y.dtype)).view_as(y)


class MelGAN(Model):
    """Mel frames to samples. Each stage upsamples its input and halves its width.

    The defaults are the published generator: 4.27 million parameters, 80 bins, a hop of 256.

    Args:
        bins: Number of mel bins.
        ratios: Upsampling factor of each stage. Their product is the hop.
        width: Channels at the sample rate; doubled at each earlier stage.
        blocks: Residual blocks per stage, with dilations 1, 3, 9, ...
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
        self.stem = apply_weight_norm(nn.Conv1d(bins, channels, 7))
        self.up, self.stages = nn.ModuleList(), nn.ModuleList()
        for ratio in ratios:
            self.up.append(
                apply_weight_norm(nn.ConvTranspose1d(channels, channels // 2, 2 * ratio, ratio, padding=(ratio + 1) // 2))
            )
            channels //= 2
            self.stages.append(nn.Sequential(*(DilatedBlock(channels, 3**i) for i in range(blocks))))
        self.head = apply_weight_norm(nn.Conv1d(channels, 1, 7))

    @property
    def hop(self) -> int:
        """Samples per mel frame."""
        return math.prod(self.config.ratios)

    def forward(self, log_mel: Float[Tensor, "b f l"]) -> Float[Tensor, "b n"]:
        """Convert natural-logarithm mel frames to a waveform of l * hop samples in [-1, 1]."""
        # The published network takes decimal logarithms.
        h = conv1d_reflect(rearrange(log_mel, "b f l -> b l f") / math.log(10), self.stem)
        for up, stage in zip(self.up, self.stages, strict=True):
            h = stage(conv_transpose1d(F.leaky_relu(h, SLOPE), up))
        return torch.tanh(conv1d_reflect(F.leaky_relu(h, SLOPE), self.head))[..., 0]
