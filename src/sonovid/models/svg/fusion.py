"""Joins: the modules set into the frozen U-Nets, where one stream takes in the other's context (Sec. III-C, Figs. 1 and 3).

Hidden states come as [b c t s]: time, and all other places of that time (pixels of a frame, mel places of a step).
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
    """Self-attention after the context was added as if it were a positional encoding: hence CMC-PE (Sec. III-C2, Fig. 3b)."""

    def __init__(self, channels: int, context_channels: int, head_width: int):
        super().__init__()
        self.to_context = FeedForward(context_channels, channels, activation_fn="geglu")
        self.context_norm = nn.GroupNorm(NORM_GROUPS, channels, eps=1e-6)
        self.attention = Attention(channels, heads=channels // head_width, dim_head=head_width)
        heard = [layer for layer in self.to_context.modules() if isinstance(layer, nn.Linear)]
        with torch.no_grad():
            # Deviation: the release begins as torch does. A context has unit length, not unit variance: biases would drown it.
            heard[0].weight *= context_channels**0.5
            for layer in heard:
                layer.bias.zero_()

    def forward(self, x: Tensor, context: Float[Tensor, "b d t2"], num_steps: int, within_steps: bool) -> Tensor:
        """x: [(b t) s c] where it attends within steps, [b (t s) c] where it attends everywhere."""
        encoding = self.context_norm(rearrange(self.to_context(rearrange(context, "b d t -> b t d")), "b t c -> b c t"))
        encoding = rearrange(F.interpolate(encoding, size=num_steps, mode="nearest"), "b c t -> b t 1 c")
        if within_steps:
            x = x + rearrange(encoding, "b t 1 c -> (b t) 1 c")
        else:
            x = rearrange(rearrange(x, "b (t s) c -> b t s c", t=num_steps) + encoding, "b t s c -> b (t s) c")
        return self.attention(x)


class CMCPE(nn.Module):
    """Cross-modal conditioning as positional encoding: attention with the context, attention without, a gated layer.

    as_released: the norms overwrite the stream, so that residuals carry normalised values.

    Deviation: here they do not, as in any pre-norm block; the overwriting stands in the released code only.
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
    """The baseline, after CoDi: a transformer block that attends to one vector of the whole other clip.

    With one key the attention to it is a constant: it adds the same to all places.
    """

    def __init__(self, channels: int, context_channels: int, head_width: int):
        super().__init__(channels, channels // head_width, head_width, cross_attention_dim=context_channels)

    def forward(self, x: Tensor, context: Float[Tensor, "b d k"], num_steps: int, within_steps: bool) -> Tensor:
        context = rearrange(context, "b d k -> b k d")
        if within_steps:
            context = context.repeat_interleave(num_steps, 0)
        return super().forward(x, encoder_hidden_states=context)


class SequenceCrossAttention(CrossAttention):
    """Cross-attention over the other clip's contexts in their order, a vector for each step of its time (Sec. III-C1).

    The paper names it, after TempoTokens, as the extension of one vector, and doubts that it ties moments together; it gives no
    details. Here both sides carry the time within the clip, as sines and cosines, so that a place can find its own moment.
    """

    def forward(self, x: Tensor, context: Float[Tensor, "b d t2"], num_steps: int, within_steps: bool) -> Tensor:
        b, width, moments = context.shape
        # Contexts have unit length, and so have their positions.
        where = moments_in_clip(moments, width, context) * (2 / width) ** 0.5
        here = moments_in_clip(num_steps, x.shape[-1], x)
        x = x + (here.repeat(b, 1)[:, None] if within_steps else here.repeat_interleave(x.shape[1] // num_steps, 0)[None])
        return super().forward(x, context + where.T, num_steps, within_steps)


def moments_in_clip(steps: int, width: int, like: Tensor) -> Float[Tensor, "t d"]:
    """Sines and cosines of the middle of each of so many steps of a clip, whatever their number."""
    middles = (torch.arange(steps, device=like.device, dtype=torch.float32) + 0.5) / steps
    return get_timestep_embedding(middles, width, scale=1000).to(like.dtype)


class Join(nn.Module):
    """Norm, projection, block, projection, added to what came in; silent at first, so that the U-Net is the one it was.

    within_steps: attention is within each step of time (the frames of a video, whose motion layers mix them in time), and not
    over all of them (audio).
    """

    def __init__(self, channels: int, block: nn.Module, *, within_steps: bool):
        super().__init__()
        self.within_steps = within_steps
        # CMC-PE's statistics are those of the clip, cross-attention's those of what is attended over.
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
