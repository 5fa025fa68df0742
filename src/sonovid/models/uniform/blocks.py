"""Transformer blocks over a grid of tokens [b t s d]: t steps in time, s tokens within each step (STDiT3, Open-Sora 1.2)."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn


class Rotary(NamedTuple):
    """Cosines and sines of the rotation of every position, each [t e], the second with the sign that `rotate` needs."""

    cos: Tensor
    sin: Tensor


def rotary(num_positions: int, head_width: int, like: Tensor, theta: float = 1e4) -> Rotary:
    """Rotary position embedding for positions 0, 1, ... (Su et al. 2021, eq. 34), on the device and in the dtype of `like`.

    Angles are computed in float32 whatever the dtype: in bfloat16 neighbouring positions would coincide above 256.
    """
    frequency = theta ** (-torch.arange(0, head_width, 2, device=like.device, dtype=torch.float32) / head_width)
    angle = torch.arange(num_positions, device=like.device, dtype=torch.float32)[:, None] * frequency
    cos, sin = angle.cos(), angle.sin()
    return Rotary(torch.cat([cos, cos], -1).to(like.dtype), torch.cat([-sin, sin], -1).to(like.dtype))


def rotate(x: Float[Tensor, "*n t e"], rope: Rotary) -> Float[Tensor, "*n t e"]:
    """x turned by its position: channel i pairs with channel i + e/2."""
    swapped = torch.cat(x.chunk(2, dim=-1)[::-1], dim=-1)
    return torch.addcmul(x * rope.cos, swapped, rope.sin)


def sincos(coordinates: Float[Tensor, "n"], width: int, theta: float = 1e4) -> Float[Tensor, "n d"]:
    """Sines, then cosines, of each coordinate at width/2 frequencies from 1 to nearly 1/theta."""
    half = width // 2
    frequency = theta ** (-torch.arange(half, device=coordinates.device, dtype=torch.float32) / half)
    angle = coordinates[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def sincos_2d(rows: Float[Tensor, "h"], columns: Float[Tensor, "w"], width: int) -> Float[Tensor, "h w d"]:
    """Positions of a grid: the first half of the channels tells the column, the second the row."""
    across = sincos(columns, width // 2)[None].expand(len(rows), -1, -1)
    down = sincos(rows, width // 2)[:, None].expand(-1, len(columns), -1)
    return torch.cat([across, down], dim=-1)


class ScalarEmbedding(nn.Module):
    """A number (a time, a frame rate) as a vector: sinusoids of 256 channels, then two linear maps with SiLU between."""

    def __init__(self, width: int, channels: int = 256):
        super().__init__()
        self.channels = channels
        self.linear_1 = nn.Linear(channels, width)
        self.linear_2 = nn.Linear(width, width)
        nn.init.normal_(self.linear_1.weight, std=0.02)
        nn.init.normal_(self.linear_2.weight, std=0.02)

    def forward(self, value: Float[Tensor, "*n"]) -> Float[Tensor, "*n d"]:
        # Cosines first, as in diffusers' get_timestep_embedding with flip_sin_to_cos and no shift of the frequencies.
        half = self.channels // 2
        frequency = torch.exp(-math.log(1e4) * torch.arange(half, dtype=torch.float32, device=value.device) / half)
        angle = value.float()[..., None] * frequency
        waves = torch.cat([angle.cos(), angle.sin()], dim=-1).to(self.linear_1.weight.dtype)
        return self.linear_2(F.silu(self.linear_1(waves)))


class Attention(nn.Module):
    """Self-attention over one axis of the grid, with queries and keys normalised per head (QK-RMSNorm), then turned."""

    def __init__(self, width: int, heads: int, *, temporal: bool):
        super().__init__()
        self.heads, self.temporal = heads, temporal
        self.qkv = nn.Linear(width, 3 * width)
        self.query_norm = nn.Parameter(torch.ones(width // heads))
        self.key_norm = nn.Parameter(torch.ones(width // heads))
        self.out = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "b t s d"], rope: Rotary | None) -> Float[Tensor, "b t s d"]:
        b, t, s, d = x.shape
        qkv = self.qkv(x).view(b, t, s, 3, self.heads, d // self.heads)
        # The axis that attends comes last but one; the other joins the batch.
        q, k, v = qkv.permute((3, 0, 2, 4, 1, 5) if self.temporal else (3, 0, 1, 4, 2, 5)).flatten(1, 2).unbind(0)
        q, k = rms_norm(q, self.query_norm), rms_norm(k, self.key_norm)
        if rope is not None:
            q, k = rotate(q, rope), rotate(k, rope)
        y = attend(q, k, v).transpose(1, 2)
        y = y.reshape(b, s, t, d).transpose(1, 2) if self.temporal else y.reshape(b, t, s, d)
        return self.out(y)


def rms_norm(x: Float[Tensor, "*n e"], weight: Float[Tensor, "e"], eps: float = 1e-6) -> Float[Tensor, "*n e"]:
    """x over its root mean square, times the weight."""
    if x.is_cuda:
        return F.rms_norm(x, (x.shape[-1],), weight.to(x.dtype), eps)
    # Elsewhere torch's own is not one kernel but nine, all of them in float32: three times the time in bfloat16.
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + eps) * weight.to(x.dtype)


def attend(
    q: Float[Tensor, "n h q e"],
    k: Float[Tensor, "n h k e"],
    v: Float[Tensor, "n h k e"],
    mask: Bool[Tensor, "n 1 1 k"] | None = None,
) -> Float[Tensor, "n h q e"]:
    """Attention of queries to keys, where the mask is True."""
    if q.device.type == "cpu" and k.shape[-2] <= 64:
        # The fused kernel for CPUs is made for long rows; on many short ones it takes five to nine times as long as this.
        logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        if mask is not None:
            logits = logits.masked_fill(~mask, torch.finfo(logits.dtype).min)
        return logits.softmax(-1).to(v.dtype) @ v
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


class CrossAttention(nn.Module):
    """Every token of the grid looks at the words of its sample."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "b t s d"], text: Float[Tensor, "b k d"], mask: Bool[Tensor, "b k"]
    ) -> Float[Tensor, "b t s d"]:
        b, t, s, d = x.shape
        e = d // self.heads
        q = self.q(x).view(b, t * s, self.heads, e).transpose(1, 2)
        k, v = self.kv(text).view(b, -1, 2, self.heads, e).permute(2, 0, 3, 1, 4).unbind(0)
        y = attend(q, k, v, mask[:, None, None, :])
        return self.out(y.transpose(1, 2).reshape(b, t, s, d))


