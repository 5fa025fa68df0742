"""Connectors: what one stream tells the other, as one vector per step of its time (Sec. III-C2).

A connector sees a stream's noisy latents beside their last estimate, (x_t, x_0), and gives a context [b c t] that the joins of
the other stream take in. It is a small encoder of two levels; that of the video also looks along the time.
"""

from collections.abc import Sequence
from math import gcd

import torch
from diffusers.models.embeddings import get_timestep_embedding
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

# Fewer where 32 do not divide the channels, as in small models.
NORM_GROUPS = 32
# Frames per second that the video connector's positions are counted in, whatever the clip's own rate.
CONNECTOR_FPS = 8
SHIFTS = 8


class ResidualBlock(nn.Module):
    """Two normalised convolutions with the time embedding added between them, beside a 1x1 convolution; silent at first."""

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
    """Centred and divided by the standard deviation along one axis, then scaled per channel; no offset."""

    def __init__(self, channels: int, axis: int, channel_axis: int):
        super().__init__()
        self.axis, self.channel_axis = axis, channel_axis
        self.scale = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = x.float()
        y = y - y.mean(self.axis, keepdim=True)
        # A floor, not an addend: the released weights were trained with it.
        y = y * y.square().mean(self.axis, keepdim=True).clamp(min=1e-5).rsqrt()
        shape = [1] * x.ndim
        shape[self.channel_axis] = -1
        return y.to(x.dtype) * self.scale.reshape(shape)


class DistanceBias(nn.Module):
    """A bias per head from the distance of two frames, on a logarithmic scale: [heads t t]."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, heads))

    def forward(self, num_frames: int, like: Tensor) -> Float[Tensor, "heads t t"]:
        at = torch.arange(num_frames, device=like.device, dtype=torch.float32)
        distance = at[:, None] - at[None]
        distance = distance.sign() * (distance.abs() + 1).log()
        return rearrange(self.net(distance[..., None].to(like.dtype)), "q k heads -> heads q k")


class TemporalAttention(nn.Module):
    """Attention of each pixel along the time, with a bias by distance; silent at first.

    norm_over_time: the released form, see `TemporalBlock`.
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
    """A gated layer per position, of whose inner channels the second half comes from the frame before."""

    def __init__(self, channels: int, mult: int = 4):
        super().__init__()
        inner = channels * mult * 2 // 3
        self.proj_in = nn.Conv3d(channels, 2 * inner, 1, bias=False)
        self.norm = ScaleNorm(inner, axis=1, channel_axis=1)
        self.proj_out = nn.Conv3d(inner, channels, 1, bias=False)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        value, gate = self.proj_in(x).chunk(2, 1)
        here, before = (value * F.gelu(gate)).chunk(2, 1)
        return self.proj_out(self.norm(torch.cat([here, later(before, 1)], 1)))


def later(x: Float[Tensor, "b c t h w"], frames: int) -> Float[Tensor, "b c t h w"]:
    """Each frame's values moved so many frames on; the first ones are zeros."""
    return F.pad(x, (0, 0, 0, 0, frames, 0))[:, :, : x.shape[2]] if frames else x


