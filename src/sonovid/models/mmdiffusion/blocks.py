"""Blocks of MM-Diffusion, channels last: video [b t h w c] and audio [b l c]."""

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor, nn

from sonovid.core.av import AV
from sonovid.models.cmmd.residual import ChannelNorm, Convolution, VideoConvolution

# Factors by which a level reduces height and width of the video, and the number of audio steps.
VIDEO_FACTOR, AUDIO_FACTOR = 2, 4
# Odd 64-bit multipliers that mix bits (Steele, Lea & Flood 2014), as signed integers.
MIX = (-4658895280553007687, -7723592293110705685)


def resize(x: Float[Tensor, "b *n c"], how: str) -> Float[Tensor, "b *m c"]:
    """Averages over 2x2 pixels of each frame or over 4 audio steps ("down"), repetition ("up"), or nothing ("")."""
    if not how:
        return x
    if x.ndim == 3:
        return x.unflatten(1, (-1, AUDIO_FACTOR)).mean(2) if how == "down" else x.repeat_interleave(AUDIO_FACTOR, dim=1)
    if how == "up":
        return repeat(x, "b t h w c -> b t (h two) (w too) c", two=VIDEO_FACTOR, too=VIDEO_FACTOR)
    pooled = F.avg_pool2d(rearrange(x, "b t h w c -> (b t) c h w"), VIDEO_FACTOR)
    return pooled.permute(0, 2, 3, 1).unflatten(0, x.shape[:2])


class AudioConvolution(nn.Module):
    """Dilated convolution of size 3 in time, with the same output length."""

    def __init__(self, channels_in: int, channels_out: int, dilation: int = 1):
        super().__init__()
        self.time = Convolution(channels_in, channels_out, (1, 3), dilation)

    def forward(self, x: Float[Tensor, "b l c"]) -> Float[Tensor, "b l d"]:
        return self.time(x[:, None])[:, 0]


class SelfAttention(nn.Module):
    """Multi-head self-attention over k tokens with group normalisation, added to its input."""

    def __init__(self, channels: int, heads: int, groups: int):
        super().__init__()
        self.heads, self.norm = heads, ChannelNorm(groups, channels)
        self.qkv, self.out = nn.Linear(channels, 3 * channels), _zero(nn.Linear(channels, channels))

    def forward(self, x: Float[Tensor, "n k c"]) -> Float[Tensor, "n k c"]:
        q, k, v = rearrange(self.qkv(self.norm(x)), "n k (three heads c) -> three n heads k c", three=3, heads=self.heads)
        return x + self.out(rearrange(F.scaled_dot_product_attention(q, k, v), "n heads k c -> n k (heads c)"))


