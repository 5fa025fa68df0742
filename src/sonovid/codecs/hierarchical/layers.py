"""The parts that encoders, projectors, pyramids and the discriminator of MM-LDM's autoencoder are made of."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

NORM_GROUPS = 32


def norm(channels: int) -> nn.GroupNorm:
    """Group normalisation with up to 32 groups of at least four channels; of single channels it would undo the bias before it.

    Deviation: the released code keeps its norm to itself; 32 groups do not fit its own latents of 16 channels.
    """
    groups = math.gcd(NORM_GROUPS, channels)
    return nn.GroupNorm(groups if channels >= 4 * groups else math.gcd(NORM_GROUPS, max(1, channels // 4)), channels)


def zeroed(layer: nn.Module) -> nn.Module:
    """A layer whose weights begin at zero: what it adds is silent at first, and learns all the same."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def perceptron(in_width: int, width: int, out_width: int) -> nn.Sequential:
    """Two linear layers, of which the last begins at zero.

    Deviation: the released code zeroes both, so that neither weight ever has a gradient and what goes in never comes out.
    """
    return nn.Sequential(nn.Linear(in_width, width), nn.SiLU(), zeroed(nn.Linear(width, out_width)))


class ResidualBlock(nn.Module):
    """Norm, activation and convolution, twice, beside the identity; an embedding, where there is one, comes in between.

    silent: whether the last convolution begins at zero. modulated: the embedding scales and shifts what the second norm gives,
    channel by channel; otherwise it is added before that norm.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int | None = None,
        *,
        embedding: int = 0,
        silent: bool = True,
        modulated: bool = False,
    ):
        super().__init__()
        out_channels = out_channels or channels
        self.modulated = modulated
        self.norm_in, self.conv_in = norm(channels), nn.Conv2d(channels, out_channels, 3, padding=1)
        self.embed = nn.Linear(embedding, out_channels * (2 if modulated else 1)) if embedding else None
        self.norm_out, self.conv_out = norm(out_channels), nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.skip = nn.Conv2d(channels, out_channels, 1) if out_channels != channels else nn.Identity()
        if silent:
            zeroed(self.conv_out)

    def forward(self, x: Float[Tensor, "n c h w"], embedding: Float[Tensor, "n e"] | None = None) -> Float[Tensor, "n d h w"]:
        h = self.conv_in(F.silu(self.norm_in(x)))
        if self.embed is None or embedding is None:
            return self.skip(x) + self.conv_out(F.silu(self.norm_out(h)))
        told = self.embed(F.silu(embedding))[:, :, None, None]
        if not self.modulated:
            return self.skip(x) + self.conv_out(F.silu(self.norm_out(h + told)))
        scale, shift = told.chunk(2, 1)
        return self.skip(x) + self.conv_out(F.silu(self.norm_out(h) * (1 + scale) + shift))


class Attention(nn.Module):
    """Self-attention over rows of tokens, added to them; its output begins at zero."""

    def __init__(self, channels: int, head_width: int):
        super().__init__()
        self.heads = max(1, channels // head_width)
        self.norm = nn.LayerNorm(channels)
        self.inward = nn.Linear(channels, 3 * channels)
        self.out = zeroed(nn.Linear(channels, channels))

    def forward(self, x: Float[Tensor, "n k c"], positions: Float[Tensor, "k c"] | None = None) -> Float[Tensor, "n k c"]:
        """positions: what the attention is shown beside the tokens; it stays out of what comes out."""
        h = self.norm(x if positions is None else x + positions)
        q, k, v = rearrange(self.inward(h), "n k (three h d) -> three n h k d", three=3, h=self.heads)
        return x + self.out(rearrange(F.scaled_dot_product_attention(q, k, v), "n h k d -> n k (h d)"))


def sinusoids(position: Float[Tensor, "*n"], width: int) -> Float[Tensor, "*n width"]:
    """Sines and cosines of a position, at frequencies from 1 down to 1/10000."""
    half = width // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, device=position.device) / half)
    angles = position[..., None].float() * frequencies
    return F.pad(torch.cat([angles.cos(), angles.sin()], -1), (0, width % 2))


class TemporalAttention(nn.Module):
    """Attention of each place along the frames, which know their order by sines and cosines."""

    def __init__(self, channels: int, head_width: int):
        super().__init__()
        self.attention = Attention(channels, head_width)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        positions = sinusoids(torch.arange(x.shape[2], device=x.device).float(), x.shape[1]).to(x.dtype)
        rows = self.attention(rearrange(x, "b c t h w -> (b h w) t c"), positions)
        return rearrange(rows, "(b h w) t c -> b c t h w", b=len(x), h=x.shape[3])


class SpatialAttention(nn.Module):
    """Attention among the places of each picture."""

    def __init__(self, channels: int, head_width: int):
        super().__init__()
        self.attention = Attention(channels, head_width)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return rearrange(self.attention(rearrange(x, "n c h w -> n (h w) c")), "n (h w) c -> n c h w", h=x.shape[2])


class FrameIndex(nn.Module):
    """Where a frame stands in its window, as a vector.

    scale: what the place i / n in [0, 1) is multiplied by before its sines are taken. Deviation: the release leaves it as it is
    (1), where the sines of neighbouring frames all but coincide; 1000 spreads them as times of diffusion are spread.
    """

    def __init__(self, base: int, width: int, scale: float | int = 1000.0):
        super().__init__()
        self.base, self.scale = base, scale
        self.net = nn.Sequential(nn.Linear(base, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, place: Float[Tensor, "n"]) -> Float[Tensor, "n e"]:
        return self.net(sinusoids(self.scale * place, self.base).to(next(self.parameters()).dtype))
