"""The parts of MM-LDM's transformer: blocks of full attention with adaLN-zero, and where a stream enters and leaves."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.models.uniform.blocks import attend, gelu, modulate, sincos_2d

# Latents as rows of tokens, row after row of the image that they are. The sound's image has its mel bins as rows and its
# steps as columns.
TOKENS = {"video": "b c 1 h w -> b (h w) c", "audio": "b c l f -> b (f l) c"}


def to_tokens(name: str, z: Tensor) -> Float[Tensor, "b k c"]:
    """A stream's latents, video [b c 1 h w] or audio [b c l f], as tokens of one latent position each."""
    return rearrange(z, TOKENS[name])


def from_tokens(name: str, tokens: Float[Tensor, "b k c"], like: Tensor) -> Tensor:
    """The inverse of `to_tokens`, in the shape and dtype of `like`."""
    sizes = {"h": like.shape[3]} if name == "video" else {"f": like.shape[3]}
    into, tokens_as = TOKENS[name].split(" -> ")
    return rearrange(tokens, f"{tokens_as} -> {into}", **sizes).to(like.dtype)


class SelfAttention(nn.Module):
    """Every token looks at every other, of whichever stream."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "b k d"]) -> Float[Tensor, "b k d"]:
        q, k, v = rearrange(self.qkv(x), "b k (three h e) -> three b h k e", three=3, h=self.heads).unbind(0)
        return self.out(rearrange(attend(q, k, v), "b h k e -> b k (h e)"))


class MLP(nn.Module):
    """Two linear layers with a GELU (tanh) between, four times as wide."""

    def __init__(self, width: int):
        super().__init__()
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, x: Float[Tensor, "b k d"]) -> Float[Tensor, "b k d"]:
        return self.narrow(gelu(self.widen(x)))


class Block(nn.Module):
    """Attention, then an MLP, both modulated and gated by the time alone (DiT's adaLN-zero, section 3.2): at first, nothing."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.attention = SelfAttention(width, heads)
        self.mlp = MLP(width)
        self.modulation = nn.Linear(width, 6 * width)

    def forward(self, x: Float[Tensor, "b k d"], time: Float[Tensor, "b d"]) -> Float[Tensor, "b k d"]:
        """x and the block's word on it. time: embedded and through its SiLU, which all blocks share."""
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.modulation(time)[:, None].chunk(6, dim=-1)
        x = torch.addcmul(x, gate_a, self.attention(modulate(x, shift_a, scale_a)))
        return torch.addcmul(x, gate_m, self.mlp(modulate(x, shift_m, scale_m)))


class Entrance(nn.Module):
    """Where one stream enters: its EOS token, then its latent positions, each with a fixed place and a learnt one of its own."""

    position: Tensor

    def __init__(self, channels: int, rows: int, columns: int, width: int):
        super().__init__()
        self.embed = nn.Linear(channels, width)
        self.end = nn.Parameter(0.01 * torch.randn(width))
        self.modality = nn.Parameter(0.01 * torch.randn(rows * columns, width))
        places = sincos_2d(torch.arange(rows, dtype=torch.float32), torch.arange(columns, dtype=torch.float32), width)
        self.register_buffer("position", places.flatten(0, 1), persistent=False)

    def forward(self, z: Float[Tensor, "b k c"], given: Tensor | None = None) -> Float[Tensor, "b k1 d"]:
        """given: what is added to the embedded positions, [b k d] or [d]."""
        tokens = self.embed(z) + (self.position + self.modality)
        if given is not None:
            tokens = tokens + given
        return torch.cat([self.end.to(tokens.dtype).expand(len(z), 1, -1), tokens], dim=1)


class Head(nn.Module):
    """Where one stream leaves: normalised, modulated by the time, and down to its channels."""

    def __init__(self, width: int, channels: int):
        super().__init__()
        self.modulation = nn.Linear(width, 2 * width)
        self.linear = nn.Linear(width, channels)

    def forward(self, x: Float[Tensor, "b k d"], time: Float[Tensor, "b d"]) -> Float[Tensor, "b k c"]:
        shift, scale = self.modulation(time)[:, None].chunk(2, dim=-1)
        return self.linear(modulate(x, shift, scale))


def start(module: nn.Module) -> None:
    """DiT's starting values: Xavier's rule for linear layers, with biases, modulations and outputs at zero."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    for part in module.modules():
        if isinstance(part, Block | Head):
            nn.init.zeros_(part.modulation.weight)
        if isinstance(part, Head):
            nn.init.zeros_(part.linear.weight)


def embed(time: nn.Module, entries: Float[Tensor, "b"]) -> Float[Tensor, "b d"]:
    """Entries of the table of times as all blocks take them."""
    return F.silu(time(entries))
