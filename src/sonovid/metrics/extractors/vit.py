"""Vision transformer blocks shared by VideoMAE, PaSST and Synchformer, with their published state dict keys."""

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn


def attention(
    q: Float[Tensor, "b k d"], k: Float[Tensor, "b m d"], v: Float[Tensor, "b m d"], heads: int
) -> Float[Tensor, "b k d"]:
    """Multi-head softmax attention."""
    q, k, v = (rearrange(x, "b k (h d) -> b h k d", h=heads) for x in (q, k, v))
    return rearrange(F.scaled_dot_product_attention(q, k, v), "b h k d -> b k (h d)")


class Attention(nn.Module):
    """Self-attention with one projection for queries, keys and values. qv_bias: biases for queries and values only (VideoMAE)."""

    def __init__(self, width: int, heads: int, *, qv_bias: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=not qv_bias)
        if qv_bias:
            self.q_bias, self.v_bias = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def project(self, x: Float[Tensor, "b k d"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values."""
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return (q + self.q_bias, k, v + self.v_bias) if hasattr(self, "q_bias") else (q, k, v)

    def forward(self, x: Float[Tensor, "b k d"]) -> Float[Tensor, "b k d"]:
        return self.proj(attention(*self.project(x), self.heads))


class Mlp(nn.Module):
    """Two linear layers with a GELU in between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, heads: int, hidden: int, *, qv_bias: bool = False) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.attn, self.mlp = Attention(width, heads, qv_bias=qv_bias), Mlp(width, hidden)

    def forward(self, x: Float[Tensor, "b k d"]) -> Float[Tensor, "b k d"]:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Patches(nn.Module):
    """Patch embedding: a 2-D or 3-D convolution, depending on `size`, [b c ...] -> [b k d]."""

    def __init__(self, channels: int, width: int, size: tuple[int, ...], stride: tuple[int, ...] | None = None) -> None:
        super().__init__()
        kind: Any = {2: nn.Conv2d, 3: nn.Conv3d}[len(size)]
        self.proj = kind(channels, width, size, stride or size)

    def forward(self, x: Tensor) -> Float[Tensor, "b k d"]:
        return self.proj(x).flatten(2).mT
