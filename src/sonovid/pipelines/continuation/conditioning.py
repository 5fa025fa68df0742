"""Conditioning strategies: how a window is conditioned on the one before, by shared frames or by the whole window."""

from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from sonovid.core import renamed
from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.core.geometry import Geometry
from sonovid.diffusion import guidance, sampler
from sonovid.models.mmldm import Continuation
from sonovid.models.uniform.sequence import SequenceUniForm
from sonovid.models.uniform.transformer import UniForm
from sonovid.pipelines.denoising import DenoiserBuilder

# Scale of reconstruction guidance for windows that share half of their frames (measurements: docs/uniform.md).
DEFAULT_RECONSTRUCTION_SCALE = 2.0


@dataclass(frozen=True)
class WindowRequest:
    """The inputs for sampling one window.

    Args:
        condition: the condition of the denoiser.
        null_condition: what guidance leads away from, or None.
        conditioning: clean latents of the conditioning streams; None for streams that are generated.
        guidance_scale: guidance scale of each stream.
        noise: the noise that sampling starts from.
        guidance_against: see `denoising.GUIDANCE_AGAINST`.
    """

    condition: Condition
    null_condition: Condition | None
    conditioning: AV
    guidance_scale: AV
    noise: AV
    guidance_against: str = "modality"

    def build_denoiser(self, builder: DenoiserBuilder) -> sampler.Denoiser:
        """The denoising function of a window without a previous one."""
        denoise = builder.guided(
            self.condition, self.null_condition, self.conditioning, self.guidance_scale, self.guidance_against
        )
        return builder.with_conditioning(denoise, self.conditioning, self.noise)


@runtime_checkable
class ConditioningStrategy(Protocol):
    """How a window is conditioned on the previous one. `overlap` is the number of frames that the two share."""

    @property
    def overlap(self) -> int: ...

    def build_denoiser(self, builder: DenoiserBuilder, request: WindowRequest, previous: AV | None) -> sampler.Denoiser:
        """The denoising function of one window.

        Args:
            builder: of the pipeline's network.
            request: the inputs of the window.
            previous: final latents of the previous window; None for the first.
        """
        ...


