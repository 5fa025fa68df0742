"""Encoders from the frame autoencoder's latents of a clip to the perceptual latents of each stream (MM-LDM, 3.1, figure 3a)."""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.codecs.hierarchical.layers import ResidualBlock, SpatialAttention, TemporalAttention, group_norm

# As in latent diffusion models; training stays far from these bounds.
LOG_VARIANCE_RANGE = (-30.0, 20.0)


class Head(nn.Module):
    """Features to a mean or to a log-variance.

    Args:
        channels: Channels of the features.
        latent_channels: Channels of the output.
        init_value: Constant initial output. None: torch's initial values.
    """

    def __init__(self, channels: int, latent_channels: int, *, init_value: float | int | None = None):
        super().__init__()
        self.conv = nn.Conv2d(channels, latent_channels, 3, padding=1)
        self.norm, self.out = group_norm(latent_channels), nn.Conv2d(latent_channels, latent_channels, 1)
        if init_value is not None:
            nn.init.zeros_(self.out.weight)
            nn.init.constant_(cast(Tensor, self.out.bias), init_value)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        return self.out(F.silu(self.norm(self.conv(x))))


class Encoder(nn.Module):
    """Levels of residual blocks with attention over positions and, optionally, over the frames of a clip.

    The output is read at the first frame.

    Args:
        in_channels: Channels of the input frames [b c t h w].
        latent_channels: Channels of the latents.
        widths: Channels of each level. Each level has half the size of the previous one, so the latents are 2^(levels - 1) times
            smaller than the input.
        blocks: Residual blocks per level.
        head_width: Channels of an attention head.
        temporal: Whether to attend along the frames.
        log_variance: Initial log-variance of all latents.
    """

    def __init__(
        self,
        in_channels: int,
        latent_channels: int,
        widths: Sequence[int],
        blocks: int,
        head_width: int,
        *,
        temporal: bool,
        log_variance: float | int = 0.0,
    ):
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.levels = nn.ModuleList()
        for i, width in enumerate(widths):
            level = nn.ModuleDict({"blocks": nn.ModuleList(), "places": nn.ModuleList(), "frames": nn.ModuleList()})
            if i:
                level["down"] = nn.Conv2d(widths[i - 1], width, 3, stride=2, padding=1)
            for _ in range(blocks):
                level["blocks"].append(ResidualBlock(width))  # type: ignore[operator]
                level["places"].append(SpatialAttention(width, head_width))  # type: ignore[operator]
                if temporal:
                    level["frames"].append(TemporalAttention(width, head_width))  # type: ignore[operator]
            self.levels.append(level)
        self.mean = Head(widths[-1], latent_channels)
        self.log_variance = Head(widths[-1], latent_channels, init_value=log_variance)

    def posterior(
        self, frames: Float[Tensor, "b c t h w"], first_frame_features: Float[Tensor, "b e h w"] | None = None
    ) -> tuple[Float[Tensor, "b d h2 w2"], Float[Tensor, "b d h2 w2"]]:
        """Mean and log-variance of the latents. `first_frame_features` are added after the first convolution."""
        b = len(frames)
        h = self.conv_in(rearrange(frames, "b c t h w -> (b t) c h w"))
        if first_frame_features is not None:
            others = h.new_zeros(b, frames.shape[2] - 1, *first_frame_features.shape[1:])
            h = h + rearrange(torch.cat([first_frame_features[:, None], others], 1), "b t c h w -> (b t) c h w")
        for level in self.levels:
            if "down" in level:  # type: ignore[operator]
                h = level["down"](h)  # type: ignore[index]
            for i, block in enumerate(level["blocks"]):  # type: ignore[index]
                h = level["places"][i](block(h))  # type: ignore[index]
                if len(level["frames"]):  # type: ignore[index]
                    clips = level["frames"][i](rearrange(h, "(b t) c h w -> b c t h w", b=b))  # type: ignore[index]
                    h = rearrange(clips, "b c t h w -> (b t) c h w")
        first = rearrange(h, "(b t) c h w -> b t c h w", b=b)[:, 0]
        return self.mean(first).float(), self.log_variance(first).float().clamp(*LOG_VARIANCE_RANGE)


