"""Easy fusion: the self-attention of each stream also sees the other stream (CMMD, section 3.2, equation 6, figure 2).

The other stream is brought to the shape of a stream (nearest neighbour in time, pooling or repetition in space) and concatenated
to its channels. Queries, keys and values are linear in the concatenation. A linear map of a concatenation is the sum of two
linear maps, and a pointwise map commutes with repetition and pooling. So the other stream goes through its part of the map in
its own, smaller shape and is resampled afterwards. The result is equal, without the double width at every pixel.
"""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.core.av import AV


def resample_nearest(x: Float[Tensor, "b n c"], length: int) -> Float[Tensor, "b m c"]:
    """Nearest-neighbour resampling in time: step i takes the step floor(i n / length) of x.

    Args:
        x: Features with n steps.
        length: Number m of steps of the result.
    """
    steps = x.shape[1]
    if steps == length:
        return x
    # Integers: a floating-point product could fall just below the intended step.
    return x.index_select(1, torch.arange(length, device=x.device) * steps // length)


def align_audio_to_video(audio: Float[Tensor, "b l c"], frames: int) -> Float[Tensor, "b t 1 1 c"]:
    """Audio features for the video stream: one step per frame, equal at every pixel (figure 2, upper half)."""
    return resample_nearest(audio, frames)[:, :, None, None]


def align_video_to_audio(pooled: Float[Tensor, "b t c"], steps: int) -> Float[Tensor, "b l c"]:
    """Video features, averaged over pixels, for the audio stream: at each step the current frame (figure 2, lower half)."""
    return resample_nearest(pooled, steps)


class FusedAttention(nn.Module):
    """Self-attention of one stream on its fusion with the other stream. The result is added to the unfused stream.

    Both streams are normalised over the channels of each position. Statistics over a clip would let each frame influence all
    others through the norm, and fusion would no longer be local in time.

    Deviation: the paper only draws the fused tensor. The norms, the residual on the unfused stream and the projection back to its
    width, by queries, keys and values of that width, are ours.

    Args:
        width: Channels of the stream.
        other: Channels of the other stream.
        head_width: Channels of an attention head.
        fusion: Whether to fuse. Without fusion a stream only attends to itself.
    """

    def __init__(self, width: int, other: int, head_width: int, *, fusion: bool):
        super().__init__()
        self.heads, self.fusion = width // head_width, fusion
        self.norm = nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        if fusion:
            self.other_norm = nn.LayerNorm(other)
            self.other_qkv = nn.Linear(other, 3 * width, bias=False)
            # Together they are one linear map from the concatenated channels.
            bound = 1 / math.sqrt(width + other)
            for linear in (self.qkv, self.other_qkv):
                nn.init.uniform_(linear.weight, -bound, bound)

    def fused_qkv(self, x: AV, stream: str) -> Tensor:
        """Queries, keys and values of a stream, [b ... 3c]."""
        own = self.qkv(self.norm(getattr(x, stream)))
        if not self.fusion:
            return own
        if stream == "video":
            return own + align_audio_to_video(self.other_qkv(self.other_norm(x.audio)), own.shape[1])
        return own + align_video_to_audio(self.other_qkv(self.other_norm(x.video).mean((2, 3))), own.shape[1])

    def attend(self, qkv: Float[Tensor, "n k d"]) -> Float[Tensor, "n k e"]:
        """Multi-head attention over k."""
        if qkv.dtype == torch.bfloat16 and qkv.device.type == "cpu":
            # On CPUs the backward pass of this kernel is ten times slower in half precision.
            with torch.autocast("cpu", enabled=False):
                return self.attend(qkv.float()).to(qkv.dtype)
        q, k, v = rearrange(qkv, "n k (three heads e) -> three n heads k e", three=3, heads=self.heads)
        return rearrange(F.scaled_dot_product_attention(q, k, v), "n heads k e -> n k (heads e)")

    def attend_over_space(self, x: AV) -> Float[Tensor, "b t h w c"]:
        """Attention of the video among the pixels of each frame."""
        qkv = self.fused_qkv(x, "video")
        b, _, h, _, _ = qkv.shape
        y = self.attend(rearrange(qkv, "b t h w c -> (b t) (h w) c"))
        return x.video + rearrange(self.out(y), "(b t) (h w) c -> b t h w c", b=b, h=h)

    def attend_over_frames(self, x: AV) -> Float[Tensor, "b t h w c"]:
        """Attention of the video along time at each pixel."""
        qkv = self.fused_qkv(x, "video")
        b, _, h, w, _ = qkv.shape
        y = self.attend(rearrange(qkv, "b t h w c -> (b h w) t c"))
        return x.video + rearrange(self.out(y), "(b h w) t c -> b t h w c", b=b, h=h, w=w)

    def attend_over_audio_steps(self, x: AV) -> Float[Tensor, "b l c"]:
        """Attention of the audio along time."""
        return x.audio + self.out(self.attend(self.fused_qkv(x, "audio")))


class EasyFusion(nn.Module):
    """The attention layers after one pair of residual blocks: video over space, then video over time, and audio over time.

    Audio sees the video input of the block, and video sees the audio input (figure 2: processed concurrently).

    Args:
        widths: Channels of each stream.
        head_width: Channels of an attention head.
        fusion: Whether to fuse.
    """

    def __init__(self, widths: AV, head_width: int, *, fusion: bool):
        super().__init__()
        self.space, self.frames = (FusedAttention(*widths, head_width, fusion=fusion) for _ in range(2))
        self.steps = FusedAttention(widths.audio, widths.video, head_width, fusion=fusion)

    def forward(self, x: AV) -> AV:
        video = self.space.attend_over_space(x)
        return AV(self.frames.attend_over_frames(AV(video, x.audio)), self.steps.attend_over_audio_steps(x))
