"""Sound to latents and back: a mel spectrogram, an autoencoder of it, and a vocoder, joined into one codec."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.core.model import Model, register_to_config


class StepNorm(nn.LayerNorm):
    """Each step normalised over its channels alone.

    Group normalisation would take its moments over time too, and a sound at the end would change the latents of the beginning.
    """

    def forward(self, x: Float[Tensor, "b c l"]) -> Float[Tensor, "b c l"]:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class ResidualBlock1d(nn.Module):
    """Two convolutions in time on a normalised, activated path beside the identity."""

    def __init__(self, width: int):
        super().__init__()
        self.norm1, self.conv1 = StepNorm(width), nn.Conv1d(width, width, 3, padding=1)
        self.norm2, self.conv2 = StepNorm(width), nn.Conv1d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h)))


class MelAutoencoder(Model):
    """A variational autoencoder of mel frames, convolutional in time; all bins of a frame are channels.

    Latents are [b c l 1]: nothing of the frequency axis is left, and a step of l stands for 2**levels mel frames.

    Args:
        bins: mel bins. latent_channels: channels of a latent step. width: channels inside. blocks: residual blocks per level.
        levels: halvings of the frame rate.
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
        encoder += [StepNorm(width), nn.SiLU(), nn.Conv1d(width, 2 * latent_channels, 1)]
        decoder += [StepNorm(width), nn.SiLU(), nn.Conv1d(width, bins, 3, padding=1)]
        self.encoder, self.decoder = nn.Sequential(*encoder), nn.Sequential(*decoder)

    @property
    def latent_channels(self) -> int:
        return self.config.latent_channels

    def latent_grid(self, num_mel_frames: int, bins: int) -> tuple[int, int]:
        """(l, f) of the latents of so many mel frames.

        Raises:
            ValueError: the frames are not a multiple of `factor`, or the bins are not this network's.
        """
        if bins != self.config.bins:
            raise ValueError(f"{bins} mel bins: this autoencoder was made for {self.config.bins}")
        if num_mel_frames % self.factor:
            raise ValueError(f"{num_mel_frames} mel frames: this autoencoder needs a multiple of {self.factor}")
        return num_mel_frames // self.factor, 1

    def posterior(self, log_mel: Float[Tensor, "b f l"]) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latents, each [b c l 1]."""
        # Levels between silence and a loud sound lie near [-7, 3]; the network sees about [-2, 2].
        mean, log_variance = self.encoder((log_mel + 3) / 3).float().chunk(2, dim=1)
        return mean[..., None], log_variance.clamp(-20, 4)[..., None]

    def encode(self, log_mel: Float[Tensor, "b f l"]) -> Float[Tensor, "b c l2 1"]:
        """Natural-logarithm mel frames to raw latents: the posterior's mean."""
        return self.posterior(log_mel)[0]

    def decode(self, latents: Float[Tensor, "b c l 1"]) -> Float[Tensor, "b f l2"]:
        """Raw latents to natural-logarithm mel frames."""
        return self.decoder(rearrange(latents, "b c l 1 -> b c l")).float() * 3 - 3


class IdentityMel(Model):
    """No autoencoder: the normalised log-mel frames themselves are the latents, [b 1 l f] (CMMD works so)."""

    @register_to_config
    def __init__(self, bins: int = 80):
        super().__init__()
        # A model folder needs a file of tensors, and a codec a dtype: this is the one number in it.
        self.register_buffer("level", torch.zeros(1))

    @property
    def latent_channels(self) -> int:
        return 1

    def latent_grid(self, num_mel_frames: int, bins: int) -> tuple[int, int]:
        """(l, f) of the latents: the mel grid itself."""
        return num_mel_frames, bins

    def encode(self, log_mel: Float[Tensor, "b f l"]) -> Float[Tensor, "b 1 l f"]:
        """Natural-logarithm mel frames, time before frequency."""
        return rearrange(log_mel, "b f l -> b 1 l f")

    def decode(self, latents: Float[Tensor, "b 1 l f"]) -> Float[Tensor, "b f l"]:
        """The inverse of `encode`."""
        return rearrange(latents, "b 1 l f -> b f l")
