"""Fusion modules: inserted into the frozen U-Nets, they add the context of the other stream (Sec. III-C, Figs. 1 and 3).

Hidden states have the shape [b c t s]: time steps, and the positions within each step (pixels of a frame, mel positions of an
audio step).
"""

import torch
from diffusers.models.attention import BasicTransformerBlock, FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import get_timestep_embedding
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

NORM_GROUPS = 32


class ContextAttention(nn.Module):
    """Self-attention after the context is added like a positional encoding, hence CMC-PE (Sec. III-C2, Fig. 3b)."""

    def __init__(self, channels: int, context_channels: int, head_width: int):
        super().__init__()
        self.to_context = FeedForward(context_channels, channels, activation_fn="geglu")
        self.context_norm = nn.GroupNorm(NORM_GROUPS, channels, eps=1e-6)
        self.attention = Attention(channels, heads=channels // head_width, dim_head=head_width)
        layers = [layer for layer in self.to_context.modules() if isinstance(layer, nn.Linear)]
        with torch.no_grad():
            # Deviation: the release uses torch's initial values. A context has unit length, not unit variance: biases would
            # dominate it.
            layers[0].weight *= context_channels**0.5
            for layer in layers:
                layer.bias.zero_()

    def forward(self, x: Tensor, context: Float[Tensor, "b d t2"], num_steps: int, within_steps: bool) -> Tensor:
        """`x` is [(b t) s c] for attention within steps, and [b (t s) c] for attention over all of them."""
        encoding = self.context_norm(rearrange(self.to_context(rearrange(context, "b d t -> b t d")), "b t c -> b c t"))
        encoding = rearrange(F.interpolate(encoding, size=num_steps, mode="nearest"), "b c t -> b t 1 c")
        if within_steps:
            x = x + rearrange(encoding, "b t 1 c -> (b t) 1 c")
        else:
            x = rearrange(rearrange(x, "b (t s) c -> b t s c", t=num_steps) + encoding, "b t s c -> b (t s) c")
        return self.attention(x)


class CMCPEBlock(nn.Module):
    """Cross-modal conditioning as positional encoding: attention with the context, self-attention, a gated feed-forward layer.

    Args:
        channels: Channels of the hidden states.
        context_channels: Channels of the context.
        head_width: Channels of an attention head.
        as_released: Whether the norms overwrite the residual stream, so that it carries normalised values.

    Deviation: here they do not, as in any pre-norm block. Only the released code overwrites the stream.
    """

    def __init__(self, channels: int, context_channels: int, head_width: int, *, as_released: bool = False):
        super().__init__()
        self.as_released = as_released
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(3))
        self.context_attention = ContextAttention(channels, context_channels, head_width)
        self.self_attention = Attention(channels, heads=channels // head_width, dim_head=head_width)
        self.feed_forward = FeedForward(channels, activation_fn="geglu")

    def forward(self, x: Tensor, context: Float[Tensor, "b d t2"], num_steps: int, within_steps: bool) -> Tensor:
        def attend(y: Tensor) -> Tensor:
            return self.context_attention(y, context, num_steps, within_steps)

        for norm, layer in zip(self.norms, (attend, self.self_attention, self.feed_forward), strict=True):
            y = norm(x)
            x = (y if self.as_released else x) + layer(y)
        return x


class CrossAttention(BasicTransformerBlock):
    """The baseline after CoDi: a transformer block with cross-attention to one vector of the whole other clip.

    With a single key, the result of the attention is constant: it adds the same vector at all positions.
    """

    def __init__(self, channels: int, context_channels: int, head_width: int):
        super().__init__(channels, channels // head_width, head_width, cross_attention_dim=context_channels)

    def forward(self, x: Tensor, context: Float[Tensor, "b d k"], num_steps: int, within_steps: bool) -> Tensor:
        context = rearrange(context, "b d k -> b k d")
        if within_steps:
            context = context.repeat_interleave(num_steps, 0)
        return super().forward(x, encoder_hidden_states=context)


class SequenceCrossAttention(CrossAttention):
    """Cross-attention to the sequence of contexts of the other clip, one vector per time step (Sec. III-C1).

    The paper names it, after TempoTokens, as the extension of the single vector, doubts that it aligns the streams in time, and
    gives no details. Here both sides carry sinusoidal positions within the clip, so that a query can find its own time.
    """

    def forward(self, x: Tensor, context: Float[Tensor, "b d t2"], num_steps: int, within_steps: bool) -> Tensor:
        b, width, num_contexts = context.shape
        # Contexts have unit length, and so do their position encodings.
        key_positions = clip_position_encoding(num_contexts, width, context) * (2 / width) ** 0.5
        query_positions = clip_position_encoding(num_steps, x.shape[-1], x)
        if within_steps:
            x = x + query_positions.repeat(b, 1)[:, None]
        else:
            x = x + query_positions.repeat_interleave(x.shape[1] // num_steps, 0)[None]
        return super().forward(x, context + key_positions.T, num_steps, within_steps)


def clip_position_encoding(steps: int, width: int, like: Tensor) -> Float[Tensor, "t d"]:
    """Sines and cosines of the centre of each of `steps` equal steps of a clip, independent of their number."""
    centres = (torch.arange(steps, device=like.device, dtype=torch.float32) + 0.5) / steps
    return get_timestep_embedding(centres, width, scale=1000).to(like.dtype)


class FusionModule(nn.Module):
    """Norm, projection, block, projection, added to the input. Zero-initialised, so that the U-Net is unchanged at first.

    Args:
        channels: Channels of the hidden states.
        block: `CMCPEBlock`, `CrossAttention` or `SequenceCrossAttention`.
        within_steps: Whether to attend within each time step (video, whose motion layers mix frames) or over all of them (audio).
    """

    def __init__(self, channels: int, block: nn.Module, *, within_steps: bool):
        super().__init__()
        self.within_steps = within_steps
        # CMC-PE normalises over the clip, cross-attention over the positions that it attends to.
        self.norm_by_step = within_steps and isinstance(block, CrossAttention)
        self.norm = nn.GroupNorm(NORM_GROUPS, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.block = block
        self.proj_out = nn.Linear(channels, channels)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, x: Float[Tensor, "b c t s"], context: Float[Tensor, "b d t2"]) -> Float[Tensor, "b c t s"]:
        b, _, t, _ = x.shape
        if self.norm_by_step:
            y = rearrange(self.norm(rearrange(x, "b c t s -> (b t) c s")), "(b t) c s -> b c t s", b=b)
        else:
            y = self.norm(x)
        y = rearrange(y, "b c t s -> (b t) s c" if self.within_steps else "b c t s -> b (t s) c")
        y = self.proj_out(self.block(self.proj_in(y), context, t, self.within_steps))
        return x + (rearrange(y, "(b t) s c -> b c t s", b=b) if self.within_steps else rearrange(y, "b (t s) c -> b c t s", t=t))