class FrameShift(nn.Module):
    """A convolution of each frame whose eight groups of channels come from 0 ... 7 frames before; silent at first."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.GroupNorm(gcd(NORM_GROUPS, channels), channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        y = self.conv(F.silu(self.norm(rearrange(x, "b c t h w -> (b t) c h w"))))
        y = rearrange(y, "(b t) c h w -> b c t h w", b=len(x))
        return torch.cat([later(group, i) for i, group in enumerate(y.chunk(SHIFTS, 1))], 1)


class TemporalBlock(nn.Module):
    """What lets the video connector look along the time: attention per pixel, a gated layer, a convolution of shifted frames.

    as_released: the norm before the attention runs over the frames.

    Deviation: here it runs over the channels, as a layer norm does. In the released code the axis slipped.
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
    """(x_t, x_0) of one stream to the context of the other.

    in_channels: of both latents together. width: M/2 where M is the U-Net's first width. mults: of M, per level. out_channels: of
    the context. time_width: of the U-Net's time embedding. along_time: with temporal blocks (video).
    """

    def __init__(
        self,
        in_channels: int,
        base_width: int,
        *,
        mults: Sequence[int] = (2, 4),
        out_channels: int = 1280,
        time_width: int,
        along_time: bool,
        as_released: bool = False,
    ):
        super().__init__()
        widths = [base_width * mult for mult in mults]
        self.conv_in = nn.Conv2d(in_channels, base_width // 2, 3, padding=1)
        self.blocks = nn.ModuleList(
            [ResidualBlock(base_width // 2, widths[0], time_width), ResidualBlock(widths[0], widths[1], time_width)]
        )
        self.temporal = nn.ModuleList(TemporalBlock(w, as_released=as_released) for w in widths if along_time)
        self.down = nn.Conv2d(widths[0], widths[0], 3, stride=2, padding=1)
        self.norm_out = nn.GroupNorm(gcd(NORM_GROUPS, widths[1]), widths[1])
        self.conv_out = nn.Conv2d(widths[1], out_channels, 3, padding=1)
        # Deviation: the release begins as torch does. What enters is positive on average, in all channels alike: without their
        # sum, what is sent begins as what differs from clip to clip and from step to step, and not as one direction that stays.
        with torch.no_grad():
            self.conv_out.weight -= self.conv_out.weight.mean(1, keepdim=True)
            self.conv_out.bias.zero_()  # type: ignore[union-attr]

    def forward(self, x: Float[Tensor, "b c t h w"], time: Float[Tensor, "b e"]) -> Float[Tensor, "b d t2"]:
        """What is sent for each step of the time: the last convolution's mean over all other places of that step.

        x: video as [b c t h w], whose frames stay; audio as [b c 1 l f], whose steps are halved.
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
    """The mean over all places of a 3x3 convolution with a border of zeros, at a ninth of a place's cost for each.

    The mean of a linear map is the map of means: each of the nine weights meets the sum of the places that it sees.
    """
    sums = _seen(_seen(x.float(), -1), -2) / (x.shape[2] * x.shape[3])
    return F.linear(rearrange(sums, "n c y x -> n (c y x)").to(x.dtype), conv.weight.flatten(1), conv.bias)


def mean_of_rows_of_convolution(conv: nn.Conv2d, x: Float[Tensor, "n c l f"]) -> Float[Tensor, "n d l"]:
    """The same over the last axis alone."""
    sums = rearrange(_seen(x.float(), -1) / x.shape[3], "n c l x -> n (c x) l").to(x.dtype)
    return F.conv1d(sums, rearrange(conv.weight, "d c y x -> d (c x) y"), conv.bias, padding=1)


def _seen(x: Tensor, axis: int) -> Tensor:
    """Sums along an axis of what each of three weights sees there: all but the last, all, all but the first."""
    every = x.sum(axis)
    return torch.stack([every - x.select(axis, -1), every, every - x.select(axis, 0)], axis)


class WithoutTypical(nn.Module):
    """What is sent, less what clips send on average: of the batch in training, kept as a running mean for later."""

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


def context_over_time(
    sent: Float[Tensor, "b c t"], *, as_released: bool = False, centred: bool = False
) -> Float[Tensor, "b c t"]:
    """What is sent, of unit length: the context of CMC-PE.

    as_released: each channel is divided by its length along the time. centred: without its mean over the clip's time.

    Deviation: here each moment is divided by its length along the channels, so that one moment does not tell how loud the others
    are. In the released code the axis slipped.
    """
    context = sent.float()
    if centred:
        context = context - context.mean(2, keepdim=True)
    return (context / context.norm(dim=2 if as_released else 1, keepdim=True).clamp(min=1e-12)).to(sent.dtype)


def context_of_clip(sent: Float[Tensor, "b c t"]) -> Float[Tensor, "b c 1"]:
    """One vector of unit length for the whole clip: the context of cross-attention (after CoDi)."""
    context = sent.float().mean(2, keepdim=True)
    return (context / context.norm(dim=1, keepdim=True).clamp(min=1e-12)).to(sent.dtype)
