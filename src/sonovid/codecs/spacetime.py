"""Clips to latents compressed in space and time: a light autoencoder, small enough to train and run on a CPU."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.codecs.whitening import unwhiten, whiten
from sonovid.core.geometry import Geometry
from sonovid.core.model import Model, register_to_config


def silence(layer: nn.Conv3d) -> None:
    """Zeroes a convolution, so that its block starts as the identity."""
    assert layer.bias is not None
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


class SpatialBlock(nn.Module):
    """Two 3x3 convolutions beside the identity, without normalisation (EDSR, Lim et al. 2017): [b c t h w], frame by frame."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv3d(width, width, (1, 3, 3), padding=(0, 1, 1))
        self.conv2 = nn.Conv3d(width, width, (1, 3, 3), padding=(0, 1, 1))
        silence(self.conv2)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        return x + self.conv2(F.relu(self.conv1(x)))


class SpacetimeBlock(nn.Module):
    """A 3x3 convolution in space, then one of width 3 in time, beside the identity."""

    def __init__(self, width: int):
        super().__init__()
        self.space = nn.Conv3d(width, width, (1, 3, 3), padding=(0, 1, 1))
        self.time = nn.Conv3d(width, width, (3, 1, 1), padding=(1, 0, 0))
        silence(self.time)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        return x + self.time(F.relu(self.space(F.relu(x))))


class Merge(nn.Module):
    """Cells of 2 frames x 2 rows x 2 columns folded into channels, then mapped to `width`."""

    def __init__(self, before: int, width: int):
        super().__init__()
        self.map = nn.Conv3d(8 * before, width, 1)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t2 h2 w2"]:
        return self.map(rearrange(x, "b c (t p) (h q) (w r) -> b (p q r c) t h w", p=2, q=2, r=2))


class Split(nn.Module):
    """The inverse of `Merge`: mapped to eight times the channels, then unfolded."""

    def __init__(self, before: int, width: int):
        super().__init__()
        self.map = nn.Conv3d(before, 8 * width, 1)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t2 h2 w2"]:
        return rearrange(self.map(x), "b (p q r c) t h w -> b c (t p) (h q) (w r)", p=2, q=2, r=2)


class VideoAutoencoder(Model):
    """A variational autoencoder of clips (Kingma & Welling 2014): every latent cell stands for 4 frames of 4 `patch` x 4 `patch`.

    Convolutions alone, so any size and length that the factors divide. There is no normalisation: on a CPU it takes longer
    than the convolutions, and blocks that start as the identity train without it.

    Args:
        latent_channels: channels of a latent cell.
        patch: pixels on a side folded into channels before the first convolution.
        widths: channels at full, half and quarter frame rate, each half the picture size of the one before.
        encoder_blocks, decoder_blocks: residual blocks of each stage.
        latents_mean, latents_std: whitening, one value or one per channel.
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
            Merge(fine, middle),
            *stage(SpacetimeBlock, middle, encoder_blocks[1]),
            Merge(middle, coarse),
            *stage(SpacetimeBlock, coarse, encoder_blocks[2]),
            nn.Conv3d(coarse, 2 * latent_channels, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv3d(latent_channels, coarse, (1, 3, 3), padding=(0, 1, 1)),
            *stage(SpacetimeBlock, coarse, decoder_blocks[2]),
            Split(coarse, middle),
            *stage(SpacetimeBlock, middle, decoder_blocks[1]),
            Split(middle, fine),
            *stage(SpatialBlock, fine, decoder_blocks[0]),
            nn.Conv3d(fine, 3 * patch**2, (1, 3, 3), padding=(0, 1, 1)),
        )

    def latent_shape(self, geometry: Geometry) -> tuple[int, ...]:
        """(c, t, h, w) of one clip.

        Raises:
            ValueError: the size or the number of frames cannot be divided by the factors.
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
        """Frames in [-1, 1] to raw latents: the posterior's mean, so that a clip has one code."""
        return self.posterior(frames)[0]

    def decode(self, latents: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b 3 t2 h2 w2"]:
        """Raw latents to frames, nominally in [-1, 1] (not clipped)."""
        p = self.patch
        return rearrange(self.decoder(_channels_last(latents)), "b (p q c) t h w -> b c t (h p) (w q)", p=p, q=p)

    def whiten(self, raw: Tensor) -> Tensor:
        return whiten(raw, self.config.latents_mean, self.config.latents_std)

    def unwhiten(self, final: Tensor) -> Tensor:
        return unwhiten(final, self.config.latents_mean, self.config.latents_std)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last_3d)
