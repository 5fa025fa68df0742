"""Transformer blocks over a grid of tokens [b t s d]: t time steps with s tokens each (STDiT3, Open-Sora 1.2)."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn


class RotaryEmbedding(NamedTuple):
    """Cosines and sines of the rotation of each position, each [t e]. The sines have the signs that `apply_rotary` needs."""

    cos: Tensor
    sin: Tensor


def rotary_embedding(num_positions: int, head_width: int, like: Tensor, theta: float = 1e4) -> RotaryEmbedding:
    """Rotary position embedding for positions 0, 1, ... (Su et al. 2021, eq. 34), on the device and in the dtype of `like`.

    Angles are computed in float32 in any case: in bfloat16, neighbouring positions above 256 would coincide.
    """
    frequency = theta ** (-torch.arange(0, head_width, 2, device=like.device, dtype=torch.float32) / head_width)
    angle = torch.arange(num_positions, device=like.device, dtype=torch.float32)[:, None] * frequency
    cos, sin = angle.cos(), angle.sin()
    return RotaryEmbedding(torch.cat([cos, cos], -1).to(like.dtype), torch.cat([-sin, sin], -1).to(like.dtype))


def apply_rotary(x: Float[Tensor, "*n t e"], rope: RotaryEmbedding) -> Float[Tensor, "*n t e"]:
    """Rotate x by its position. Channel i is paired with channel i + e/2."""
    swapped = torch.cat(x.chunk(2, dim=-1)[::-1], dim=-1)
    return torch.addcmul(x * rope.cos, swapped, rope.sin)


def sincos_1d(coordinates: Float[Tensor, "n"], width: int, theta: float = 1e4) -> Float[Tensor, "n d"]:
    """Sines, then cosines, of each coordinate at width/2 frequencies from 1 to nearly 1/theta."""
    half = width // 2
    frequency = theta ** (-torch.arange(half, device=coordinates.device, dtype=torch.float32) / half)
    angle = coordinates[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def sincos_2d(rows: Float[Tensor, "h"], columns: Float[Tensor, "w"], width: int) -> Float[Tensor, "h w d"]:
    """Position embedding of a grid: the first half of the channels encodes the column, the second half the row."""
    across = sincos_1d(columns, width // 2)[None].expand(len(rows), -1, -1)
    down = sincos_1d(rows, width // 2)[:, None].expand(-1, len(columns), -1)
    return torch.cat([across, down], dim=-1)


class ScalarEmbedding(nn.Module):
    """Embedding of a number (a timestep, a frame rate): sinusoids of 256 channels, then two linear layers with SiLU between."""

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
    """Self-attention over one axis of the grid, with queries and keys normalised per head (QK-RMSNorm), then rotated."""

    def __init__(self, width: int, heads: int, *, temporal: bool):
        super().__init__()
        self.heads, self.temporal = heads, temporal
        self.qkv = nn.Linear(width, 3 * width)
        self.query_norm = nn.Parameter(torch.ones(width // heads))
        self.key_norm = nn.Parameter(torch.ones(width // heads))
        self.out = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "b t s d"], rope: RotaryEmbedding | None) -> Float[Tensor, "b t s d"]:
        b, t, s, d = x.shape
        qkv = self.qkv(x).view(b, t, s, 3, self.heads, d // self.heads)
        # The attended axis becomes the second to last; the other one is merged with the batch.
        q, k, v = qkv.permute((3, 0, 2, 4, 1, 5) if self.temporal else (3, 0, 1, 4, 2, 5)).flatten(1, 2).unbind(0)
        q, k = rms_norm(q, self.query_norm), rms_norm(k, self.key_norm)
        if rope is not None:
            q, k = apply_rotary(q, rope), apply_rotary(k, rope)
        y = attend(q, k, v).transpose(1, 2)
        y = y.reshape(b, s, t, d).transpose(1, 2) if self.temporal else y.reshape(b, t, s, d)
        return self.out(y)


def rms_norm(x: Float[Tensor, "*n e"], weight: Float[Tensor, "e"], eps: float = 1e-6) -> Float[Tensor, "*n e"]:
    """x divided by its root mean square, times the weight."""
    if x.is_cuda:
        return F.rms_norm(x, (x.shape[-1],), weight.to(x.dtype), eps)
    # On other devices torch uses nine kernels in float32, which take three times as long in bfloat16.
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + eps) * weight.to(x.dtype)


def attend(
    q: Float[Tensor, "n h q e"],
    k: Float[Tensor, "n h k e"],
    v: Float[Tensor, "n h k e"],
    mask: Bool[Tensor, "n 1 1 k"] | None = None,
) -> Float[Tensor, "n h q e"]:
    """Attention of queries to the keys where the mask is True."""
    if q.device.type == "cpu" and k.shape[-2] <= 64:
        # The fused CPU kernel is optimised for long sequences. On many short ones it takes five to nine times as long as this.
        logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        if mask is not None:
            logits = logits.masked_fill(~mask, torch.finfo(logits.dtype).min)
        return logits.softmax(-1).to(v.dtype) @ v
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


class CrossAttention(nn.Module):
    """Cross-attention of every token of the grid to the text embeddings of its sample."""

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
    """An STDiT3 block: self-attention, text cross-attention, MLP. A temporal block attends over t, a spatial one over s.

    The modulation of self-attention and MLP is the shared one plus the block's own 6 x d table (adaLN-single, PixArt-alpha,
    section 2.3). Cross-attention has neither a norm before nor a gate after it.

    Args:
        width: Channels of the tokens.
        heads: Attention heads.
        temporal: Whether to attend over t.
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
            self.zero_init()

    def zero_init(self) -> None:
        """Set the output layers to zero, so that the block is the identity."""
        for linear in (self.attention.out, self.cross.out, self.mlp_out):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(
        self,
        x: Float[Tensor, "b t s d"],
        modulation: Float[Tensor, "b g s six_d"],
        text: Float[Tensor, "b k d"],
        mask: Bool[Tensor, "b k"],
        rope: RotaryEmbedding | None = None,
    ) -> Float[Tensor, "b t s d"]:
        """`modulation` is per token, for all time steps (g = 1) or for each (g = t)."""
        combined = modulation + self.table.flatten().to(modulation.dtype)
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = combined.chunk(6, dim=-1)
        x = torch.addcmul(x, gate_a, self.attention(modulate(x, shift_a, scale_a), rope))
        x = x + self.cross(x, text, mask)
        hidden = gelu(self.mlp_in(modulate(x, shift_m, scale_m)))
        return torch.addcmul(x, gate_m, self.mlp_out(hidden))


def gelu(x: Tensor) -> Tensor:
    """GELU with the tanh approximation."""
    if x.dtype == torch.bfloat16 and x.device.type == "cpu":
        # On CPUs the exact GELU takes a third of the time. The difference, 5e-4, is below the bfloat16 resolution near one.
        return F.gelu(x)
    return F.gelu(x, approximate="tanh")


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Layer norm without affine (eps 1e-6), scaled by 1 + scale and shifted (DiT, section 3.2)."""
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=1e-6), 1 + scale)