@dataclass(frozen=True)
class OverlapConditioning:
    """The last frames of the previous window are the first frames of the next one.

    Args:
        overlap: frames that two windows share.
        window: frames of a window.
        reconstruction_scale: None: the shared frames enter clean, with time zero for these frames alone, which the network has to
            be trained for. A number: they enter noised to the time of all other frames, with reconstruction guidance of this
            scale. That needs no training, and adds a backward pass to each step.
    """

    overlap: int
    window: int
    reconstruction_scale: float | int | None = None

    def build_denoiser(self, builder: DenoiserBuilder, request: WindowRequest, previous: AV | None) -> sampler.Denoiser:
        """See `ConditioningStrategy.build_denoiser`."""
        denoise = request.build_denoiser(builder)
        if previous is None:
            return denoise

        def shift(x: Tensor) -> Tensor:
            """The shared latents at the beginning of the window, zeros after them."""
            shared = x.shape[2] * self.overlap // self.window
            return torch.cat([x[:, :, -shared:], torch.zeros_like(x[:, :, shared:])], dim=2)

        def shared_mask(x: Tensor, conditioning: Tensor | None) -> Tensor | None:
            if conditioning is not None:
                return None
            positions = torch.arange(x.shape[2], device=x.device)
            return (positions < x.shape[2] * self.overlap // self.window).expand(len(x), -1)

        shared, mask = previous.map(shift), previous.map(shared_mask, request.conditioning)
        if self.reconstruction_scale is None:
            return guidance.frame_conditioning(denoise, shared, mask)
        shared = shared.map(lambda x, m: None if m is None else x, mask)
        denoise = guidance.reconstruction_guidance(denoise, shared, builder.schedule, self.reconstruction_scale, mask)
        return guidance.replacement_conditioning(denoise, shared, builder.schedule, request.noise, mask)


@dataclass(frozen=True)
class PreviousWindowConditioning:
    """The network takes the whole previous window as an input; windows do not overlap (MM-LDM, section 4.4)."""

    overlap: int = 0

    def build_denoiser(self, builder: DenoiserBuilder, request: WindowRequest, previous: AV | None) -> sampler.Denoiser:
        """See `ConditioningStrategy.build_denoiser`."""
        return request.build_denoiser(replace(builder, network=PreviousWindowNetwork(builder.network, previous)))


@dataclass(frozen=True)
class PreviousWindowNetwork:
    """A `Continuation` network with its previous window bound, so that `DenoiserBuilder` can call it like any other network."""

    network: Any
    previous_window: AV | None

    def embed_context(self, condition: Condition | None, b: int, dropped: Tensor | None = None) -> Tensor:
        return self.network.embed_context(condition, b, dropped, self.previous_window)

    def __call__(self, x: AV, t: AV, condition: Condition | None = None, previous: AV | None = None, **inputs: Any) -> Any:
        return self.network(x, t, condition, previous, previous_window=self.previous_window, **inputs)


def select_strategy(
    network: Any,
    own: Geometry,
    overlap: int | None = None,
    reconstruction_scale: float | int | None = DEFAULT_RECONSTRUCTION_SCALE,
    latent_frames: int | None = None,
) -> ConditioningStrategy:
    """The conditioning strategy of a network.

    Args:
        network: the denoiser.
        own: geometry of a window.
        overlap: shared frames, for a network with `OverlapConditioning`: a multiple of the frames of one of its patches; None:
            half of a window.
        reconstruction_scale: see `OverlapConditioning`.
        latent_frames: latent frames of a window; None: one for each frame.

    Raises:
        ValueError: a network without support for continuation, or an overlap that it does not support.
    """
    if reconstruction_scale is not None and not 0 <= reconstruction_scale < float("inf"):
        raise ValueError(
            f"reconstruction_scale={reconstruction_scale}: expected a number of at least 0, or None for shared frames that enter "
            "clean"
        )
    if isinstance(network, Continuation):
        if overlap:
            raise ValueError(f"overlap={overlap}: this model takes the previous window as an input; its windows share no frames")
        return PreviousWindowConditioning()
    if isinstance(network, UniForm | SequenceUniForm):
        # Two windows share whole latent frames, and whole patches of them.
        if own.num_frames % (latent_frames or own.num_frames):
            raise ValueError(
                f"windows of {own.num_frames} frames in {latent_frames} latent frames: continuation needs latent frames of equal "
                "length"
            )
        unit = own.num_frames // (latent_frames or own.num_frames)
        unit *= network.config.patch_size[0] if isinstance(network, UniForm) else 1
        if own.num_frames % unit or own.num_frames < 2 * unit:
            raise ValueError(f"windows of {own.num_frames} frames in patches of {unit}: too short for continuation")
        overlap = own.num_frames // (2 * unit) * unit if overlap is None else overlap
        if not 0 < overlap < own.num_frames or overlap % unit:
            raise ValueError(
                f"overlap={overlap}: expected a multiple of {unit} frames, from {unit} to {own.num_frames - unit} for windows of "
                f"{own.num_frames}"
            )
        return OverlapConditioning(overlap, own.num_frames, reconstruction_scale)
    kind = type(network).__name__
    hint = "; train its continuation network first (recipes mmldm.*.continuation)" if kind == "MMLDM" else ""
    raise ValueError(
        f"this model ({kind}) generates single windows and does not support continuation{hint}; "
        "use UniForm or MM-LDM's continuation"
    )


__getattr__ = renamed.attributes(
    __name__,
    {
        "KnownFrames": "OverlapConditioning",
        "PULL": "DEFAULT_RECONSTRUCTION_SCALE",
        "ShownBefore": "PreviousWindowConditioning",
        "way_of": "select_strategy",
    },
)
