"""From a network and what it is told to the function that samplers call: guided, and with a given stream held."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.diffusion import guidance, sampler

# What guidance leads away from where a stream is given and shown to the network: its absence, that of the context, or both.
GUIDANCE_AGAINST = ("modality", "context", "both")
NO_STREAMS = AV(None, None)


@dataclass(frozen=True)
class GuidedDenoiser:
    """A network with all that a pipeline knows of it.

    network: as in models/base; for the conditioning "shown" it has `embed_context` and takes `given` and `context`, as `MMLDM`
    does. schedule: of both streams. predict: what the network's output stands for. conditioning: how a given stream enters:
    "clean", "replaced" or "shown", see `SoundingVideoPipeline`. dtype: what the network computes in.
    """

    network: Any
    schedule: AV
    predict: Any
    conditioning: str
    dtype: torch.dtype | None = None

    def guided(
        self, condition: Condition, null: Condition | None, given: AV, scale: AV, against: str = "modality"
    ) -> sampler.Denoiser:
        """The network under its condition for one sampling of a batch, guided where that changes anything.

        null: what guidance leads away from; None: there are no words to guide by. given: clean latents of the given streams, None
        for the generated ones. against: see `AGAINST`; read where a stream is given, and shown to the network, alone.
        """
        # Guidance of a given stream is thrown away, so it must not cost a second evaluation.
        scale = scale.map(lambda s, g: s if g is None else 1.0, given)
        if self.conditioning == "shown":
            return self._shown(condition, null, given, scale, against)
        if null is None or all(s == 1 for s in scale):
            return self._under(self.network, condition)
        return guidance.batched_classifier_free_guidance(self._under(self.network, condition.concat(null)), scale)

    def _under(self, network: Any, condition: Condition | None = None) -> sampler.Denoiser:
        return sampler.build_denoiser(network, self.schedule, self.predict, condition, dtype=self.dtype)

    def _shown(self, condition: Condition, null: Condition | None, given: AV, scale: AV, against: str) -> sampler.Denoiser:
        """The given stream's clean latents beside the noisy pair, the context embedded once for all steps (MM-LDM, eq. 9)."""
        shown = given if self.dtype is None else given.map(lambda g: None if g is None else g.to(self.dtype))

        def under(context: Tensor, shown: AV) -> sampler.Denoiser:
            return self._under(partial(self.network, conditioning=shown, context=context))

        b = len(condition.text_mask)
        context = self.network.embed_context(condition, b)
        told = under(context, shown)
        nulls: dict[str, Any] = {}
        if given != NO_STREAMS and against != "context":
            nulls["without_modality"] = under(context, NO_STREAMS)
        if given == NO_STREAMS or against != "modality":
            dropped = None if null is not None else torch.ones(b, dtype=torch.bool, device=context.device)
            without = self.network.embed_context(condition if null is None else null, b, dropped)
            if not torch.equal(without, context):
                nulls["without_context"] = under(without, shown)
        return guidance.cross_modal_guidance(told, scale, **nulls) if nulls else told

    def held(self, denoise: sampler.Denoiser, given: AV, noises: AV, reconstruction_scale: float | int = 0.0) -> sampler.Denoiser:
        """With the given stream held: clean, or noised by the noise that its place in the loop began with.

        reconstruction_scale: the scale of reconstruction guidance.
        """
        if given == NO_STREAMS:
            return denoise
        if self.conditioning == "clean":
            return guidance.clean_conditioning(denoise, given)
        reconstructed = guidance.reconstruction_guidance(denoise, given, self.schedule, reconstruction_scale)
        return guidance.replacement_conditioning(reconstructed, given, self.schedule, noises)


@contextmanager
def freeze_weights(network: Any) -> Iterator[None]:
    """A network none of whose weights asks for a gradient: on a CPU, matrix products round otherwise where one does."""
    asking = [weight for weight in network.parameters() if weight.requires_grad]
    for weight in asking:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in asking:
            weight.requires_grad_(True)
