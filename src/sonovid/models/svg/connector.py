"""Connectors: the context that one stream sends to the other, one vector per time step (Sec. III-C2).

A connector encodes the noisy latents of a stream and their last estimate, (x_t, x_0), to a context [b c t] for the fusion modules
of the other stream. It is a small encoder of two levels. The one for video also has temporal blocks.
"""

from collections.abc import Sequence
from math import gcd

import torch
from diffusers.models.embeddings import get_timestep_embedding
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

# Fewer groups if 32 does not divide the channels, as in small models.
NORM_GROUPS = 32
# Frame rate that the positions of the video connector assume, whatever that of the clip.
CONNECTOR_FPS = 8
SHIFTS = 8


class ResidualBlock(nn.Module):
    """Two normalised convolutions with the timestep embedding between them, zero-initialised, and a 1x1 convolution as skip."""

    def __init__(self, channels: int, out_channels: int, time_width: int):
        super().__init__()
        self.norm_in = nn.GroupNorm(gcd(NORM_GROUPS, channels), channels)
        self.conv_in = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.time = nn.Linear(time_width, out_channels)
        self.norm_out = nn.GroupNorm(gcd(NORM_GROUPS, out_channels), out_channels)
        self.conv_out = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.skip = nn.Conv2d(channels, out_channels, 1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)  # type: ignore[arg-type]

    def forward(self, x: Float[Tensor, "n c h w"], time: Float[Tensor, "n e"]) -> Float[Tensor, "n d h w"]:
        h = self.conv_in(F.silu(self.norm_in(x))) + self.time(F.silu(time))[:, :, None, None]
        return self.skip(x) + self.conv_out(F.silu(self.norm_out(h)))


class ScaleNorm(nn.Module):
    """Standardise along one axis, then scale per channel, without an offset."""

    def __init__(self, channels: int, axis: int, channel_axis: int):
        super().__init__()
        self.axis, self.channel_axis = axis, channel_axis
        self.scale = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = x.float()
        y = y - y.mean(self.axis, keepdim=True)
        # A clamp instead of an added epsilon, as the released weights were trained.
        y = y * y.square().mean(self.axis, keepdim=True).clamp(min=1e-5).rsqrt()
        shape = [1] * x.ndim
        shape[self.channel_axis] = -1
        return y.to(x.dtype) * self.scale.reshape(shape)


class DistanceBias(nn.Module):
    """Attention bias per head from the signed logarithmic distance of two frames: [heads t t]."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, heads))

    def forward(self, num_frames: int, like: Tensor) -> Float[Tensor, "heads t t"]:
        index = torch.arange(num_frames, device=like.device, dtype=torch.float32)
        distance = index[:, None] - index[None]
        distance = distance.sign() * (distance.abs() + 1).log()
        return rearrange(self.net(distance[..., None].to(like.dtype)), "q k heads -> heads q k")


class TemporalAttention(nn.Module):
    """Attention of each pixel along time, with a distance bias; zero-initialised.

    Args:
        channels: Channels of the input.
        heads: Attention heads.
        head_width: Channels of an attention head.
        norm_over_time: Whether the norm runs over the frames, as in the release, see `TemporalBlock`.
    """

    def __init__(self, channels: int, heads: int, head_width: int, *, norm_over_time: bool):
        super().__init__()
        self.heads = heads
        self.norm = ScaleNorm(channels, axis=1 if norm_over_time else 2, channel_axis=2)
        self.to_q = nn.Linear(channels, heads * head_width, bias=False)
        self.to_kv = nn.Linear(channels, 2 * heads * head_width, bias=False)
        self.to_out = nn.Linear(heads * head_width, channels, bias=False)
        nn.init.zeros_(self.to_out.weight)

    def forward(self, x: Float[Tensor, "n t c"], bias: Float[Tensor, "heads t t"]) -> Float[Tensor, "n t c"]:
        x = self.norm(x)
        q, k, v = (rearrange(y, "n t (h d) -> n h t d", h=self.heads) for y in (self.to_q(x), *self.to_kv(x).chunk(2, -1)))
        return self.to_out(rearrange(F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None]), "n h t d -> n t (h d)"))


class ShiftedFeedForward(nn.Module):
    """A gated pointwise layer; the second half of its inner channels comes from the previous frame."""

    def __init__(self, channels: int, mult: int = 4):
        super().__init__()
        inner = channels * mult * 2 // 3
        self.proj_in = nn.Conv3d(channels, 2 * inner, 1, bias=False)
        self.norm = ScaleNorm(inner, axis=1, channel_axis=1)
        self.proj_out = nn.Conv3d(inner, channels, 1, bias=False)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        value, gate = self.proj_in(x).chunk(2, 1)
        current, delayed = (value * F.gelu(gate)).chunk(2, 1)
        return self.proj_out(self.norm(torch.cat([current, shift_frames(delayed, 1)], 1)))


def shift_frames(x: Float[Tensor, "b c t h w"], frames: int) -> Float[Tensor, "b c t h w"]:
    """Delay x by `frames` frames, with zeros at the start."""
    return F.pad(x, (0, 0, 0, 0, frames, 0))[:, :, : x.shape[2]] if frames else x


class FrameShift(nn.Module):
    """A convolution per frame whose eight channel groups are delayed by 0 ... 7 frames; zero-initialised."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.GroupNorm(gcd(NORM_GROUPS, channels), channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        y = self.conv(F.silu(self.norm(rearrange(x, "b c t h w -> (b t) c h w"))))
        y = rearrange(y, "(b t) c h w -> b c t h w", b=len(x))
        return torch.cat([shift_frames(group, i) for i, group in enumerate(y.chunk(SHIFTS, 1))], 1)


