"""Request: the arguments of one call of a pipeline, under the names of diffusers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, SupportsIndex

from torch import Tensor

from sonovid.pipelines.arguments import Generators
from sonovid.pipelines.inputs import MediaInput

OUTPUT_TYPES = ("clip", "np", "pt", "pil", "latent")
# Tensors that `callback_on_step_end` can receive.
CALLBACK_TENSORS = ("latents", "x0")


@dataclass(frozen=True, kw_only=True)
class Request:
    """The arguments of `SoundingVideoPipeline.__call__`, which documents them.

    Raises:
        ValueError: an unknown output type or callback tensor, or two arguments that exclude each other.
    """

    prompt: "str | Sequence[str] | None" = None
    video: MediaInput = None
    audio: MediaInput = None
    negative_prompt: "str | Sequence[str | None] | None" = None
    num_inference_steps: SupportsIndex | None = None
    guidance_scale: float | int | None = None
    audio_guidance_scale: float | int | None = None
    num_outputs_per_prompt: SupportsIndex = 1
    seconds: Any = None
    generator: Generators = None
    output_type: str = "clip"
    callback_on_step_end: "Callable[[Any, int, Any, dict], dict | None] | None" = None
    callback_on_step_end_tensor_inputs: Sequence[str] = CALLBACK_TENSORS
    reconstruction_scale: float | int | None = None
    gamma: float | int | None = None
    label: "str | Sequence[str] | None" = None
    guidance_against: str | None = None
    guidance_interval: Sequence[float | int] | None = None
    batch_size: Any = "auto"
    height: SupportsIndex | None = None
    width: SupportsIndex | None = None
    num_frames: SupportsIndex | None = None
    fps: Any = None
    sample_rate: SupportsIndex | None = None
    latents: Any = None
    prompt_embeds: Tensor | None = None
    prompt_attention_mask: Tensor | None = None
    pooled_prompt_embeds: Tensor | None = None
    negative_prompt_embeds: Tensor | None = None
    negative_prompt_attention_mask: Tensor | None = None
    negative_pooled_prompt_embeds: Tensor | None = None

    def __post_init__(self) -> None:
        if self.output_type not in OUTPUT_TYPES:
            raise ValueError(f"output_type={self.output_type!r}: expected one of {OUTPUT_TYPES}")
        if unknown := [name for name in self.callback_on_step_end_tensor_inputs if name not in CALLBACK_TENSORS]:
            raise ValueError(f"callback_on_step_end_tensor_inputs: {unknown}: expected some of {CALLBACK_TENSORS}")
        if self.prompt_embeds is not None and self.prompt is not None:
            raise ValueError("prompt and prompt_embeds are both given: pass the text or its embeddings")
        if self.negative_prompt_embeds is not None and self.negative_prompt is not None:
            raise ValueError("negative_prompt and negative_prompt_embeds are both given: pass one of them")
        if self.negative_prompt_embeds is not None and self.prompt_embeds is None:
            raise ValueError("negative_prompt_embeds without prompt_embeds: pass both, as encode_prompt returns them")


FIELD_NAMES = tuple(field.name for field in fields(Request))
