"""CMMD: a dual U-Net over frame latents and a mel spectrogram, coupled by easy fusion (CMMD, section 3.2, figure 1, table 4)."""

import operator
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.core.model import Model, register_to_config
from sonovid.models.base import Output
from sonovid.models.cmmd.easy_fusion import EasyFusion
from sonovid.models.cmmd.residual import AudioConvolution, ChannelNorm, ResidualBlock, VideoConvolution
from sonovid.models.uniform.blocks import ScalarEmbedding

# Timesteps in [0, 1] are embedded as timesteps of a 1000-step schedule.
TIME_SCALE = 1000.0


class Stage(nn.Module):
    """A residual block per stream, followed by fused attention.

    Args:
        channels_in: Input channels of each stream.
        channels_out: Output channels of each stream.
        resize: See `ResidualBlock`.
        head_width: Channels of an attention head; 0: no attention.
        fusion: Whether to fuse the streams.
        options: Further arguments of `ResidualBlock`.
    """

    def __init__(self, channels_in: AV, channels_out: AV, resize: str, head_width: int, fusion: bool, options: dict[str, Any]):
        super().__init__()
        self.video = ResidualBlock(VideoConvolution, (channels_in.video, channels_out.video), resize=resize, **options)
        self.audio = ResidualBlock(AudioConvolution, (channels_in.audio, channels_out.audio), resize=resize, **options)
        self.attention = EasyFusion(channels_out, head_width, fusion=fusion) if head_width else None

    def forward(self, video: Tensor, audio: Tensor, video_time: Tensor, audio_time: Tensor) -> AV:
        x = AV(self.video(video, video_time), self.audio(audio, audio_time))
        return x if self.attention is None else self.attention(x)


