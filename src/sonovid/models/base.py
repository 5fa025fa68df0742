"""The one signature of all denoisers: a noisy pair and its times in, a predicted pair out."""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor

from sonovid.core.av import AV
from sonovid.core.condition import Condition


@dataclass(frozen=True)
class Output:
    """What a denoiser returns.

    prediction: for each stream a tensor of the stream's shape; what it stands for (eps, v, flow, x0) is the recipe's affair.
    variance: for each stream the learnt interpolation of the variance (Nichol & Dhariwal 2021, eq. 15), in the stream's shape,
    where the network learns one. features: named intermediate tensors, on request.
    """

    prediction: AV
    variance: AV | None = None
    features: dict[str, Tensor] = field(default_factory=dict)


@runtime_checkable
class Denoiser(Protocol):
    """A network, pair to pair.

    x: AV of final latents, video [b c t h w] and audio [b c l f]. t: AV of noise times in [0, 1], zero is clean, each [b], or one
    per latent frame, video [b t] and audio [b l]. previous: the last estimate of the clean pair, where the system feeds it back.
    """

    def forward(self, x: AV, t: AV, condition: Condition | None = None, previous: AV | None = None) -> Output: ...
