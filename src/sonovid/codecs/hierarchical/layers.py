"""Layers of the encoders, projectors, feature pyramids and the discriminator of MM-LDM's autoencoder."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

NORM_GROUPS = 32


def group_norm(channels: int) -> nn.GroupNorm:
    """Group normalisation with up to 32 groups of at least four channels; groups of one channel would cancel the bias before it.

    Deviation: the norm of the released code is not public; 32 groups do not fit its own latents of 16 channels.
    """
    groups = math.gcd(NORM_GROUPS, channels)
    return nn.GroupNorm(groups if channels >= 4 * groups else math.gcd(NORM_GROUPS, max(1, channels // 4)), channels)


def zero_module(layer: nn.Module) -> nn.Module:
    """Set the weights of a module to zero. Its output is zero at first, but it still learns."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def zero_init_mlp(in_width: int, width: int, out_width: int) -> nn.Sequential:
    """Two linear layers with SiLU between; the last one is initialised to zero.

    Deviation: the released code sets both to zero, so neither ever gets a gradient and the output stays zero.
    """
    return nn.Sequential(nn.Linear(in_width, width), nn.SiLU(), zero_module(nn.Linear(width, out_width)))


class ResidualBlock(nn.Module):
    """Residual block: twice normalisation, SiLU and convolution, with an optional embedding in between.

    Args:
        channels: Channels of the input.
        out_channels: Channels of the output. None: as the input.
        embedding: Channels of the embedding; 0: none.
        zero_init: Whether the last convolution is initialised to zero.
        modulated: Whether the embedding scales and shifts the output of the second norm per channel. Otherwise it is added before
            that norm.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int | None = None,
        *,
        embedding: int = 0,
        zero_init: bool = True,
        modulated: bool = False,
    ):
        super().__init__()
        out_channels = out_channels or channels
        self.modulated = modulated
        self.norm_in, self.conv_in = group_norm(channels), nn.Conv2d(channels, out_channels, 3, padding=1)
        self.embed = nn.Linear(embedding, out_channels * (2 if modulated else 1)) if embedding else None
        self.norm_out, self.conv_out = group_norm(out_channels), nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.skip = nn.Conv2d(channels, out_channels, 1) if out_channels != channels else nn.Identity()
        if zero_init:
            zero_module(self.conv_out)

    def forward(self, x: Float[Tensor, "n c h w"], embedding: Float[Tensor, "n e"] | None = None) -> Float[Tensor, "n d h w"]:
        h = self.conv_in(F.silu(self.norm_in(x)))
        if self.embed is None or embedding is None:
            return self.skip(x) + self.conv_out(F.silu(self.norm_out(h)))
        shift_or_scale = self.embed(F.silu(embedding))[:, :, None, None]
        if not self.modulated:
            return self.skip(x) + self.conv_out(F.silu(self.norm_out(h + shift_or_scale)))
        scale, shift = shift_or_scale.chunk(2, 1)
        return self.skip(x) + self.conv_out(F.silu(self.norm_out(h) * (1 + scale) + shift))


class Attention(nn.Module):
    """Residual self-attention over tokens; its output layer is initialised to zero."""

    def __init__(self, channels: int, head_width: int):
        super().__init__()
        self.heads = max(1, channels // head_width)
        self.norm = nn.LayerNorm(channels)
        self.inward = nn.Linear(channels, 3 * channels)
        self.out = zero_module(nn.Linear(channels, channels))

    def forward(self, x: Float[Tensor, "n k c"], positions: Float[Tensor, "k c"] | None = None) -> Float[Tensor, "n k c"]:
        """`positions` are added to the input of the attention but not to the residual."""
        h = self.norm(x if positions is None else x + positions)
        q, k, v = rearrange(self.inward(h), "n k (three h d) -> three n h k d", three=3, h=self.heads)
        return x + self.out(rearrange(F.scaled_dot_product_attention(q, k, v), "n h k d -> n k (h d)"))


def sinusoidal_embedding(position: Float[Tensor, "*n"], width: int) -> Float[Tensor, "*n width"]:
    """Cosines and sines of a position, at frequencies from 1 down to 1/10000."""
    half = width // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, device=position.device) / half)
    angles = position[..., None].float() * frequencies
    return F.pad(torch.cat([angles.cos(), angles.sin()], -1), (0, width % 2))


class TemporalAttention(nn.Module):
    """Attention of each position along the frames, with sinusoidal position embeddings of the frames."""

    def __init__(self, channels: int, head_width: int):
        super().__init__()
        self.attention = Attention(channels, head_width)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        positions = sinusoidal_embedding(torch.arange(x.shape[2], device=x.device).float(), x.shape[1]).to(x.dtype)
        rows = self.attention(rearrange(x, "b c t h w -> (b h w) t c"), positions)
        return rearrange(rows, "(b h w) t c -> b c t h w", b=len(x), h=x.shape[3])


class SpatialAttention(nn.Module):
    """Attention among the positions of each image."""

    def __init__(self, channels: int, head_width: int):
        super().__init__()
        self.attention = Attention(channels, head_width)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return rearrange(self.attention(rearrange(x, "n c h w -> n (h w) c")), "n (h w) c -> n c h w", h=x.shape[2])


class FrameIndexEmbedding(nn.Module):
    """Embedding of the position of a frame in its window.

    Args:
        base: Channels of the sinusoidal embedding.
        width: Channels of the output.
        scale: Factor of the position i / n in [0, 1) before its sines are taken. Deviation: the release does not scale (1), so
            the sines of neighbouring frames almost coincide. 1000 spreads them like diffusion timesteps.
    """

    def __init__(self, base: int, width: int, scale: float | int = 1000.0):
        super().__init__()
        self.base, self.scale = base, scale
        self.net = nn.Sequential(nn.Linear(base, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, position: Float[Tensor, "n"]) -> Float[Tensor, "n e"]:
        return self.net(sinusoidal_embedding(self.scale * position, self.base).to(next(self.parameters()).dtype))
