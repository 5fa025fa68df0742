"""A light autoencoder of single frames, small enough to train and run on a CPU."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.codecs.whitening import unwhiten, whiten
from sonovid.core.geometry import Geometry
from sonovid.core.model import Model, register_to_config


class ResidualBlock(nn.Module):
    """Residual block: twice group normalisation, SiLU and a 3x3 convolution."""

    def __init__(self, width: int):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(8, width), nn.Conv2d(width, width, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(8, width), nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h)))


class FrameEncoder(nn.Module):
    """Patches of pixels to the mean and log-variance of each latent cell."""

    def __init__(self, latent_channels: int, patch: int, widths: Sequence[int], blocks: int):
        super().__init__()
        self.patch = patch
        self.stem = nn.Conv2d(3 * patch**2, widths[0], 3, padding=1)
        layers: list[nn.Module] = []
        for i, width in enumerate(widths):
            if i:
                layers.append(nn.Conv2d(widths[i - 1], width, 3, stride=2, padding=1))
            layers += [ResidualBlock(width) for _ in range(blocks)]
        self.body = nn.Sequential(*layers)
        self.norm = nn.GroupNorm(8, widths[-1])
        self.head = nn.Conv2d(widths[-1], 2 * latent_channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(self.stem(F.pixel_unshuffle(x, self.patch)))
        mean, log_variance = self.head(F.silu(self.norm(h))).float().chunk(2, dim=1)
        return mean, log_variance.clamp(-20, 4)


class FrameDecoder(nn.Module):
    """Latent cells to pixels. A last narrow stage works at half the frame size, so that patch borders do not show."""

    def __init__(self, latent_channels: int, patch: int, widths: Sequence[int], blocks: int):
        super().__init__()
        self.stem = nn.Conv2d(latent_channels, widths[-1], 3, padding=1)
        layers: list[nn.Module] = [ResidualBlock(widths[-1]) for _ in range(blocks)]
        stages = [*reversed(widths[:-1])]
        size = patch
        while size > 2:
            stages.append(max(16, stages[-1] // 2) if stages else max(16, widths[-1] // 2))
            size //= 2
        previous = widths[-1]
        for width in stages:
            layers += [nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(previous, width, 3, padding=1)]
            layers += [ResidualBlock(width) for _ in range(blocks)]
            previous = width
        self.body = nn.Sequential(*layers)
        self.norm = nn.GroupNorm(8, previous)
        self.head = nn.Conv2d(previous, 3 * 2**2, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        h = self.body(self.stem(z))
        return F.pixel_shuffle(self.head(F.silu(self.norm(h))), 2)


class FrameAutoencoder(Model):
    """Variational autoencoder of single frames (Kingma & Welling 2014). Convolutional, for any size that `factor` divides.

    Args:
        latent_channels: Channels of a latent cell.
        patch: Side in pixels of the patches that are folded into channels before the first convolution; a power of two, at least
            2.
        widths: Channels of each stage. Each stage has half the size of the previous one.
        blocks: Residual blocks per stage.
        latents_mean: Whitening: mean, one value or one per channel.
        latents_std: Whitening: standard deviation, one value or one per channel.
    """

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 8,
        patch: int = 4,
        widths: Sequence[int] = (64, 128),
        blocks: int = 2,
        latents_mean: Sequence = (0.0,),
        latents_std: Sequence = (1.0,),
    ):
        super().__init__()
        self.factor = patch * 2 ** (len(widths) - 1)
        self.encoder = FrameEncoder(latent_channels, patch, widths, blocks)
        self.decoder = FrameDecoder(latent_channels, patch, widths, blocks)

    def latent_shape(self, geometry: Geometry) -> tuple[int, ...]:
        """Shape (c, t, h, w) of the latents of one clip.

        Raises:
            ValueError: `factor` does not divide the frame size.
        """
        if geometry.height % self.factor or geometry.width % self.factor:
            raise ValueError(f"frames of {geometry.width}x{geometry.height}: this codec needs multiples of {self.factor}")
        c = self.config.latent_channels
        return (c, geometry.num_frames, geometry.height // self.factor, geometry.width // self.factor)

    def posterior(self, frames: Float[Tensor, "b 3 t h w"]) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latents, each [b c t h w]."""
        b = len(frames)
        flat = rearrange(frames, "b c t h w -> (b t) c h w").contiguous(memory_format=torch.channels_last)
        mean, log_variance = self.encoder(flat)
        return rearrange(mean, "(b t) c h w -> b c t h w", b=b), rearrange(log_variance, "(b t) c h w -> b c t h w", b=b)

    def encode(self, frames: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c t h2 w2"]:
        """Encode frames in [-1, 1] to raw latents: the mean of the posterior, so that encoding is deterministic."""
        return self.posterior(frames)[0]

    def decode(self, latents: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b 3 t h2 w2"]:
        """Decode raw latents to frames, nominally in [-1, 1] (not clipped)."""
        flat = rearrange(latents, "b c t h w -> (b t) c h w").contiguous(memory_format=torch.channels_last)
        return rearrange(self.decoder(flat), "(b t) c h w -> b c t h w", b=len(latents))

    def whiten(self, raw: Tensor) -> Tensor:
        return whiten(raw, self.config.latents_mean, self.config.latents_std)

    def unwhiten(self, final: Tensor) -> Tensor:
        return unwhiten(final, self.config.latents_mean, self.config.latents_std)
