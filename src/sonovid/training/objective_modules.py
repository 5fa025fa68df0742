"""A model and its objective as one `nn.Module`, so that DistributedDataParallel and autocast wrap the whole forward pass."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sonovid.core.av import AV
from sonovid.diffusion.objective import LossOutput, total_loss


class ObjectiveOutput(NamedTuple):
    """Output of `ObjectiveModule`.

    Args:
        loss: the scalar that is minimised.
        losses: per-sample losses [b] by name.
        times: noise times of both streams, or None.
        discriminator_input: what the adversary is trained on, or None.
    """

    loss: Tensor
    losses: dict[str, Tensor]
    times: AV | None
    discriminator_input: Any


class ObjectiveModule(nn.Module):
    """A model with its objective.

    Args:
        model: the model that is trained.
        objective: see `Job`.
        weights: of the losses in their sum.
        streams: "both", or the one stream whose losses are minimised. The losses of the other are still logged.
    """

    def __init__(self, model: nn.Module, objective: Callable, weights: dict[str, float], streams: str = "both") -> None:
        super().__init__()
        self.model, self.objective, self.weights = model, objective, weights
        self.ignored = {stream for stream in AV._fields if streams not in ("both", stream)}

    def forward(self, batch: Any, generator: torch.Generator) -> ObjectiveOutput:
        output = self.objective(self.model, batch, generator)
        times = getattr(output, "times", None)
        # The stream is the first word of a loss's name ("video", "video_bound").
        ignored = {name: 0.0 for name in output.losses if name.split("_")[0] in self.ignored}
        loss = total_loss(LossOutput(output.losses, times or AV(None, None)), {**self.weights, **ignored})
        return ObjectiveOutput(loss, output.losses, times, getattr(output, "discriminator_input", None))


class AdversaryModule(nn.Module):
    """An adversary with its losses."""

    def __init__(self, adversary: nn.Module, objective: Any) -> None:
        super().__init__()
        self.adversary, self.objective = adversary, objective

    def forward(self, discriminator_input: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """The scalar loss of the adversary, and its losses [b] by name."""
        losses = self.objective.discriminate(self.adversary, discriminator_input)
        return torch.stack([loss.float().mean() for loss in losses.values()]).sum(), losses