class TemporalBlock(nn.Module):
    """Temporal layers of the video connector: attention per pixel, a gated layer, and a convolution with shifted frames.

    Args:
        channels: Channels of the input.
        heads: Attention heads.
        as_released: Whether the norm before the attention runs over the frames.

    Deviation: here that norm runs over the channels, like a layer norm. The axis in the released code is a mistake.
    """

    def __init__(self, channels: int, *, heads: int = 8, as_released: bool = False):
        super().__init__()
        self.attention = TemporalAttention(channels, heads, max(1, channels // 4), norm_over_time=as_released)
        self.distance_bias = DistanceBias(channels // 2, heads)
        self.feed_forward = ShiftedFeedForward(channels)
        self.frame_shift = FrameShift(channels)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        b, c, t, h, _ = x.shape
        seconds = torch.arange(t, device=x.device, dtype=torch.float32) / CONNECTOR_FPS
        positions = get_timestep_embedding(seconds, c, downscale_freq_shift=1).to(x.dtype)
        pixels = rearrange(x, "b c t h w -> (b h w) t c") + positions
        mixed = self.attention(pixels, self.distance_bias(t, x))
        x = x + rearrange(mixed, "(b h w) t c -> b c t h w", b=b, h=h)
        x = x + self.feed_forward(x)
        return x + self.frame_shift(x)


class Connector(nn.Module):
    """(x_t, x_0) of one stream to the context for the other.

    Args:
        in_channels: Channels of both latents together.
        base_width: First width M of the U-Net. The first convolution has M/2 channels.
        mults: Multipliers of M for each level.
        out_channels: Channels of the context.
        time_width: Channels of the U-Net's timestep embedding.
        use_temporal_blocks: Whether to add temporal blocks (video).
        as_released: See `TemporalBlock`.
    """

    def __init__(
        self,
        in_channels: int,
        base_width: int,
        *,
        mults: Sequence[int] = (2, 4),
        out_channels: int = 1280,
        time_width: int,
        use_temporal_blocks: bool,
        as_released: bool = False,
    ):
        super().__init__()
        widths = [base_width * mult for mult in mults]
        self.conv_in = nn.Conv2d(in_channels, base_width // 2, 3, padding=1)
        self.blocks = nn.ModuleList(
            [ResidualBlock(base_width // 2, widths[0], time_width), ResidualBlock(widths[0], widths[1], time_width)]
        )
        self.temporal = nn.ModuleList(TemporalBlock(w, as_released=as_released) for w in widths if use_temporal_blocks)
        self.down = nn.Conv2d(widths[0], widths[0], 3, stride=2, padding=1)
        self.norm_out = nn.GroupNorm(gcd(NORM_GROUPS, widths[1]), widths[1])
        self.conv_out = nn.Conv2d(widths[1], out_channels, 3, padding=1)
        # Deviation: the release uses torch's initial values. The input of this layer is positive on average in all channels.
        # Without the mean of its rows, the initial context varies between clips and steps instead of being constant.
        with torch.no_grad():
            self.conv_out.weight -= self.conv_out.weight.mean(1, keepdim=True)
            self.conv_out.bias.zero_()  # type: ignore[union-attr]

    def forward(self, x: Float[Tensor, "b c t h w"], time: Float[Tensor, "b e"]) -> Float[Tensor, "b d t2"]:
        """Context for each time step: the mean of the last convolution over all other axes.

        Args:
            x: Video as [b c t h w], whose frame rate is kept; audio as [b c 1 l f], whose number of steps is halved.
            time: Timestep embedding.
        """
        b, t = x.shape[0], x.shape[2]
        time = time.repeat_interleave(t, 0)

        def clips(y: Tensor) -> Tensor:
            return rearrange(y, "(b t) c h w -> b c t h w", b=b)

        h = self.conv_in(rearrange(x, "b c t h w -> (b t) c h w"))
        for level, block in enumerate(self.blocks):
            h = block(h, time)
            if self.temporal:
                h = rearrange(self.temporal[level](clips(h)), "b c t h w -> (b t) c h w")
            if level == 0:
                h = self.down(h)
        h = F.silu(self.norm_out(h))
        if self.temporal:
            return rearrange(mean_of_convolution(self.conv_out, h), "(b t) d -> b d t", b=b)
        return mean_of_rows_of_convolution(self.conv_out, h)


def mean_of_convolution(conv: nn.Conv2d, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
    """The mean over all positions of a 3x3 convolution with zero padding, at a ninth of the cost of one position per position.

    The mean of a linear map is the map of means: each of the nine weights is applied to the sum of the positions that it covers.
    """
    sums = _kernel_sums(_kernel_sums(x.float(), -1), -2) / (x.shape[2] * x.shape[3])
    return F.linear(rearrange(sums, "n c y x -> n (c y x)").to(x.dtype), conv.weight.flatten(1), conv.bias)


def mean_of_rows_of_convolution(conv: nn.Conv2d, x: Float[Tensor, "n c l f"]) -> Float[Tensor, "n d l"]:
    """As `mean_of_convolution`, over the last axis only."""
    sums = rearrange(_kernel_sums(x.float(), -1) / x.shape[3], "n c l x -> n (c x) l").to(x.dtype)
    return F.conv1d(sums, rearrange(conv.weight, "d c y x -> d (c x) y"), conv.bias, padding=1)


def _kernel_sums(x: Tensor, axis: int) -> Tensor:
    """Sums along an axis over what each of three kernel weights covers: all but the last, all, all but the first."""
    total = x.sum(axis)
    return torch.stack([total - x.select(axis, -1), total, total - x.select(axis, 0)], axis)


class RunningCentring(nn.Module):
    """Subtract the mean over clips: that of the batch in training, and a running mean in evaluation."""

    typical: Tensor

    def __init__(self, channels: int, momentum: float = 0.01):
        super().__init__()
        self.momentum = momentum
        self.register_buffer("typical", torch.zeros(channels))

    def forward(self, sent: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        if not self.training:
            return sent - self.typical[:, None].to(sent.dtype)
        mean = sent.mean((0, 2))
        with torch.no_grad():
            self.typical.lerp_(mean.to(self.typical.dtype), self.momentum)
        return sent - mean[:, None]


def temporal_context(sent: Float[Tensor, "b c t"], *, as_released: bool = False, centred: bool = False) -> Float[Tensor, "b c t"]:
    """The context of CMC-PE: connector outputs of unit length.

    Args:
        sent: Output of a connector.
        as_released: Whether to normalise each channel along time instead.
        centred: Whether to subtract the mean over the clip's time first.

    Deviation: here each time step is normalised along the channels, so that it carries no information about the level of the
    others. The axis in the released code is a mistake.
    """
    context = sent.float()
    if centred:
        context = context - context.mean(2, keepdim=True)
    return (context / context.norm(dim=2 if as_released else 1, keepdim=True).clamp(min=1e-12)).to(sent.dtype)


def clip_context(sent: Float[Tensor, "b c t"]) -> Float[Tensor, "b c 1"]:
    """The context of cross-attention (after CoDi): one vector of unit length for the whole clip."""
    context = sent.float().mean(2, keepdim=True)
    return (context / context.norm(dim=1, keepdim=True).clamp(min=1e-12)).to(sent.dtype)
