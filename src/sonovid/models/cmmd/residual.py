"""Residual blocks of the dual U-Net, channels last: 2D+1D convolutions for video [b t h w c], 1-D ones for audio [b l c]."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn


class Convolution(nn.Module):
    """Convolution of odd kernel size over [n h w c], with the same output size.

    The weight is stored as [out, rows, columns, in], the layout of kernels for channels-last tensors, so that no call reorders
    it.
    """

    def __init__(self, channels_in: int, channels_out: int, size: tuple[int, int], dilation: int = 1):
        super().__init__()
        self.padding, self.dilation = (dilation * (size[0] // 2), dilation * (size[1] // 2)), dilation
        bound = 1 / math.sqrt(channels_in * size[0] * size[1])
        self.weight = nn.Parameter(torch.empty(channels_out, *size, channels_in).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(channels_out).uniform_(-bound, bound))

    def forward(self, x: Float[Tensor, "n h w c"]) -> Float[Tensor, "n h w d"]:
        y = F.conv2d(x.permute(0, 3, 1, 2), self.weight.permute(0, 3, 1, 2), self.bias, 1, self.padding, self.dilation)
        return y.permute(0, 2, 3, 1)


class VideoConvolution(nn.Module):
    """3x3 in each frame, then 3 in time at each pixel (section 3.2: 2D+1D). Each is one call over all frames."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.space = Convolution(channels_in, channels_out, (3, 3))
        self.time = Convolution(channels_out, channels_out, (3, 1))

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w d"]:
        b, _, h, _, _ = x.shape
        y = self.space(rearrange(x, "b t h w c -> (b t) h w c"))
        y = self.time(rearrange(y, "(b t) h w c -> b t (h w) c", b=b))
        return rearrange(y, "b t (h w) c -> b t h w c", h=h)


class AudioConvolution(nn.Module):
    """Convolution of size 3 in time, without dilation.

    Deviation: MM-Diffusion's audio blocks are dilated by up to 512, for 25 600 samples. Here 14 to 112 steps remain, which
    attention covers completely.
    """

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.time = Convolution(channels_in, channels_out, (1, 3))

    def forward(self, x: Float[Tensor, "b l c"]) -> Float[Tensor, "b l d"]:
        return self.time(x[:, None])[:, 0]


class ChannelNorm(nn.Module):
    """Group normalisation of [b ... c] over all axes but the batch, with the channels in groups."""

    def __init__(self, groups: int, channels: int):
        super().__init__()
        self.groups = groups
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "b *n c"]) -> Float[Tensor, "b *n c"]:
        # As [b c 1 n] in channels-last order, for which a fast kernel exists.
        flat = x.reshape(len(x), 1, -1, x.shape[-1]).permute(0, 3, 1, 2)
        return F.group_norm(flat, self.groups, self.weight, self.bias).permute(0, 2, 3, 1).reshape(x.shape)


def downsample(x: Float[Tensor, "b *n c"]) -> Float[Tensor, "b *m c"]:
    """Downsampling by averaging: video [b t h w c] over 2x2 pixels but not over time, audio [b l c] over two steps (table 4).

    An odd last audio step is kept as it is.
    """
    if x.ndim == 5:
        return F.avg_pool2d(rearrange(x, "b t h w c -> (b t) c h w"), 2).permute(0, 2, 3, 1).unflatten(0, x.shape[:2])
    if x.shape[1] % 2:
        x = torch.cat([x, x[:, -1:]], dim=1)
    return x.unflatten(1, (-1, 2)).mean(2)


def upsample(x: Float[Tensor, "b *n c"]) -> Float[Tensor, "b *m c"]:
    """Inverse of `downsample` by repetition. For an odd number of audio steps the result has one step too many."""
    if x.ndim == 5:
        return repeat(x, "b t h w c -> b t (h two) (w too) c", two=2, too=2)
    return repeat(x, "b l c -> b (l two) c", two=2)


RESIZE = {"": lambda x: x, "down": downsample, "up": upsample}


class ResidualBlock(nn.Module):
    """Norm, SiLU, convolution; norm modulated by the timestep, SiLU, dropout, zero-initialised 1x1 map; plus a skip connection.

    Args:
        convolution: `VideoConvolution` or `AudioConvolution`.
        channels: (input, output) channels.
        time_width: Channels of the timestep embedding.
        groups: Groups of the norms.
        dropout: Dropout probability.
        resize: "down", "up" or "" for both branches, before the convolution (Dhariwal & Nichol 2021).
    """

    def __init__(
        self,
        convolution: type[nn.Module],
        channels: tuple[int, int],
        time_width: int,
        *,
        groups: int,
        dropout: float = 0.0,
        resize: str = "",
    ):
        super().__init__()
        channels_in, channels_out = channels
        self.resize, self.dropout = resize, dropout
        self.norm_in, self.norm_out = ChannelNorm(groups, channels_in), ChannelNorm(groups, channels_out)
        self.convolution = convolution(channels_in, channels_out)
        self.time = nn.Linear(time_width, 2 * channels_out)
        self.out = nn.Linear(channels_out, channels_out)
        self.beside = nn.Linear(channels_in, channels_out) if channels_in != channels_out else nn.Identity()
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Float[Tensor, "b *n c"], time: Float[Tensor, "b e"]) -> Float[Tensor, "b *m d"]:
        """`time` is the timestep embedding of the stream after SiLU."""
        resize = RESIZE[self.resize]
        h = self.convolution(resize(F.silu(self.norm_in(x))))
        modulation = self.time(time).view(len(x), *(1 for _ in x.shape[1:-1]), -1)
        scale, shift = modulation.chunk(2, dim=-1)
        h = F.silu(torch.addcmul(shift, self.norm_out(h), 1 + scale))
        return self.beside(resize(x)) + self.out(F.dropout(h, self.dropout, self.training))
