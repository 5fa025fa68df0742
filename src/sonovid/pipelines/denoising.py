"""DenoiserBuilder: from a network and its conditions to the function that samplers call."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sonovid.core.av import AV, NO_STREAMS
from sonovid.core.condition import Condition
from sonovid.diffusion import guidance, sampler

# What guidance leads away from where the network is shown a conditioning stream: the prediction without that stream
# ("modality"), without text and class ("context"), or both.
GUIDANCE_AGAINST = ("modality", "context", "both")


# The interval of times with guidance that is all times.
EVERYWHERE = (0.0, 1.0)


@dataclass(frozen=True)
class DenoiserBuilder:
    """Builds the denoising function of a batch from a network.

    Args:
        network: a denoiser as in models/base. With conditioning "shown" it has `embed_context` and takes `conditioning` and
            `context`, as `MMLDM` does.
        schedule: noise schedule of each stream.
        predict: prediction type of the network.
        conditioning: how a conditioning stream enters: "clean", "replaced" or "shown", see `SoundingVideoPipeline`.
        dtype: dtype that the network computes in.
        guidance_interval: smallest and largest time with guidance.
        observe: called with each output of the network, see `sampler.ancestral_steps`.
    """

    network: Any
    schedule: AV
    predict: Any
    conditioning: str
    dtype: torch.dtype | None = None
    guidance_interval: tuple[float, float] = EVERYWHERE
    observe: Callable[[Any], None] | None = None

    def guided(
        self,
        condition: Condition,
        null_condition: Condition | None,
        conditioning: AV,
        scale: AV,
        against: str = "modality",
    ) -> sampler.Denoiser:
        """The network under its condition, with guidance where that changes the result.

        Args:
            condition: the condition.
            null_condition: what guidance leads away from; None: there is no text to guide by.
            conditioning: clean latents of the conditioning streams; None for streams that are generated.
            scale: guidance scale of each stream.
            against: one of `GUIDANCE_AGAINST`; used only where the network is shown a conditioning stream.
        """
        # The prediction of a conditioning stream is discarded, so its guidance must not cost a second evaluation.
        scale = scale.map(lambda s, latents: s if latents is None else 1.0, conditioning)
        if self.conditioning == "shown":
            return self._shown(condition, null_condition, conditioning, scale, against)
        conditional = self._build(self.network, condition)
        if null_condition is None or all(s == 1 for s in scale):
            return conditional
        both = self._build(self.network, condition.concat(null_condition))
        return self._limited(guidance.batched_classifier_free_guidance(both, scale), conditional)

    def guidance_update(self, condition: Condition, null_condition: Condition, conditioning: AV, scale: AV) -> sampler.Denoiser:
        """What guidance adds to the estimate of x_0, at all times.

        Args:
            condition, null_condition, conditioning, scale: see `guided`.

        Raises:
            ValueError: the network is shown a conditioning stream, so that guidance has several null conditions.
        """
        if self.conditioning == "shown":
            raise ValueError("a model with conditioning='shown' has no single null condition to guide against")
        scale = scale.map(lambda s, latents: s if latents is None else 1.0, conditioning)
        return guidance.guidance_update(self._build(self.network, condition.concat(null_condition)), scale)

    def _limited(self, guided: sampler.Denoiser, conditional: sampler.Denoiser) -> sampler.Denoiser:
        """Guidance within `guidance_interval`."""
        if self.guidance_interval == EVERYWHERE:
            return guided
        return guidance.limited_interval(guided, conditional, self.guidance_interval)

    def _build(self, network: Any, condition: Condition | None = None) -> sampler.Denoiser:
        return sampler.build_denoiser(network, self.schedule, self.predict, condition, dtype=self.dtype, observe=self.observe)

    def _shown(
        self, condition: Condition, null_condition: Condition | None, conditioning: AV, scale: AV, against: str
    ) -> sampler.Denoiser:
        """The network that sees the conditioning stream's clean latents; the context is embedded once (MM-LDM, eq. 9)."""
        latents = conditioning if self.dtype is None else conditioning.map(lambda z: None if z is None else z.to(self.dtype))

        def build(context: Tensor, conditioning: AV) -> sampler.Denoiser:
            return self._build(partial(self.network, conditioning=conditioning, context=context))

        b = len(condition.text_mask)
        context = self.network.embed_context(condition, b)
        conditional = build(context, latents)
        unconditional: dict[str, Any] = {}
        if conditioning != NO_STREAMS and against != "context":
            unconditional["without_modality"] = build(context, NO_STREAMS)
        if conditioning == NO_STREAMS or against != "modality":
            dropped = None if null_condition is not None else torch.ones(b, dtype=torch.bool, device=context.device)
            null_context = self.network.embed_context(condition if null_condition is None else null_condition, b, dropped)
            if not torch.equal(null_context, context):
                unconditional["without_context"] = build(null_context, latents)
        if not unconditional:
            return conditional
        return self._limited(guidance.cross_modal_guidance(conditional, scale, **unconditional), conditional)

    def with_conditioning(
        self, denoise: sampler.Denoiser, conditioning: AV, noise: AV, reconstruction_scale: float | int = 0.0
    ) -> sampler.Denoiser:
        """Keep the conditioning stream fixed: clean, or noised to the current time, as the network was trained.

        Args:
            denoise: a denoising function.
            conditioning: clean latents of the conditioning streams; None for streams that are generated.
            noise: the noise that sampling starts from; a conditioning stream is noised with it.
            reconstruction_scale: scale of reconstruction guidance.
        """
        if conditioning == NO_STREAMS:
            return denoise
        if self.conditioning == "clean":
            return guidance.clean_conditioning(denoise, conditioning)
        denoise = guidance.reconstruction_guidance(denoise, conditioning, self.schedule, reconstruction_scale)
        return guidance.replacement_conditioning(denoise, conditioning, self.schedule, noise)


@contextmanager
def freeze_weights(network: Any) -> Iterator[None]:
    """Turn off `requires_grad` of all weights within the block.

    On a CPU matrix products round differently where a weight requires a gradient.
    """
    trainable = [weight for weight in network.parameters() if weight.requires_grad]
    for weight in trainable:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in trainable:
            weight.requires_grad_(True)