class CMMD(Model):
    """Two U-Nets, of video and audio, that are fused in every attention layer. As published, both have the same widths.

    Each level halves the video in height and width, and the audio in time. Mel bins are channels. Nothing depends on the lengths:
    a model also runs on clips longer than those it was trained on.

    Deviation: the paper states widths, heads, downsampling and 106 M parameters. Blocks, norms and timestep modulation are those
    of MM-Diffusion, on which it is based. One block per level (MM-Diffusion has two) and attention after every block that does
    not resize, including the second block in the middle, come closest to that count: 105.7 M.

    Args:
        video: Channels of the video latents.
        audio: (channels, bins) of the audio latents; (1, bins) for a mel spectrogram.
        width: Channels of the first level.
        multipliers: Multipliers of `width` for each level.
        blocks: Residual blocks per level of the encoder. The decoder has one more.
        head_width: Channels of an attention head.
        groups: Groups of the norms.
        time_width: Channels of the timestep embedding.
        fusion: Whether to fuse the streams. Without fusion, the same two networks run independently.
        dropout: Dropout probability in residual blocks.
        audio_widths: Channels of the audio levels, one for each of `multipliers`. Empty: those of the video, as published. An
            audio U-Net whose first level has fewer channels than mel bins cannot represent the noise of all bins, which v
            contains.

    Raises:
        ValueError: The configuration does not give a network.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules: ClassVar[list[str]] = ["Stage"]

    @register_to_config
    def __init__(
        self,
        video: int = 4,
        audio: Sequence[int] = (1, 80),
        width: int = 32,
        multipliers: Sequence[int] = (1, 2),
        blocks: int = 1,
        head_width: int = 16,
        groups: int = 8,
        time_width: int = 64,
        fusion: bool = True,
        dropout: float = 0.0,
        audio_widths: Sequence[int] = (),
    ):
        super().__init__()
        _check_config(video, audio, width, multipliers, blocks)
        widths = _widths(width, multipliers, audio_widths, head_width, groups)
        options = {"time_width": time_width, "groups": groups, "dropout": dropout}

        def stage(channels_in: AV, channels_out: AV, resize: str = "", attention: bool = True) -> Stage:
            return Stage(channels_in, channels_out, resize, head_width if attention else 0, fusion, options)

        bins = audio[0] * audio[1]
        self.time = ScalarEmbedding(time_width)
        self.video_in, self.audio_in = VideoConvolution(video, widths[0].video), AudioConvolution(bins, widths[0].audio)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        skips, at = [widths[0]], widths[0]
        for level, channels in enumerate(widths):
            for _ in range(blocks):
                self.down.append(stage(at, channels))
                at = channels
                skips.append(at)
            if level + 1 < len(widths):
                self.down.append(stage(at, at, "down", attention=False))
                skips.append(at)
        self.middle = nn.ModuleList([stage(at, at), stage(at, at)])
        for level, channels in reversed(list(enumerate(widths))):
            for _ in range(blocks + 1):
                self.up.append(stage(at.map(operator.add, skips.pop()), channels))
                at = channels
            if level:
                self.up.append(stage(at, at, "up", attention=False))
        self.video_norm, self.audio_norm = (ChannelNorm(groups, channels) for channels in at)
        self.video_out, self.audio_out = VideoConvolution(at.video, video), AudioConvolution(at.audio, bins)
        for layer in (self.video_out.time, self.audio_out.time):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.gradient_checkpointing = False

    def forward(self, x: AV, t: AV, condition: Condition | None = None, previous: AV | None = None) -> Output:
        """Predict for a noisy pair, in the dtype of `x`.

        Args:
            x: Noisy latents, video [b c t h w] and audio [b c l f], with at least as many audio steps as frames. A conditioning
                stream enters at its own noise level, or clean with t = 0.
            t: Timesteps in [0, 1], [b] per stream.
            condition: Not used: the network has no text.
            previous: Not used.

        Raises:
            ValueError: The streams cannot be fused or do not fit the model.
        """
        self.check(x, t)
        weights = self.time.linear_1.weight
        latents = x.map(lambda z: z.to(weights.dtype))
        times = t.map(lambda one: F.silu(self.time(TIME_SCALE * one.to(weights.device))))
        # Channels last throughout: all later rearrangements are views.
        h = AV(
            self.video_in(rearrange(latents.video, "b c t h w -> b t h w c")),
            self.audio_in(rearrange(latents.audio, "b c l f -> b l (c f)")),
        )
        skips = [h]
        for stage in self.down:
            h = self._run_stage(stage, h, times)
            skips.append(h)
        for stage in self.middle:
            h = self._run_stage(stage, h, times)
        for stage in self.up:
            if stage.video.resize != "up":
                # Upsampling an odd number of steps gives one too many.
                h = h.map(lambda y, skip: torch.cat([y[:, : skip.shape[1]], skip], dim=-1), skips.pop())
            h = self._run_stage(stage, h, times)
        video = self.video_out(F.silu(self.video_norm(h.video)))
        audio = self.audio_out(F.silu(self.audio_norm(h.audio)))
        prediction = AV(
            rearrange(video, "b t h w c -> b c t h w"),
            rearrange(audio, "b l (c f) -> b c l f", f=x.audio.shape[-1]),
        )
        return Output(prediction=prediction.map(lambda y, z: y.to(z.dtype), x))

    def _run_stage(self, stage: nn.Module, h: AV, times: AV) -> AV:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return AV(*self._gradient_checkpointing_func(stage, *h, *times))
        return stage(*h, *times)

    def check(self, x: AV, t: AV) -> None:
        """Raise ValueError if the streams do not fit each other or the model."""
        (b, channels, frames, h, w), (audio_b, audio_channels, steps, bins) = x.video.shape, x.audio.shape
        if b != audio_b:
            raise ValueError(f"CMMD: a batch of {b} videos and {audio_b} audio clips; pass equally many of both")
        if (channels, audio_channels, bins) != (self.config.video, *self.config.audio):
            raise ValueError(
                f"CMMD: latents of {channels} video channels and {audio_channels} x {bins} audio channels x bins; this model "
                f"has {self.config.video} and {self.config.audio[0]} x {self.config.audio[1]}: use the codecs it was trained with"
            )
        if not frames or steps < frames:
            raise ValueError(
                f"CMMD: {frames} latent frames and {steps} audio steps cannot be fused; expected at least one frame and no "
                "fewer steps than frames: cut both streams to the same length"
            )
        factor = 2 ** (len(self.config.multipliers) - 1)
        if not h or not w or h % factor or w % factor:
            raise ValueError(f"CMMD: latent frames of {h} x {w}; expected multiples of {factor}: change the size of the video")
        for name, times in zip(AV._fields, t, strict=True):
            if times.shape != (b,):
                raise ValueError(f"CMMD: {name} times of shape {tuple(times.shape)}; expected one for each sample, ({b},)")


def _check_config(video: int, audio: Sequence[int], width: int, multipliers: Sequence[int], blocks: int) -> None:
    """Raise ValueError for a configuration that does not give a network."""
    if video < 1 or len(audio) != 2 or min(audio) < 1:
        raise ValueError(f"CMMD: video={video}, audio={tuple(audio)}; expected channels, and (channels, bins), above zero")
    if not multipliers or min(*multipliers, 1, blocks, width) < 1:
        raise ValueError(f"CMMD: width={width}, multipliers={tuple(multipliers)}, blocks={blocks}; expected them above zero")


def _widths(width: int, multipliers: Sequence[int], audio: Sequence[int], head_width: int, groups: int) -> list[AV]:
    """Channels of both streams at each level.

    Raises:
        ValueError: The number of audio widths differs from that of the levels, or heads or groups do not divide the widths.
    """
    video = [width * m for m in multipliers]
    if audio and len(audio) != len(video):
        raise ValueError(f"CMMD: audio_widths={tuple(audio)}; expected one for each of the {len(video)} levels, or none")
    for name, unit in (("head_width", head_width), ("groups", groups)):
        for what, channels in (("width", width), *(("audio_widths", a) for a in audio)):
            if unit < 1 or channels < 1 or channels % unit:
                raise ValueError(f"CMMD: {name}={unit} with {what}={channels}; expected a divisor of it")
    return [AV(*pair) for pair in zip(video, audio or video, strict=True)]


def paper() -> dict[str, Any]:
    """The published size: 18 frames of 4 x 16 x 16 latents (or 64 x 64) and 112 mel steps of 80 bins (table 4)."""
    return {
        "video": 4,
        "audio": (1, 80),
        "width": 128,
        "multipliers": (1, 2, 3, 4),
        "blocks": 1,
        "head_width": 64,
        "groups": 32,
        "time_width": 128,
        "fusion": True,
        "dropout": 0.1,
    }