class ResidualBlock(nn.Module):
    """The residual block of both streams, which share the map of the timestep; then self-attention where asked for.

    Norm, SiLU, convolution, resizing; norm modulated by the timestep, SiLU, dropout, a zero-initialised 1x1 map; plus the input.

    Args:
        channels_in: input channels of both streams.
        channels_out: output channels.
        time_width: channels of the timestep embedding.
        groups: groups of the norms.
        dilation: dilation of the audio convolution.
        dropout: dropout probability.
        resize: "down", "up" or "".
        heads: heads of the self-attention.
        video_attention: whether the video has attention within each frame and then over the frames of each pixel.
        audio_attention: whether the audio has attention.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        time_width: int,
        *,
        groups: int,
        dilation: int,
        dropout: float,
        heads: int,
        resize: str = "",
        video_attention: bool = False,
        audio_attention: bool = False,
    ):
        super().__init__()
        self.resize, self.dropout = resize, dropout
        self.norm_in = nn.ModuleDict({name: ChannelNorm(groups, channels_in) for name in AV._fields})
        self.video_convolution = VideoConvolution(channels_in, channels_out)
        self.audio_convolution = AudioConvolution(channels_in, channels_out, dilation)
        self.time = nn.Linear(time_width, 2 * channels_out)
        self.norm_out = nn.ModuleDict({name: ChannelNorm(groups, channels_out) for name in AV._fields})
        self.out = nn.ModuleDict({name: _zero(nn.Linear(channels_out, channels_out)) for name in AV._fields})
        same = channels_in == channels_out
        self.skip = nn.ModuleDict({name: nn.Identity() if same else nn.Linear(channels_in, channels_out) for name in AV._fields})

        def attention(present: bool) -> SelfAttention | None:
            return SelfAttention(channels_out, heads, groups) if present else None

        self.spatial_attention, self.temporal_attention = attention(video_attention), attention(video_attention)
        self.audio_attention = attention(audio_attention)

    def forward(self, x: AV, time: AV) -> AV:
        """`time` holds the timestep embedding of each stream after SiLU, [b e]."""
        convolutions = AV(self.video_convolution, self.audio_convolution)
        video, audio = (
            self._stream(name, getattr(convolutions, name), getattr(x, name), getattr(time, name)) for name in AV._fields
        )
        if self.spatial_attention is not None and self.temporal_attention is not None:
            _, t, h, w, _ = video.shape
            video = self.spatial_attention(rearrange(video, "b t h w c -> (b t) (h w) c"))
            video = self.temporal_attention(rearrange(video, "(b t) k c -> (b k) t c", t=t))
            video = rearrange(video, "(b h w) t c -> b t h w c", h=h, w=w)
        return AV(video, audio if self.audio_attention is None else self.audio_attention(audio))

    def _stream(self, name: str, convolution: nn.Module, x: Tensor, time: Tensor) -> Tensor:
        h = resize(convolution(F.silu(self.norm_in[name](x))), self.resize)
        scale, shift = self.time(time).view(len(x), *(1 for _ in x.shape[1:-1]), -1).chunk(2, dim=-1)
        h = F.silu(torch.addcmul(shift, self.norm_out[name](h), 1 + scale))
        return self.skip[name](resize(x, self.resize)) + self.out[name](F.dropout(h, self.dropout, self.training))


class RandomShiftAttention(nn.Module):
    """Attention of each frame to the audio of a few frames, and of a frame's audio to the same number of frames (section 3.3).

    Frame i and its audio attend to the window of frames i + s ... i + s + w - 1 of the other stream, modulo the number of frames,
    with a shift s that is drawn at each evaluation.

    Args:
        channels: channels of both streams.
        window: w, the number of frames in a window; 0: all frames, without shift.
        heads: number of heads.
        groups: groups of the norms.
        index: number of the layer, so that layers have different shifts.

    Deviation: the authors draw shifts by Python's global generator, at sampling too. Here the shift is a hash of the timesteps
    and of the layer, so that a clip depends on its seed alone, and a resumed training on its batches alone.
    """

    def __init__(self, channels: int, window: int, heads: int, groups: int, index: int):
        super().__init__()
        self.window, self.heads, self.index = window, heads, index
        self.norm = nn.ModuleDict({name: ChannelNorm(groups, channels) for name in AV._fields})
        self.qkv = nn.ModuleDict({name: nn.Linear(channels, 3 * channels) for name in AV._fields})
        self.out = nn.ModuleDict({name: _zero(nn.Linear(channels, channels)) for name in AV._fields})

    def forward(self, x: AV, seed: Int[Tensor, ""]) -> AV:
        """`seed` is the hash of the timesteps, see `timestep_hash`."""
        frames, (height, width) = x.video.shape[1], x.video.shape[2:4]
        # Frame by frame: the pixels of a frame, and its share of the audio, rounded down.
        per_frame = AV(height * width, x.audio.shape[1] // frames)
        flat = AV(x.video.flatten(1, 3), x.audio)
        projected = flat.map(lambda z, name: self.qkv[name](self.norm[name](z)).chunk(3, dim=-1), AV(*AV._fields))
        window = min(self.window, frames) or frames
        shift = shift_from_hash(seed, self.index, frames - window + 1) if window < frames else torch.zeros_like(seed)
        video = self._attend(projected.video[0], per_frame.video, projected.audio, per_frame.audio, frames, window, shift)
        audio = self._attend(projected.audio[0], per_frame.audio, projected.video, per_frame.video, frames, window, shift)
        return AV(x.video + self.out["video"](video).view_as(x.video), x.audio + self.out["audio"](audio))

    def _attend(
        self, query: Tensor, own: int, other: tuple[Tensor, ...], per_frame: int, frames: int, window: int, shift: Tensor
    ) -> Tensor:
        """Attention of all tokens of one stream [b n c], of which `own` belong to a frame, to the windows of the other."""
        start = torch.arange(frames, device=query.device)[:, None] + shift
        index = (start * per_frame + torch.arange(window * per_frame, device=query.device)) % other[1].shape[1]
        k, v = (rearrange(z[:, index], "b t k (heads c) -> b t heads k c", heads=self.heads) for z in other[1:])
        q = rearrange(query[:, : frames * own], "b (t k) (heads c) -> b t heads k c", t=frames, heads=self.heads)
        parts = [rearrange(_attention(q, k, v), "b t heads k c -> b (t k) (heads c)")]
        if query.shape[1] > frames * own:
            # The audio steps that remain belong to the last frame.
            rest = rearrange(query[:, frames * own :], "b k (heads c) -> b heads k c", heads=self.heads)
            parts.append(rearrange(_attention(rest, k[:, -1], v[:, -1]), "b heads k c -> b k (heads c)"))
        return torch.cat(parts, dim=1)


def _attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention with one or two batch axes."""
    if q.ndim == 4:
        return F.scaled_dot_product_attention(q, k, v)
    return F.scaled_dot_product_attention(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1)).unflatten(0, q.shape[:2])


def timestep_hash(t: AV, *, training: bool) -> Int[Tensor, ""]:
    """A 64-bit hash of timesteps: of all samples in training, and of the first one in sampling, where all have the same."""
    times = torch.cat([one.double() for one in t]) if training else t.video[:1].double()
    positions = torch.arange(1, len(times) + 1, device=times.device)
    return _mix((times * 2.0**40).long() * positions).sum()


def shift_from_hash(seed: Int[Tensor, ""], index: int, choices: int) -> Int[Tensor, ""]:
    """A number from 0 to choices - 1, nearly uniform over seeds and layers."""
    return _mix(seed + index) % choices


def _mix(x: Tensor) -> Tensor:
    """The finaliser of SplitMix64 on signed integers, whose products wrap around."""
    for multiplier, shift in zip(MIX, (30, 27), strict=True):
        x = (x ^ ((x >> shift) & (2 ** (64 - shift) - 1))) * multiplier
    return x ^ ((x >> 31) & (2**33 - 1))


def _zero(layer: Any) -> Any:
    """A layer that begins as zero."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