class VideoEncoder(Encoder):
    """Frames to one image of latents, which are gathered in a learnable content frame that is prepended to the frames.

    Args:
        channels: Channels of the input.
        latent_channels: Channels of the latents.
        size: (rows, columns) of the input.
        widths: Channels of each level.
        blocks: Residual blocks per level.
        head_width: Channels of an attention head.
        key_frames: Number of frames that the encoder sees, evenly spaced and including both ends. None: all.
        folded: Number of frames that are also stacked as channels, equal to the frames that the encoder sees. One convolution of
            the stack is added to the features of the content frame, and another adds a linear guess to the mean. 0: the content
            frame gets information from the frames by attention only.
        log_variance: Initial log-variance of all latents.

    Deviation: the released code sees 4 of 16 frames (key_frames=4). The paper does not mention skipping frames; here all are
    seen. Deviation: `folded` is ours, for short trainings. Without it, a thousand steps on scenes left all motion out of the
    latents.
    """

    def __init__(
        self,
        channels: int,
        latent_channels: int,
        size: Sequence[int],
        widths: Sequence[int],
        *,
        blocks: int = 2,
        head_width: int = 64,
        key_frames: int | None = None,
        folded: int = 0,
        log_variance: float | int = 0.0,
    ):
        super().__init__(channels, latent_channels, widths, blocks, head_width, temporal=True, log_variance=log_variance)
        self.key_frames, self.factor = key_frames, 2 ** (len(widths) - 1)
        self.fold = nn.Conv2d(channels * folded, widths[0], 3, padding=1) if folded else None
        self.guess = nn.Conv2d(channels * folded * self.factor**2, latent_channels, 3, padding=1) if folded else None
        self.content = nn.Parameter(0.02 * torch.randn(channels, *size))

    def forward(self, frames: Float[Tensor, "b c t h w"]) -> tuple[Float[Tensor, "b d h2 w2"], Float[Tensor, "b d h2 w2"]]:
        """Mean and log-variance of z_v."""
        if self.key_frames is not None:
            frames = frames[:, :, key_frames(frames.shape[2], self.key_frames)]
        content = repeat(self.content, "c h w -> b c 1 h w", b=len(frames)).to(frames.dtype)
        seen = torch.cat([content, frames], 2)
        if self.fold is None or self.guess is None:
            return self.posterior(seen)
        folded = rearrange(frames, "b c t h w -> b (c t) h w")
        mean, log_variance = self.posterior(seen, self.fold(folded))
        return mean + self.guess(F.pixel_unshuffle(folded, self.factor)).float(), log_variance


class AudioEncoder(Encoder):
    """The audio image to its latents, with learnable content as additional channels."""

    def __init__(
        self,
        channels: int,
        latent_channels: int,
        size: Sequence[int],
        widths: Sequence[int],
        *,
        blocks: int = 2,
        head_width: int = 64,
        log_variance: float | int = 0.0,
    ):
        super().__init__(2 * channels, latent_channels, widths, blocks, head_width, temporal=False, log_variance=log_variance)
        self.content = nn.Parameter(0.02 * torch.randn(channels, *size))

    def forward(self, image: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b d h2 w2"], Float[Tensor, "b d h2 w2"]]:
        """Mean and log-variance of z_a."""
        content = self.content.to(image.dtype).expand(len(image), -1, -1, -1)
        return self.posterior(torch.cat([content, image], 1)[:, :, None])


def key_frames(total: int, count: int) -> list[int]:
    """Indices of `count` of `total` frames, evenly spaced and including both ends: 0, 5, 10, 15 for 4 of 16."""
    if not 1 <= count <= total:
        raise ValueError(f"key_frames={count}: expected 1 to {total}, the frames of a window")
    return [round(i * (total - 1) / max(1, count - 1)) for i in range(count)]
