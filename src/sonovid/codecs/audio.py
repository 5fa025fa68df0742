"""Audio autoencoders on log-mel spectrograms: `MelAutoencoder` (learnt) and `IdentityMel` (no compression)."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.core.model import Model, register_to_config


class LayerNorm1d(nn.LayerNorm):
    """Layer normalisation over the channels of each time step.

    Group normalisation would also average over time, so audio at the end of a clip would change the latents at its beginning.
    """

    def forward(self, x: Float[Tensor, "b c l"]) -> Float[Tensor, "b c l"]:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class ResidualBlock1d(nn.Module):
    """Residual block: twice normalisation, SiLU and a 1-D convolution in time."""

    def __init__(self, width: int):
        super().__init__()
        self.norm1, self.conv1 = LayerNorm1d(width), nn.Conv1d(width, width, 3, padding=1)
        self.norm2, self.conv2 = LayerNorm1d(width), nn.Conv1d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h)))


class MelAutoencoder(Model):
    """Variational autoencoder of mel frames, convolutional in time. The bins of a frame are its channels.

    Latents have the shape [b c l 1]: no frequency axis is left. A latent step stands for 2**levels mel frames.

    Args:
        bins: Number of mel bins.
        latent_channels: Channels of a latent step.
        width: Channels of the hidden layers.
        blocks: Residual blocks per level.
        levels: Number of times that the frame rate is halved.
    """

    @register_to_config
    def __init__(self, bins: int = 64, latent_channels: int = 16, width: int = 256, blocks: int = 2, levels: int = 2):
        super().__init__()
        self.factor = 2**levels

        def stage() -> list[nn.Module]:
            return [ResidualBlock1d(width) for _ in range(blocks)]

        encoder: list[nn.Module] = [nn.Conv1d(bins, width, 3, padding=1), *stage()]
        decoder: list[nn.Module] = [nn.Conv1d(latent_channels, width, 3, padding=1), *stage()]
        for _ in range(levels):
            encoder += [nn.Conv1d(width, width, 4, stride=2, padding=1), *stage()]
            decoder += [nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv1d(width, width, 3, padding=1), *stage()]
        encoder += [LayerNorm1d(width), nn.SiLU(), nn.Conv1d(width, 2 * latent_channels, 1)]
        decoder += [LayerNorm1d(width), nn.SiLU(), nn.Conv1d(width, bins, 3, padding=1)]
        self.encoder, self.decoder = nn.Sequential(*encoder), nn.Sequential(*decoder)

    @property
    def latent_channels(self) -> int:
        return self.config.latent_channels

    def latent_grid(self, num_mel_frames: int, bins: int) -> tuple[int, int]:
        """Size of the latents of `num_mel_frames` mel frames.

        Returns:
            (l, f): latent steps and latent frequencies; f is 1.

        Raises:
            ValueError: The number of frames is not a multiple of `factor`, or `bins` differs from the model's.
        """
        if bins != self.config.bins:
            raise ValueError(f"{bins} mel bins: this autoencoder takes {self.config.bins}")
        if num_mel_frames % self.factor:
            raise ValueError(f"{num_mel_frames} mel frames: this autoencoder needs a multiple of {self.factor}")
        return num_mel_frames // self.factor, 1

    def posterior(self, log_mel: Float[Tensor, "b f l"]) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latents, each [b c l 1]."""
        # Log-mel levels lie in about [-7, 3], from silence to loud audio. This scales them to about [-2, 2].
        mean, log_variance = self.encoder((log_mel + 3) / 3).float().chunk(2, dim=1)
        return mean[..., None], log_variance.clamp(-20, 4)[..., None]

    def encode(self, log_mel: Float[Tensor, "b f l"]) -> Float[Tensor, "b c l2 1"]:
        """Encode natural-logarithm mel frames to raw latents: the mean of the posterior."""
        return self.posterior(log_mel)[0]

    def decode(self, latents: Float[Tensor, "b c l 1"]) -> Float[Tensor, "b f l2"]:
        """Decode raw latents to natural-logarithm mel frames."""
        return self.decoder(rearrange(latents, "b c l 1 -> b c l")).float() * 3 - 3


class IdentityMel(Model):
    """No compression: the log-mel frames themselves are the latents, [b 1 l f], as in CMMD."""

    @register_to_config
    def __init__(self, bins: int = 80):
        super().__init__()
        # A model folder needs a file of weights, and a codec needs a dtype: this buffer provides both.
        self.register_buffer("level", torch.zeros(1))

    @property
    def latent_channels(self) -> int:
        return 1

    def latent_grid(self, num_mel_frames: int, bins: int) -> tuple[int, int]:
        """(l, f) of the latents: the size of the mel spectrogram."""
        return num_mel_frames, bins

    def encode(self, log_mel: Float[Tensor, "b f l"]) -> Float[Tensor, "b 1 l f"]:
        """Natural-logarithm mel frames with time before frequency."""
        return rearrange(log_mel, "b f l -> b 1 l f")

    def decode(self, latents: Float[Tensor, "b 1 l f"]) -> Float[Tensor, "b f l"]:
        """The inverse of `encode`."""
        return rearrange(latents, "b 1 l f -> b f l")
