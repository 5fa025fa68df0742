"""Fine-tuning of the decoder of a frozen frame autoencoder by L1, LPIPS and a patch discriminator, as VQGAN."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.training.reconstruction import ReconstructionOutput, per_sample, pixel_differences

# Bounds of the adaptive adversarial weight: its maximum, and the constant in its denominator.
MAX_WEIGHT, WEIGHT_EPSILON = 1e4, 1e-4


class PatchDiscriminator(nn.Module):
    """PatchGAN discriminator (Isola et al. 2017; Esser et al. 2021).

    Args:
        width: channels of the first layer, doubled at each stride of 2, at most 8 times as many.
        layers: number of layers after the first.
        begins: forward passes in training before the discriminator is active. The buffer `seen` counts them and is part of the
            checkpoints.

    Deviation: group normalisation instead of batch normalisation, so that the output of an image depends on no other image.
    """

    seen: Tensor

    def __init__(self, width: int = 64, layers: int = 3, begins: int = 0):
        super().__init__()
        parts: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        channels = width
        for i in range(1, layers + 1):
            wider = width * min(2**i, 8)
            stride = 2 if i < layers else 1
            parts += [
                nn.Conv2d(channels, wider, 4, stride, 1, bias=False),
                nn.GroupNorm(min(16, wider), wider),
                nn.LeakyReLU(0.2),
            ]
            channels = wider
        self.network = nn.Sequential(*parts, nn.Conv2d(channels, 1, 4, padding=1))
        for layer in self.network:
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, 0.0, 0.02)
        self.begins = begins
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    @property
    def active(self) -> bool:
        """Whether `begins` forward passes have been counted."""
        return int(self.seen) >= self.begins

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b"]:
        """The mean output over all patches of images in [-1, 1]; higher is more real."""
        return per_sample(self.patches(images))

    def patches(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h2 w2"]:
        """The output of each patch."""
        return self.network(images).float()


@dataclass(frozen=True)
class DecoderFineTuning:
    """Objective of a decoder behind a frozen encoder: L1 error, perceptual distance and adversarial loss.

    A batch has `pictures`, float [b 3 1 h w] in [-1, 1], and `sound`, True [b] where a picture is an audio image. The latents are
    the posterior mean.

    Args:
        adversary: the discriminator. None: no adversarial loss.
        adversarial: weight of the adversarial loss, relative to the gradients of the other losses at the last layer of the
            decoder (Esser et al. 2021, eq. 7).
        perceived: a distance of images [b 3 h w], such as LPIPS.
        perceptual: weight of that distance.
        edge: weight of the error of pixel differences.

    Deviation: the KL divergence is left out, since the encoder is frozen. The learned pixel variance is left out too: it scales
    all other losses equally, which the adaptive adversarial weight cancels.
    """

    adversary: PatchDiscriminator | None = None
    adversarial: float = 0.5
    perceived: nn.Module | None = None
    perceptual: float = 1.0
    edge: float = 0.0

    def __call__(self, model: Any, batch: Mapping[str, Tensor], generator: torch.Generator | None = None) -> ReconstructionOutput:
        real, is_audio = batch["pictures"], batch["sound"]
        with torch.no_grad():
            latents = model.encode(real)
        decoded = model.decode(latents)
        with torch.autocast(real.device.type, enabled=False):
            decoded, real = decoded[:, :, 0].float(), real[:, :, 0].float()
            error = per_sample((decoded - real).abs())
            if self.edge:
                sides = zip(pixel_differences(decoded), pixel_differences(real), strict=True)
                error = error + self.edge * torch.stack([per_sample((a - b).abs()) for a, b in sides]).sum(0)
            if self.perceived is not None:
                # The training loop moves only the model and the adversary to the device.
                error = error + self.perceptual * self.perceived.to(decoded.device)(decoded, real)
            missing = torch.full_like(error, torch.nan)
            losses = {"frames": torch.where(is_audio, missing, error), "sounds": torch.where(is_audio, error, missing)}
            if self.adversary is not None and self.adversary.active:
                verdict = -self.adversary(decoded)
                losses["verdict"] = self.adversarial * self._adaptive_weight(model, error, verdict) * verdict
        return ReconstructionOutput(losses, (real, decoded.detach()))

    def _adaptive_weight(self, model: Any, error: Tensor, verdict: Tensor) -> Tensor | float:
        """Ratio of the gradient norms of both losses at the last layer of the decoder (Esser et al. 2021, eq. 7)."""
        if not torch.is_grad_enabled():
            return 1.0
        last = last_decoder_weight(model)
        norms = [torch.autograd.grad(loss.mean(), last, retain_graph=True)[0].norm() for loss in (error, verdict)]
        return (norms[0] / (norms[1] + WEIGHT_EPSILON)).clamp(0, MAX_WEIGHT).detach()

    def discriminate(self, adversary: Any, pair: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Hinge losses of the discriminator on real and decoded images; zero, with zero gradients, before it is active."""
        active = adversary.active
        if adversary.training:
            adversary.seen += 1
        if not active:
            zero = torch.stack([0 * p.sum() for p in adversary.parameters()]).sum().expand(len(pair[0]))
            return {"true": zero, "made": zero}
        real, fake = (adversary.patches(images) for images in pair)
        return {"true": 0.5 * per_sample(F.relu(1 - real)), "made": 0.5 * per_sample(F.relu(1 + fake))}


def decoder_modules(model: Any) -> list[nn.Module]:
    """The decoder modules of a frame autoencoder: a `FrameAutoencoder`, or a codec of an `AutoencoderKL`.

    Raises:
        ValueError: the codec does not work frame by frame.
    """
    if not getattr(model, "framewise", True):
        raise ValueError(
            f"{type(model.autoencoder).__name__}: works on several frames at once; expected a codec of single frames"
        )
    own = getattr(model, "autoencoder", model)
    return [part for part in (getattr(own, "post_quant_conv", None), own.decoder) if part is not None]


def last_decoder_weight(model: Any) -> Tensor:
    """The weight of the last convolution of the decoder."""
    return [layer for layer in decoder_modules(model)[-1].modules() if isinstance(layer, nn.Conv2d)][-1].weight


def freeze_all_but_decoder(model: nn.Module) -> None:
    """Freeze all parameters but those of the decoder."""
    model.requires_grad_(False)
    for part in decoder_modules(model):
        part.requires_grad_(True)
