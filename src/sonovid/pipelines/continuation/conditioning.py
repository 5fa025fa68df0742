"""How a network goes on: from frames it is given at time zero, or from the window before that it is shown."""

from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.core.geometry import Geometry
from sonovid.diffusion import guidance, sampler
from sonovid.models.mmldm import Continuation
from sonovid.models.uniform.transformer import UniForm
from sonovid.pipelines.denoising import GuidedDenoiser

# Half of a window is drawn from at this scale (docs/uniform.md says what was measured).
DEFAULT_RECONSTRUCTION_SCALE = 2.0


@dataclass(frozen=True)
class WindowRequest:
    """One window's request: what the network is told, what guidance leads away from, which streams are given, how it is guided.

    given: clean latents of the given streams, None for the generated ones. noises: what the sampling begins with.
    """

    condition: Condition
    null: Condition | None
    given: AV
    scale: AV
    noises: AV
    against: str = "modality"

    def denoise(self, denoising: GuidedDenoiser) -> sampler.Denoiser:
        """The network as a sampler calls it, of one window that follows none."""
        told = denoising.guided(self.condition, self.null, self.given, self.scale, self.against)
        return denoising.held(told, self.given, self.noises)


@runtime_checkable
class ConditioningStrategy(Protocol):
    """How a window follows the one before. overlap: frames that the two share."""

    @property
    def overlap(self) -> int: ...

    def denoise(self, denoising: GuidedDenoiser, asked: WindowRequest, before: AV | None) -> sampler.Denoiser:
        """The network as a sampler calls it. before: final latents of the window before, None at the first."""
        ...


@dataclass(frozen=True)
class OverlapConditioning:
    """The last frames of the window before are the first of this one.

    window: frames of a window. reconstruction_scale: None: the known frames enter clean, each at its own time, which is zero, as a network has to
    be trained for. A number: they enter noised to the time of all others, and what is generated is led to where they are denoised
    to what they are, by reconstruction guidance of this scale; that asks nothing of the training, and a backward pass a step.
    """

    overlap: int
    window: int
    reconstruction_scale: float | int | None = None

    def denoise(self, denoising: GuidedDenoiser, asked: WindowRequest, before: AV | None) -> sampler.Denoiser:
        denoise = asked.denoise(denoising)
        if before is None:
            return denoise

        def first(x: Tensor) -> Tensor:
            """The shared latents in their new place, zeros behind them."""
            shared = x.shape[2] * self.overlap // self.window
            return torch.cat([x[:, :, -shared:], torch.zeros_like(x[:, :, shared:])], dim=2)

        def known(x: Tensor, given: Tensor | None) -> Tensor | None:
            if given is not None:
                return None
            places = torch.arange(x.shape[2], device=x.device)
            return (places < x.shape[2] * self.overlap // self.window).expand(len(x), -1)

        shared, places = before.map(first), before.map(known, asked.given)
        if self.reconstruction_scale is None:
            return guidance.frame_conditioning(denoise, shared, places)
        shared = shared.map(lambda x, place: None if place is None else x, places)
        reconstructed = guidance.reconstruction_guidance(denoise, shared, denoising.schedule, self.reconstruction_scale, places)
        return guidance.replacement_conditioning(reconstructed, shared, denoising.schedule, asked.noises, places)


@dataclass(frozen=True)
class PreviousWindowConditioning:
    """The network is shown the whole window before; the new one begins where that one ends (MM-LDM, section 4.4)."""

    overlap: int = 0

    def denoise(self, denoising: GuidedDenoiser, asked: WindowRequest, before: AV | None) -> sampler.Denoiser:
        return asked.denoise(replace(denoising, network=PreviousWindowNetwork(denoising.network, before)))


@dataclass(frozen=True)
class PreviousWindowNetwork:
    """A `Continuation` with the window before as a network that `Denoising` drives like any other."""

    network: Any
    before: AV | None

    def embed_context(self, condition: Condition | None, b: int, dropped: Tensor | None = None) -> Tensor:
        return self.network.embed_context(condition, b, dropped, self.before)

    def __call__(self, x: AV, t: AV, condition: Condition | None = None, previous: AV | None = None, **shown: Any) -> Any:
        return self.network(x, t, condition, previous, previous_window=self.before, **shown)


def select_strategy(
    network: Any,
    own: Geometry,
    overlap: int | None = None,
    reconstruction_scale: float | int | None = DEFAULT_RECONSTRUCTION_SCALE,
) -> ConditioningStrategy:
    """The way in which a network goes on.

    own: what it was trained on. overlap: frames, for a network that is given frames, a whole number of the steps in which it sees
    them; None: half of a window. reconstruction_scale: how the frames are given, see `KnownFrames`.

    Raises:
        ValueError: the network cannot go on, or not with this overlap.
    """
    if reconstruction_scale is not None and not 0 <= reconstruction_scale < float("inf"):
        raise ValueError(
            f"reconstruction_scale={reconstruction_scale}: expected a number of at least 0, or None for known frames that enter clean"
        )
    if isinstance(network, Continuation):
        if overlap:
            raise ValueError(f"overlap={overlap}: this model is shown the window before, and its windows share no frames")
        return PreviousWindowConditioning()
    if isinstance(network, UniForm):
        unit = network.config.patch_size[0]
        if own.num_frames % unit or own.num_frames < 2 * unit:
            raise ValueError(f"windows of {own.num_frames} frames in steps of {unit}: too short to go on from")
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
        f"this model ({kind}) makes single windows and cannot go on from one: it is neither given frames nor shown the window "
        f"before{hint}; take a UniForm or MM-LDM's continuation"
    )
