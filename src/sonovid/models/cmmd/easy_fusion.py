"""Easy fusion: each stream's self-attention sees the other stream beside itself (CMMD, section 3.2, equation 6, figure 2).

The other stream is brought to a stream's shape (nearest neighbour in time, pooling or repetition in space) and concatenated to
its channels; queries, keys and values are linear in that. A linear map of a concatenation is the sum of two maps, and a map at
each position commutes with repetition and pooling. So the other stream passes its part of the map in its own, smaller shape and
is brought over after it: the same numbers, without the double width at every pixel.
"""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.core.av import AV


def nearest_in_time(x: Float[Tensor, "b n c"], length: int) -> Float[Tensor, "b m c"]:
    """x at `length` equal steps: step i takes that of x during which i begins, floor(i n / length), for any two lengths."""
    steps = x.shape[1]
    if steps == length:
        return x
    # In whole numbers: a float's product can fall below the step that it should reach.
    return x.index_select(1, torch.arange(length, device=x.device) * steps // length)


def beside_video(audio: Float[Tensor, "b l c"], frames: int) -> Float[Tensor, "b t 1 1 c"]:
    """The audio as the video sees it: one step for each frame, the same at every pixel (figure 2, upper half)."""
    return nearest_in_time(audio, frames)[:, :, None, None]


def beside_audio(pooled: Float[Tensor, "b t c"], steps: int) -> Float[Tensor, "b l c"]:
    """The video, averaged over pixels, as the audio sees it: at each step the frame that stands then (figure 2, lower half)."""
    return nearest_in_time(pooled, steps)


class FusedAttention(nn.Module):
    """Self-attention of one stream on its fusion with the other; what comes out is added to the unfused stream.

    Both streams are normalised first, over the channels of each position: statistics over a clip would let one frame reach all
    others through the norm, and fusion would no longer be local in time.

    Deviation: the paper draws the fused tensor alone. The norms, the residual on the unfused stream and the way back to its
    width, by queries, keys and values of that width, are ours. Without `fusion` a stream attends to itself alone.
    """

    def __init__(self, width: int, other: int, head_width: int, *, fusion: bool):
        """width, other: channels of the stream and of the one beside it."""
        super().__init__()
        self.heads, self.fusion = width // head_width, fusion
        self.norm = nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        if fusion:
            self.other_norm = nn.LayerNorm(other)
            self.other_qkv = nn.Linear(other, 3 * width, bias=False)
            # Together they are one map from both widths.
            bound = 1 / math.sqrt(width + other)
            for linear in (self.qkv, self.other_qkv):
                nn.init.uniform_(linear.weight, -bound, bound)

    def fused(self, x: AV, stream: str) -> Tensor:
        """Queries, keys and values of a stream, [b ... 3c]."""
        own = self.qkv(self.norm(getattr(x, stream)))
        if not self.fusion:
            return own
        if stream == "video":
            return own + beside_video(self.other_qkv(self.other_norm(x.audio)), own.shape[1])
        return own + beside_audio(self.other_qkv(self.other_norm(x.video).mean((2, 3))), own.shape[1])

    def attend(self, qkv: Float[Tensor, "n k d"]) -> Float[Tensor, "n k e"]:
        """Attention over k, by heads."""
        if qkv.dtype == torch.bfloat16 and qkv.device.type == "cpu":
            # The kernel's backward pass is ten times slower there in half precision than in full.
            with torch.autocast("cpu", enabled=False):
                return self.attend(qkv.float()).to(qkv.dtype)
        q, k, v = rearrange(qkv, "n k (three heads e) -> three n heads k e", three=3, heads=self.heads)
        return rearrange(F.scaled_dot_product_attention(q, k, v), "n heads k e -> n k (heads e)")

    def over_space(self, x: AV) -> Float[Tensor, "b t h w c"]:
        """The video's, among the pixels of each frame."""
        qkv = self.fused(x, "video")
        b, _, h, _, _ = qkv.shape
        y = self.attend(rearrange(qkv, "b t h w c -> (b t) (h w) c"))
        return x.video + rearrange(self.out(y), "(b t) (h w) c -> b t h w c", b=b, h=h)

    def over_frames(self, x: AV) -> Float[Tensor, "b t h w c"]:
        """The video's, along time at each pixel."""
        qkv = self.fused(x, "video")
        b, _, h, w, _ = qkv.shape
        y = self.attend(rearrange(qkv, "b t h w c -> (b h w) t c"))
        return x.video + rearrange(self.out(y), "(b h w) t c -> b t h w c", b=b, h=h, w=w)

    def over_steps(self, x: AV) -> Float[Tensor, "b l c"]:
        """The audio's, along time."""
        return x.audio + self.out(self.attend(self.fused(x, "audio")))


class FusedAttentions(nn.Module):
    """All attention of one place in the network: the video's over space, then over time, and the audio's over time.

    The audio sees the video as it came in, and the video the audio as it came in (figure 2: processed concurrently).
    """

    def __init__(self, widths: AV, head_width: int, *, fusion: bool):
        """widths: channels of each stream."""
        super().__init__()
        self.space, self.frames = (FusedAttention(*widths, head_width, fusion=fusion) for _ in range(2))
        self.steps = FusedAttention(widths.audio, widths.video, head_width, fusion=fusion)

    def forward(self, x: AV) -> AV:
        video = self.space.over_space(x)
        return AV(self.frames.over_frames(AV(video, x.audio)), self.steps.over_steps(x))
