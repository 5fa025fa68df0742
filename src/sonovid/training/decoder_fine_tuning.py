"""What the decoder of a frozen frame autoencoder is fine-tuned by: pixels, perceived distance, and a judge of patches (VQGAN)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.training.reconstruction import ReconstructionOutput, per_sample, pixel_differences

# A gradient that all but vanishes would weigh the verdict without bound.
HEAVIEST, SMALLEST = 1e4, 1e-4


class PatchDiscriminator(nn.Module):
    """A discriminator that says of each patch how real it is (Isola et al. 2017, as Esser et al. 2021 have it).

    width: channels of the first layer, doubled after each stride of two, eight times as many at most. layers: strides.
    begins: passes of a training before it has a say, counted in `seen`, which checkpoints keep.

    Deviation: normalised by groups of channels and not by batches, so that what it says of a picture depends on no other.
    """

    seen: Tensor

    def __init__(self, width: int = 64, layers: int = 3, begins: int = 0):
        super().__init__()
        parts: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        at = width
        for i in range(1, layers + 1):
            wider = width * min(2**i, 8)
            stride = 2 if i < layers else 1
            parts += [nn.Conv2d(at, wider, 4, stride, 1, bias=False), nn.GroupNorm(min(16, wider), wider), nn.LeakyReLU(0.2)]
            at = wider
        self.network = nn.Sequential(*parts, nn.Conv2d(at, 1, 4, padding=1))
        for layer in self.network:
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, 0.0, 0.02)
        self.begins = begins
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    @property
    def awake(self) -> bool:
        return int(self.seen) >= self.begins

    def forward(self, pictures: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b"]:
        """How real pictures in [-1, 1] are, without bounds: the mean over their patches."""
        return per_sample(self.patches(pictures))

    def patches(self, pictures: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h2 w2"]:
        """The same for each patch."""
        return self.network(pictures).float()


@dataclass(frozen=True)
class DecoderFineTuning:
    """Pictures through a frozen encoder and the decoder that learns: absolute error, perceived distance, the judge's verdict.

    batch: a mapping with `pictures`, float [b 3 1 h w] in [-1, 1], and `sound`, True [b] where one is an audio image. The codec
    gives the posterior's mean, the one code that a picture has. adversarial: the verdict's weight relative to the gradients
    of the rest at the decoder's last layer (Esser et al. 2021, eq. 7). perceived: a distance of pictures [b 3 h w] such as
    LPIPS. edge: the weight of differences of neighbouring pixels.

    Deviation: the posterior's divergence is left out; with the encoder frozen it trains nothing. Nor is the learnt variance
    of the pixels there: it scales all of the rest alike, which the verdict's weight undoes.
    """

    adversary: PatchDiscriminator | None = None
    adversarial: float = 0.5
    perceived: nn.Module | None = None
    perceptual: float = 1.0
    edge: float = 0.0

    def __call__(self, model: Any, batch: Mapping[str, Tensor], generator: torch.Generator | None = None) -> ReconstructionOutput:
        true, sound = batch["pictures"], batch["sound"]
        with torch.no_grad():
            latents = model.encode(true)
        made = model.decode(latents)
        with torch.autocast(true.device.type, enabled=False):
            made, flat = made[:, :, 0].float(), true[:, :, 0].float()
            error = per_sample((made - flat).abs())
            if self.edge:
                sides = zip(pixel_differences(made), pixel_differences(flat), strict=True)
                error = error + self.edge * torch.stack([per_sample((a - b).abs()) for a, b in sides]).sum(0)
            if self.perceived is not None:
                # The training's loop moves the model and the judge alone.
                error = error + self.perceptual * self.perceived.to(made.device)(made, flat)
            nowhere = torch.full_like(error, torch.nan)
            losses = {"frames": torch.where(sound, nowhere, error), "sounds": torch.where(sound, error, nowhere)}
            if self.adversary is not None and self.adversary.awake:
                verdict = -self.adversary(made)
                losses["verdict"] = self.adversarial * self._balance(model, error, verdict) * verdict
        return ReconstructionOutput(losses, (flat, made.detach()))

    def _balance(self, model: Any, error: Tensor, verdict: Tensor) -> Tensor | float:
        """How much stronger the error's gradient is than the verdict's, at the last layer of the decoder."""
        if not torch.is_grad_enabled():
            return 1.0
        last = last_decoder_weight(model)
        pulls = [torch.autograd.grad(loss.mean(), last, retain_graph=True)[0].norm() for loss in (error, verdict)]
        return (pulls[0] / (pulls[1] + SMALLEST)).clamp(0, HEAVIEST).detach()

    def discriminate(self, adversary: Any, made: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """The hinge by which the judge tells true pictures from made ones; zero, and nothing learnt, before it begins."""
        awake = adversary.awake
        if adversary.training:
            adversary.seen += 1
        if not awake:
            nothing = torch.stack([0 * p.sum() for p in adversary.parameters()]).sum().expand(len(made[0]))
            return {"true": nothing, "made": nothing}
        true, false = (adversary.patches(pictures) for pictures in made)
        return {"true": 0.5 * per_sample(F.relu(1 - true)), "made": 0.5 * per_sample(F.relu(1 + false))}


def decoder_modules(model: Any) -> list[nn.Module]:
    """The modules of a frame autoencoder that decode: those of `FrameAutoencoder`, or of an `AutoencoderKL` in its codec.

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
    """The weights of a decoder's last convolution."""
    return [layer for layer in decoder_modules(model)[-1].modules() if isinstance(layer, nn.Conv2d)][-1].weight


def freeze_all_but_decoder(model: nn.Module) -> None:
    """Leave nothing to learn but what turns latents into pictures."""
    model.requires_grad_(False)
    for part in decoder_modules(model):
        part.requires_grad_(True)
