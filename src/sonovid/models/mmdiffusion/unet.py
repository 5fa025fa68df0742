"""MM-Diffusion: the coupled U-Net of video and audio (Ruan et al. 2023, section 3.2, figure 3)."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.core.model import Model, register_to_config
from sonovid.models.base import Output
from sonovid.models.cmmd.residual import ChannelNorm, VideoConvolution
from sonovid.models.mmdiffusion.blocks import (
    AUDIO_FACTOR,
    VIDEO_FACTOR,
    AudioConvolution,
    RandomShiftAttention,
    ResidualBlock,
    timestep_hash,
)
from sonovid.models.uniform.blocks import ScalarEmbedding

# A time t in [0, 1] is timestep t * 1000 - 1 of the schedule.
NUM_STEPS = 1000
# Dilations of the audio convolutions are 2 ** (n % 10) for block n.
DILATION_CYCLE = 10


class Stage(nn.Module):
    """A residual block, attention between the streams where asked for, and a residual block that upsamples where asked for."""

    def __init__(
        self, residual: ResidualBlock, fusion: RandomShiftAttention | None = None, upsample: ResidualBlock | None = None
    ):
        super().__init__()
        self.residual, self.fusion, self.upsample = residual, fusion, upsample

    def forward(self, video: Tensor, audio: Tensor, video_time: Tensor, audio_time: Tensor, seed: Int[Tensor, ""]) -> AV:
        time = AV(video_time, audio_time)
        x = self.residual(AV(video, audio), time)
        if self.fusion is not None:
            x = self.fusion(x, seed)
        return x if self.upsample is None else self.upsample(x, time)


class MMDiffusion(Model):
    """Two U-Nets, of pixels and of samples, coupled by random-shift attention.

    Each level halves height and width of the video, and divides the number of audio steps by four. Both streams have the same
    widths and share the timestep's maps. Any number of frames, and frame sizes and audio lengths that the levels divide.

    Args:
        video: channels of the video, 3 for pixels.
        audio: channels of the audio, 1 for samples.
        width: channels of the first level, and of the timestep embedding.
        multipliers: multipliers of `width` for each level.
        blocks: residual blocks per level of the encoder. The decoder has one more.
        windows: for each level the frames of a window of random-shift attention, and 0 for a level without any attention.
        heads: heads of the video's self-attention, on the levels with windows and in the middle.
        head_width: channels of a head of random-shift attention.
        groups: groups of the norms.
        dropout: dropout probability in residual blocks.

    Raises:
        ValueError: the configuration does not give a network.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules: ClassVar[list[str]] = ["Stage"]

    @register_to_config
    def __init__(
        self,
        video: int = 3,
        audio: int = 1,
        width: int = 32,
        multipliers: Sequence[int] = (1, 2),
        blocks: int = 1,
        windows: Sequence[int] = (0, 1),
        heads: int = 4,
        head_width: int = 32,
        groups: int = 8,
        dropout: float = 0.0,
    ):
        super().__init__()
        _check_config(width, multipliers, blocks, windows, heads, head_width, groups)
        # The number of the next residual block, which counts down again in the decoder, and of the next attention layer.
        number, layer = 1, 0

        def residual(channels_in: int, channels_out: int, **options: Any) -> ResidualBlock:
            dilation = 2 ** (number % DILATION_CYCLE)
            return ResidualBlock(
                channels_in, channels_out, width, groups=groups, dilation=dilation, dropout=dropout, heads=heads, **options
            )

        def fusion(channels: int, window: int) -> RandomShiftAttention:
            nonlocal layer
            layer += 1
            return RandomShiftAttention(channels, window, channels // head_width, groups, layer)

        self.time = ScalarEmbedding(width, width)
        widths = [width * m for m in multipliers]
        self.video_in, self.audio_in = VideoConvolution(video, widths[0]), AudioConvolution(audio, widths[0])
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        skips, at = [widths[0]], widths[0]
        for level, (channels, window) in enumerate(zip(widths, windows, strict=True)):
            for _ in range(blocks):
                block = residual(at, channels, video_attention=window > 0)
                self.down.append(Stage(block, fusion(channels, window) if window else None))
                at, number = channels, number + 1
                skips.append(at)
            if level + 1 < len(widths):
                self.down.append(Stage(residual(at, at, resize="down")))
                number += 1
                skips.append(at)
        attention = {"video_attention": True, "audio_attention": True}
        middle = [residual(at, at, **attention) for _ in range(2)]
        self.middle = nn.ModuleList([Stage(middle[0], fusion(at, 0)), Stage(middle[1])])
        number -= 1
        for level, (channels, window) in reversed(list(enumerate(zip(widths, windows, strict=True)))):
            for i in range(blocks + 1):
                block = residual(at + skips.pop(), channels, video_attention=window > 0)
                at, number = channels, number - 1
                between = fusion(channels, window) if window else None
                self.up.append(Stage(block, between, residual(at, at, resize="up") if level and i == blocks else None))
        self.video_norm, self.audio_norm = ChannelNorm(groups, at), ChannelNorm(groups, at)
        self.video_out, self.audio_out = nn.Conv3d(at, video, 3, padding=1), AudioConvolution(at, audio)
        for last in (self.video_out, self.audio_out.time):
            nn.init.zeros_(last.weight)
            assert last.bias is not None
            nn.init.zeros_(last.bias)
        self.gradient_checkpointing = False

    def forward(self, x: AV, t: AV, condition: Condition | None = None, previous: AV | None = None) -> Output:
        """Predict for a noisy pair, in the dtype of `x`.

        Args:
            x: Noisy pair, video [b c t h w] and audio [b c l 1]. A conditioning stream enters at its own noise level.
            t: Timesteps in [0, 1], [b] per stream.
            condition: Not used: the network has no text.
            previous: Not used.

        Raises:
            ValueError: The streams do not fit the model.
        """
        self.check(x, t)
        weights = self.time.linear_1.weight
        latents = x.map(lambda z: z.to(weights.dtype))
        times = t.map(lambda one: F.silu(self.time(self.timesteps(one.to(weights.device)))))
        seed = timestep_hash(t.map(lambda one: one.to(weights.device)), training=self.training)
        # Channels last throughout: all later rearrangements are views.
        h = AV(
            self.video_in(rearrange(latents.video, "b c t h w -> b t h w c")),
            self.audio_in(rearrange(latents.audio, "b c l 1 -> b l c")),
        )
        skips = [h]
        for stage in self.down:
            h = self._run_stage(stage, h, times, seed)
            skips.append(h)
        for stage in self.middle:
            h = self._run_stage(stage, h, times, seed)
        for stage in self.up:
            h = self._run_stage(stage, h.map(lambda y, skip: torch.cat([y, skip], dim=-1), skips.pop()), times, seed)
        video = F.silu(self.video_norm(h.video)).permute(0, 4, 1, 2, 3)
        audio = self.audio_out(F.silu(self.audio_norm(h.audio)))
        prediction = AV(self.video_out(video), rearrange(audio, "b l c -> b c l 1"))
        return Output(prediction=prediction.map(lambda y, z: y.to(z.dtype), x))

    @staticmethod
    def timesteps(t: Float[Tensor, "b"]) -> Float[Tensor, "b"]:
        """Timesteps of the 1000-step schedule, where 0 is the cleanest, rounded to hundredths to undo single-precision errors."""
        return (t.double() * NUM_STEPS - 1).round(decimals=2).clamp(min=0).float()

    def _run_stage(self, stage: nn.Module, h: AV, times: AV, seed: Tensor) -> AV:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return AV(*self._gradient_checkpointing_func(stage, *h, *times, seed))
        return stage(*h, *times, seed)

    def check(self, x: AV, t: AV) -> None:
        """Raise ValueError if the streams do not fit each other or the model."""
        (b, channels, frames, h, w), (audio_b, audio_channels, steps, bins) = x.video.shape, x.audio.shape
        if b != audio_b:
            raise ValueError(f"MMDiffusion: a batch of {b} videos and {audio_b} audio clips; pass equally many of both")
        if (channels, audio_channels, bins) != (self.config.video, self.config.audio, 1):
            raise ValueError(
                f"MMDiffusion: {channels} video channels and audio of {audio_channels} channels x {bins}; this model has "
                f"{self.config.video} and {self.config.audio} x 1: use the codecs it was trained with"
            )
        halvings = len(self.config.multipliers) - 1
        if not h or not w or h % VIDEO_FACTOR**halvings or w % VIDEO_FACTOR**halvings:
            raise ValueError(
                f"MMDiffusion: frames of {h} x {w}; expected multiples of {VIDEO_FACTOR**halvings}: change the size of the video"
            )
        if steps % AUDIO_FACTOR**halvings or steps < frames * AUDIO_FACTOR**halvings:
            raise ValueError(
                f"MMDiffusion: {steps} audio steps for {frames} frames; expected a multiple of {AUDIO_FACTOR**halvings}, and at "
                "least that many for each frame: change the duration"
            )
        for name, times in zip(AV._fields, t, strict=True):
            if times.shape != (b,):
                raise ValueError(f"MMDiffusion: {name} times of shape {tuple(times.shape)}; expected one for each sample, ({b},)")


def _check_config(
    width: int, multipliers: Sequence[int], blocks: int, windows: Sequence[int], heads: int, head_width: int, groups: int
) -> None:
    """Raise ValueError for a configuration that does not give a network."""
    if not multipliers or min(*multipliers, blocks, width) < 1:
        raise ValueError(
            f"MMDiffusion: width={width}, multipliers={tuple(multipliers)}, blocks={blocks}; expected them above zero"
        )
    if len(windows) != len(multipliers) or min(windows) < 0:
        raise ValueError(f"MMDiffusion: windows={tuple(windows)}; expected one for each of the {len(multipliers)} levels, or 0")
    for name, unit in (("heads", heads), ("head_width", head_width), ("groups", groups)):
        if unit < 1 or width % unit:
            raise ValueError(f"MMDiffusion: {name}={unit} with width={width}; expected a divisor of it")


def paper() -> dict[str, Any]:
    """The published size: 16 frames of 64x64 and 25,600 samples, 133.68 M parameters."""
    return {
        "video": 3,
        "audio": 1,
        "width": 128,
        "multipliers": (1, 2, 3, 4),
        "blocks": 2,
        "windows": (0, 1, 4, 8),
        "heads": 4,
        "head_width": 64,
        "groups": 32,
        "dropout": 0.1,
    }
