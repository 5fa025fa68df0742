"""Layers of MM-LDM's transformer: blocks of full attention with adaLN-zero, and the input and output layers of a stream."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.models.uniform.blocks import attend, gelu, modulate, sincos_2d

# Latents as sequences of tokens, row by row of the latent image. The audio image has mel bins as rows and steps as columns.
TOKENS = {"video": "b c 1 h w -> b (h w) c", "audio": "b c l f -> b (f l) c"}


def to_tokens(name: str, z: Tensor) -> Float[Tensor, "b k c"]:
    """Latents of a stream, video [b c 1 h w] or audio [b c l f], as one token per latent position."""
    return rearrange(z, TOKENS[name])


def from_tokens(name: str, tokens: Float[Tensor, "b k c"], like: Tensor) -> Tensor:
    """The inverse of `to_tokens`, in the shape and dtype of `like`."""
    sizes = {"h": like.shape[3]} if name == "video" else {"f": like.shape[3]}
    into, tokens_as = TOKENS[name].split(" -> ")
    return rearrange(tokens, f"{tokens_as} -> {into}", **sizes).to(like.dtype)


class SelfAttention(nn.Module):
    """Self-attention over all tokens of both streams."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "b k d"]) -> Float[Tensor, "b k d"]:
        q, k, v = rearrange(self.qkv(x), "b k (three h e) -> three b h k e", three=3, h=self.heads).unbind(0)
        return self.out(rearrange(attend(q, k, v), "b h k e -> b k (h e)"))


class MLP(nn.Module):
    """Two linear layers with a GELU (tanh) between and four times the width."""

    def __init__(self, width: int):
        super().__init__()
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, x: Float[Tensor, "b k d"]) -> Float[Tensor, "b k d"]:
        return self.narrow(gelu(self.widen(x)))


class Block(nn.Module):
    """Attention and an MLP, modulated and gated by the timestep only (adaLN-zero of DiT, section 3.2); initially the identity."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.attention = SelfAttention(width, heads)
        self.mlp = MLP(width)
        self.modulation = nn.Linear(width, 6 * width)

    def forward(self, x: Float[Tensor, "b k d"], time: Float[Tensor, "b d"]) -> Float[Tensor, "b k d"]:
        """`time` is the timestep embedding after SiLU, which all blocks share."""
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.modulation(time)[:, None].chunk(6, dim=-1)
        x = torch.addcmul(x, gate_a, self.attention(modulate(x, shift_a, scale_a)))
        return torch.addcmul(x, gate_m, self.mlp(modulate(x, shift_m, scale_m)))


class StreamEmbedding(nn.Module):
    """Input layer of one stream: its EOS token and its latent positions, with a fixed and a learnt position embedding.

    Args:
        channels: Channels of the latents.
        rows: Rows of the latents.
        columns: Columns of the latents.
        width: Channels of the tokens.
    """

    position: Tensor

    def __init__(self, channels: int, rows: int, columns: int, width: int):
        super().__init__()
        self.embed = nn.Linear(channels, width)
        self.end = nn.Parameter(0.01 * torch.randn(width))
        self.modality = nn.Parameter(0.01 * torch.randn(rows * columns, width))
        positions = sincos_2d(torch.arange(rows, dtype=torch.float32), torch.arange(columns, dtype=torch.float32), width)
        self.register_buffer("position", positions.flatten(0, 1), persistent=False)

    def forward(self, z: Float[Tensor, "b k c"], conditioning: Tensor | None = None) -> Float[Tensor, "b k1 d"]:
        """`conditioning` is added to the embedded positions, [b k d] or [d]."""
        tokens = self.embed(z) + (self.position + self.modality)
        if conditioning is not None:
            tokens = tokens + conditioning
        return torch.cat([self.end.to(tokens.dtype).expand(len(z), 1, -1), tokens], dim=1)


class FinalLayer(nn.Module):
    """Output layer of one stream: norm, modulation by the timestep, and projection to the channels of the latents."""

    def __init__(self, width: int, channels: int):
        super().__init__()
        self.modulation = nn.Linear(width, 2 * width)
        self.linear = nn.Linear(width, channels)

    def forward(self, x: Float[Tensor, "b k d"], time: Float[Tensor, "b d"]) -> Float[Tensor, "b k c"]:
        shift, scale = self.modulation(time)[:, None].chunk(2, dim=-1)
        return self.linear(modulate(x, shift, scale))


def init_weights(module: nn.Module) -> None:
    """DiT's initial values: Xavier for linear layers; zero for biases, modulations and outputs."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    for part in module.modules():
        if isinstance(part, Block | FinalLayer):
            nn.init.zeros_(part.modulation.weight)
        if isinstance(part, FinalLayer):
            nn.init.zeros_(part.linear.weight)


def embed_time(time: nn.Module, timesteps: Float[Tensor, "b"]) -> Float[Tensor, "b d"]:
    """Timestep embedding after SiLU, as all blocks take it."""
    return F.silu(time(timesteps))
