"""The interface of all denoisers: a noisy pair and its timesteps in, a predicted pair out."""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor

from sonovid.core.av import AV
from sonovid.core.condition import Condition


@dataclass(frozen=True)
class Output:
    """Output of a denoiser.

    Args:
        prediction: One tensor per stream, in the shape of the stream. The recipe defines the prediction type (eps, v, flow, x0).
        variance: Learnt interpolation of the variance (Nichol & Dhariwal 2021, eq. 15) per stream, in the shape of the stream, if
            the network learns one.
        features: Named intermediate tensors, on request.
    """

    prediction: AV
    variance: AV | None = None
    features: dict[str, Tensor] = field(default_factory=dict)


@runtime_checkable
class Denoiser(Protocol):
    """A network that maps a noisy pair to a predicted pair.

    Args of `forward`:
        x: Whitened latents, video [b c t h w] and audio [b c l f].
        t: Timesteps in [0, 1], where 0 is clean: per sample [b], or per latent frame, video [b t] and audio [b l].
        condition: Text, labels and the streams to generate.
        previous: Last estimate of the clean pair, for systems with self-conditioning.
    """

    def forward(self, x: AV, t: AV, condition: Condition | None = None, previous: AV | None = None) -> Output: ...
