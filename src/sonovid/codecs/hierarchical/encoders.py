"""From the frame autoencoder's latents of a clip to the perceptual latents of each stream (MM-LDM, section 3.1, figure 3a)."""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.codecs.hierarchical.layers import ResidualBlock, SpatialAttention, TemporalAttention, norm

# As the latent diffusion models have it, and far from what training reaches.
LOG_VARIANCE = (-30.0, 20.0)


class Head(nn.Module):
    """Features to a mean, or to a log-variance. begins: the number that all that comes out is at first; None: as weights fall."""

    def __init__(self, channels: int, latent_channels: int, *, begins: float | int | None = None):
        super().__init__()
        self.conv = nn.Conv2d(channels, latent_channels, 3, padding=1)
        self.norm, self.out = norm(latent_channels), nn.Conv2d(latent_channels, latent_channels, 1)
        if begins is not None:
            nn.init.zeros_(self.out.weight)
            nn.init.constant_(cast(Tensor, self.out.bias), begins)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        return self.out(F.silu(self.norm(self.conv(x))))


class Encoder(nn.Module):
    """Levels of residual blocks and attention over the frames of a clip, each level half the size of the one before.

    in_channels: of what comes in, frames [b c t h w]. widths: of the levels; the latents are 2^(levels - 1) times smaller.
    blocks: per level. along_time: whether there is attention along the frames. log_variance: of all latents at first.

    What comes out is read at the first frame.
    """

    def __init__(
        self,
        in_channels: int,
        latent_channels: int,
        widths: Sequence[int],
        blocks: int,
        head_width: int,
        *,
        along_time: bool,
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
                if along_time:
                    level["frames"].append(TemporalAttention(width, head_width))  # type: ignore[operator]
            self.levels.append(level)
        self.mean = Head(widths[-1], latent_channels)
        self.log_variance = Head(widths[-1], latent_channels, begins=log_variance)

    def posterior(
        self, frames: Float[Tensor, "b c t h w"], beside: Float[Tensor, "b e h w"] | None = None
    ) -> tuple[Float[Tensor, "b d h2 w2"], Float[Tensor, "b d h2 w2"]]:
        """Mean and log-variance of a clip's latents. beside: added to the first frame's first features."""
        b = len(frames)
        h = self.conv_in(rearrange(frames, "b c t h w -> (b t) c h w"))
        if beside is not None:
            others = h.new_zeros(b, frames.shape[2] - 1, *beside.shape[1:])
            h = h + rearrange(torch.cat([beside[:, None], others], 1), "b t c h w -> (b t) c h w")
        for level in self.levels:
            if "down" in level:  # type: ignore[operator]
                h = level["down"](h)  # type: ignore[index]
            for i, block in enumerate(level["blocks"]):  # type: ignore[index]
                h = level["places"][i](block(h))  # type: ignore[index]
                if len(level["frames"]):  # type: ignore[index]
                    clips = level["frames"][i](rearrange(h, "(b t) c h w -> b c t h w", b=b))  # type: ignore[index]
                    h = rearrange(clips, "b c t h w -> (b t) c h w")
        first = rearrange(h, "(b t) c h w -> b t c h w", b=b)[:, 0]
        return self.mean(first).float(), self.log_variance(first).float().clamp(*LOG_VARIANCE)


class VideoEncoder(Encoder):
    """Frames to one image of latents, gathered in a learnable content frame that is put before them.

    size: (rows, columns) of the frames' latents. key_frames: how many frames, evenly spaced with both ends, are seen; None: all.

    folded: how many frames, all that are seen, are also laid over each other as channels, of which one convolution tells the
    content frame what each place looks like at each time, and another makes a first guess of the latents; 0: the content frame
    learns of the frames by attention alone.

    Deviation: the released code sees 4 of 16 (key_frames=4); the paper says nothing of leaving frames out, and here all are seen.
    Deviation: `folded` is ours, for short trainings; without it a thousand steps on scenes left all motion out of the latents.
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
        super().__init__(channels, latent_channels, widths, blocks, head_width, along_time=True, log_variance=log_variance)
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
    """The audio image to its latents, with learnable content beside its channels."""

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
        super().__init__(2 * channels, latent_channels, widths, blocks, head_width, along_time=False, log_variance=log_variance)
        self.content = nn.Parameter(0.02 * torch.randn(channels, *size))

    def forward(self, picture: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b d h2 w2"], Float[Tensor, "b d h2 w2"]]:
        """Mean and log-variance of z_a."""
        content = self.content.to(picture.dtype).expand(len(picture), -1, -1, -1)
        return self.posterior(torch.cat([content, picture], 1)[:, :, None])


def key_frames(total: int, count: int) -> list[int]:
    """So many of the frames 0 ... total - 1, evenly spaced with both ends: 0, 5, 10, 15 for four of sixteen."""
    if not 1 <= count <= total:
        raise ValueError(f"key_frames={count}: expected 1 to {total}, the frames of a window")
    return [round(i * (total - 1) / max(1, count - 1)) for i in range(count)]