class Block(nn.Module):
    """One STDiT3 block: attention, words, MLP; a temporal one attends over t, a spatial one over s.

    The modulation of the two gated branches is the shared one plus the block's own 6 x d table (adaLN-single, PixArt-alpha
    section 2.3). The words are neither normalised before nor gated after.
    """

    def __init__(self, width: int, heads: int, *, temporal: bool):
        super().__init__()
        self.temporal = temporal
        self.table = nn.Parameter(torch.randn(6, width) / math.sqrt(width))
        self.attention = Attention(width, heads, temporal=temporal)
        self.cross = CrossAttention(width, heads)
        self.mlp_in = nn.Linear(width, 4 * width)
        self.mlp_out = nn.Linear(4 * width, width)
        for linear in (self.attention.qkv, self.attention.out, self.cross.q, self.cross.kv, self.mlp_in, self.mlp_out):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
        nn.init.zeros_(self.cross.out.weight)
        nn.init.zeros_(self.cross.out.bias)
        if temporal:
            self.silence()

    def silence(self) -> None:
        """Zeroes what the block adds, so that a network starts as one without it."""
        for linear in (self.attention.out, self.cross.out, self.mlp_out):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(
        self,
        x: Float[Tensor, "b t s d"],
        modulation: Float[Tensor, "b g s six_d"],
        text: Float[Tensor, "b k d"],
        mask: Bool[Tensor, "b k"],
        rope: Rotary | None = None,
    ) -> Float[Tensor, "b t s d"]:
        """x and the block's word on it. modulation: per token, for all steps (g = 1) or for each (g = t)."""
        both = modulation + self.table.flatten().to(modulation.dtype)
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = both.chunk(6, dim=-1)
        x = torch.addcmul(x, gate_a, self.attention(modulate(x, shift_a, scale_a), rope))
        x = x + self.cross(x, text, mask)
        hidden = gelu(self.mlp_in(modulate(x, shift_m, scale_m)))
        return torch.addcmul(x, gate_m, self.mlp_out(hidden))


def gelu(x: Tensor) -> Tensor:
    """GELU by its tanh approximation."""
    if x.dtype == torch.bfloat16 and x.device.type == "cpu":
        # The exact one takes a third of the time there, and the two differ by less (5e-4) than a bfloat16 near one can tell.
        return F.gelu(x)
    return F.gelu(x, approximate="tanh")


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """The normalised x (no affine, eps 1e-6), scaled by 1 + scale and shifted (DiT, section 3.2)."""
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=1e-6), 1 + scale)
