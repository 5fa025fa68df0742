"""EncodingMixin: noise, media and prompts of a request as tensors for the denoiser."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from sonovid.core.av import AV, Task
from sonovid.core.condition import Condition
from sonovid.core.geometry import Geometry
from sonovid.core.labels import NO_LABEL
from sonovid.diffusion import noise
from sonovid.pipelines.components import ComponentsMixin
from sonovid.pipelines.request import Request
from sonovid.pipelines.timeline import ConditioningWindows


class EncodingMixin(ComponentsMixin):
    """Draws noise, encodes windows of video and audio to latents, and encodes prompts."""

    def unit_noise(self, generator: torch.Generator, geometry: Geometry | None = None) -> AV:
        """Standard normal noise of one window.

        Args:
            generator: random generator on the CPU.
            geometry: geometry of the window; None: the model's own.
        """
        shapes = self.codec.latent_shapes(geometry or self.geometry)
        # A stream that the model does not generate is empty: it has zero steps on its time axis.
        shapes = shapes.map(lambda s, generated: s if generated else (s[0], 0, *s[2:]), self.generated_streams)
        return noise.draw_noise_pair([generator], shapes).map(lambda x: x.to(self._execution_device))

    # --- video and audio -----------------------------------------------------------------------------------------------

    def encode_window(self, frames: np.ndarray | None, waveform: np.ndarray | None) -> AV:
        """Whitened latents of one window.

        Args:
            frames: uint8 [t h w 3], or None.
            waveform: float [n] in [-1, 1], or None.

        Returns:
            Latents [1 ...] of each stream; None for a stream that was None.
        """
        return self.encode_windows([AV(frames, waveform)])

    def encode_windows(self, windows: Sequence[AV]) -> AV:
        """Whitened latents [b ...] of several windows of the same streams; see `encode_window`."""
        x = y = None
        device = self._execution_device
        if windows[0].video is not None:
            frames = torch.from_numpy(np.stack([one.video for one in windows])).to(device)
            x = rearrange(frames, "b t h w c -> b c t h w").float() / 127.5 - 1
        if windows[0].audio is not None:
            y = torch.from_numpy(np.stack([one.audio for one in windows])).to(device)
        return self.codec.whiten(self.codec.encode(x, y)).map(lambda z: None if z is None else z.float())

    # --- prompts -------------------------------------------------------------------------------------------------------

    def guidance_conditions(
        self, prompt: str, negative_prompt: str | None, task: Task, label: int = NO_LABEL
    ) -> tuple[Condition, Condition | None]:
        """The condition and the null condition of classifier-free guidance.

        Args:
            prompt: the text prompt; empty: none.
            negative_prompt: replaces the empty prompt in the null condition; None: the model's own.
            task: which streams are generated.
            label: index of the class.

        Returns:
            (condition, null condition). The latter is None where there is no text to guide by.
        """
        if not self.accepts_text:
            device = self._execution_device
            condition = Condition.empty(task.value.map(lambda g: torch.full((1,), g, device=device)))
            if label != NO_LABEL:
                condition = dataclasses.replace(condition, labels=torch.tensor([label], device=device))
            return condition, None
        condition = self.prompt_condition(prompt, task)
        negative_prompt = self.options["negative_prompt"] if negative_prompt is None else negative_prompt
        if not prompt and not negative_prompt:
            return condition, None
        return condition, self.prompt_condition(negative_prompt, task) if negative_prompt else condition.without_text()

    def prompt_condition(self, prompt: str, task: Task) -> Condition:
        """The condition of one prompt, with a pooled embedding where the text encoder has one."""
        device = self._execution_device
        text, mask = self.text_encoder([prompt])
        pooled = self.text_encoder.pooled([prompt]).to(device) if hasattr(self.text_encoder, "pooled") else None
        return Condition(text.to(device), mask.to(device), AV(None, None), pooled).for_task(task)

    def _embedded_conditions(self, request: Request, index: int, task: Task) -> tuple[Condition, Condition | None]:
        """The condition and the null condition of prompt number `index` from `prompt_embeds` of the request."""
        device = self._execution_device

        def select(text: Tensor, mask: Tensor | None, pooled: Tensor | None) -> Condition:
            text = text[index : index + 1].to(device)
            mask = torch.ones(text.shape[:2], dtype=torch.bool, device=device) if mask is None else mask[index : index + 1].bool()
            pooled = None if pooled is None else pooled[index : index + 1].to(device)
            return Condition(text, mask.to(device), AV(None, None), pooled).for_task(task)

        assert request.prompt_embeds is not None
        condition = select(request.prompt_embeds, request.prompt_attention_mask, request.pooled_prompt_embeds)
        if request.negative_prompt_embeds is None:
            return condition, condition.without_text()
        return condition, select(
            request.negative_prompt_embeds, request.negative_prompt_attention_mask, request.negative_pooled_prompt_embeds
        )


class ConditioningCache:
    """Latents of the windows of the conditioning streams. A window that several clips share is encoded once.

    Args:
        encode_windows: see `EncodingMixin.encode_windows`.
        sources: the windows of each input clip.
        batch_size: windows that are encoded at once.
    """

    def __init__(self, encode_windows: Callable[[Sequence[AV]], AV], sources: Sequence[ConditioningWindows], batch_size: int):
        self.encode_windows, self.sources, self.batch_size = encode_windows, sources, batch_size
        self._latents: dict[tuple[int, int], AV] = {}

    def get(self, keys: Sequence[tuple[int, int]]) -> list[AV]:
        """Latents [1 ...] of windows.

        Args:
            keys: (index of the input clip, index of the window) of each window.
        """
        missing = list(dict.fromkeys(key for key in keys if key not in self._latents))
        for first in range(0, len(missing), self.batch_size):
            part = missing[first : first + self.batch_size]
            latents = self.encode_windows([self.sources[clip].window(window) for clip, window in part])
            for row, key in enumerate(part):
                self._latents[key] = latents.map(lambda z, row=row: None if z is None else z[row : row + 1])
        return [self._latents[key] for key in keys]


def caller_noise(latents: Any, num_clips: int, num_windows: int, device: torch.device) -> list[AV] | None:
    """The noise of each clip that the caller passed as `latents`.

    Args:
        latents: a pair (video, audio) or a dict of two tensors [n ...], or None.
        num_clips: number of clips.
        num_windows: number of windows of all clips.
        device: device of the result.

    Returns:
        A pair [1 ...] for each clip, or None where `latents` is None.

    Raises:
        ValueError: a pair for another number of clips, or clips of several windows.
    """
    if latents is None:
        return None
    pair = AV(*(latents.values() if isinstance(latents, dict) else latents))
    if any(len(x) != num_clips for x in pair):
        raise ValueError(
            f"latents: {[len(x) for x in pair]} for {num_clips} clips: expected unit noise (video, audio), one for each clip"
        )
    if num_windows != num_clips:
        raise ValueError("latents: noise can only be passed for clips of one window: leave it out, or pass a shorter clip")
    return [pair.map(lambda x, i=i: x[i : i + 1].float().to(device)) for i in range(num_clips)]
