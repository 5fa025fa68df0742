"""A light video autoencoder with compression in space and time, small enough to train and run on a CPU."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.codecs.whitening import unwhiten, whiten
from sonovid.core.geometry import Geometry
from sonovid.core.model import Model, register_to_config


def zero_init(layer: nn.Conv3d) -> None:
    """Set the weights of a convolution to zero, so that its residual block starts as the identity."""
    assert layer.bias is not None
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


class SpatialBlock(nn.Module):
    """Residual block of two 3x3 convolutions per frame, without normalisation (EDSR, Lim et al. 2017): [b c t h w]."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv3d(width, width, (1, 3, 3), padding=(0, 1, 1))
        self.conv2 = nn.Conv3d(width, width, (1, 3, 3), padding=(0, 1, 1))
        zero_init(self.conv2)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        return x + self.conv2(F.relu(self.conv1(x)))


class SpacetimeBlock(nn.Module):
    """Residual block of a 3x3 convolution in space and one of size 3 in time."""

    def __init__(self, width: int):
        super().__init__()
        self.space = nn.Conv3d(width, width, (1, 3, 3), padding=(0, 1, 1))
        self.time = nn.Conv3d(width, width, (3, 1, 1), padding=(1, 0, 0))
        zero_init(self.time)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        return x + self.time(F.relu(self.space(F.relu(x))))


class PatchMerging(nn.Module):
    """Fold patches of 2 frames x 2 rows x 2 columns into channels, then map them to `width` channels."""

    def __init__(self, in_channels: int, width: int):
        super().__init__()
        self.map = nn.Conv3d(8 * in_channels, width, 1)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t2 h2 w2"]:
        return self.map(rearrange(x, "b c (t p) (h q) (w r) -> b (p q r c) t h w", p=2, q=2, r=2))


class PatchExpanding(nn.Module):
    """The inverse of `PatchMerging`: map to eight times the channels, then unfold."""

    def __init__(self, in_channels: int, width: int):
        super().__init__()
        self.map = nn.Conv3d(in_channels, 8 * width, 1)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t2 h2 w2"]:
        return rearrange(self.map(x), "b (p q r c) t h w -> b c (t p) (h q) (w r)", p=2, q=2, r=2)


class VideoAutoencoder(Model):
    """Variational autoencoder of clips (Kingma & Welling 2014). A latent cell covers 4 frames of 4 `patch` x 4 `patch` pixels.

    It is fully convolutional, so it takes any size and length that the factors divide. It has no normalisation: on a CPU
    normalisation takes longer than the convolutions, and blocks that start as the identity train without it.

    Args:
        latent_channels: Channels of a latent cell.
        patch: Side in pixels of the patches that are folded into channels before the first convolution.
        widths: Channels at full, half and quarter frame rate. Each stage has half the frame size of the previous one.
        encoder_blocks: Residual blocks of each encoder stage.
        decoder_blocks: Residual blocks of each decoder stage.
        latents_mean: Whitening: mean, one value or one per channel.
        latents_std: Whitening: standard deviation, one value or one per channel.
    """

    time_factor = 4

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 32,
        patch: int = 4,
        widths: Sequence[int] = (96, 192, 320),
        encoder_blocks: Sequence[int] = (1, 2, 2),
        decoder_blocks: Sequence[int] = (2, 3, 4),
        latents_mean: Sequence = (0.0,),
        latents_std: Sequence = (1.0,),
    ):
        super().__init__()
        fine, middle, coarse = widths
        self.factor = 4 * patch
        self.patch = patch

        def stage(kind: type[nn.Module], width: int, blocks: int) -> list[nn.Module]:
            return [kind(width) for _ in range(blocks)]

        self.encoder = nn.Sequential(
            nn.Conv3d(3 * patch**2, fine, (1, 3, 3), padding=(0, 1, 1)),
            *stage(SpatialBlock, fine, encoder_blocks[0]),
            PatchMerging(fine, middle),
            *stage(SpacetimeBlock, middle, encoder_blocks[1]),
            PatchMerging(middle, coarse),
            *stage(SpacetimeBlock, coarse, encoder_blocks[2]),
            nn.Conv3d(coarse, 2 * latent_channels, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv3d(latent_channels, coarse, (1, 3, 3), padding=(0, 1, 1)),
            *stage(SpacetimeBlock, coarse, decoder_blocks[2]),
            PatchExpanding(coarse, middle),
            *stage(SpacetimeBlock, middle, decoder_blocks[1]),
            PatchExpanding(middle, fine),
            *stage(SpatialBlock, fine, decoder_blocks[0]),
            nn.Conv3d(fine, 3 * patch**2, (1, 3, 3), padding=(0, 1, 1)),
        )

    def latent_shape(self, geometry: Geometry) -> tuple[int, ...]:
        """Shape (c, t, h, w) of the latents of one clip.

        Raises:
            ValueError: The factors do not divide the frame size or the number of frames.
        """
        if geometry.height % self.factor or geometry.width % self.factor or geometry.num_frames % self.time_factor:
            raise ValueError(
                f"{geometry.num_frames} frames of {geometry.width}x{geometry.height}: this codec needs a multiple of "
                f"{self.time_factor} frames and multiples of {self.factor} pixels"
            )
        frames = geometry.num_frames // self.time_factor
        return (self.config.latent_channels, frames, geometry.height // self.factor, geometry.width // self.factor)

    def posterior(self, frames: Float[Tensor, "b 3 t h w"]) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latents, each [b c t h w]."""
        p = self.patch
        folded = rearrange(frames, "b c t (h p) (w q) -> b (p q c) t h w", p=p, q=p)
        mean, log_variance = self.encoder(_channels_last(folded)).float().chunk(2, dim=1)
        return mean, log_variance.clamp(-20, 4)

    def encode(self, frames: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c t2 h2 w2"]:
        """Encode frames in [-1, 1] to raw latents: the mean of the posterior, so that encoding is deterministic."""
        return self.posterior(frames)[0]

    def decode(self, latents: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b 3 t2 h2 w2"]:
        """Decode raw latents to frames, nominally in [-1, 1] (not clipped)."""
        p = self.patch
        return rearrange(self.decoder(_channels_last(latents)), "b (p q c) t h w -> b c t (h p) (w q)", p=p, q=p)

    def whiten(self, raw: Tensor) -> Tensor:
        return whiten(raw, self.config.latents_mean, self.config.latents_std)

    def unwhiten(self, final: Tensor) -> Tensor:
        return unwhiten(final, self.config.latents_mean, self.config.latents_std)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last_3d)
