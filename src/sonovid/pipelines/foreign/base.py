"""The interface of a model family of diffusers: its capabilities, its requests, and what it returns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8

from sonovid.core.av import Task
from sonovid.core.geometry import duration
from sonovid.pipelines.windows import num_frames_for


@dataclass(frozen=True)
class Capabilities:
    """What a family of models supports, known without weights.

    Args:
        family: its name, as its authors write it.
        since: the supported tasks, each with the first release of diffusers that supports it.
        size: default (height, width) of the frames, in pixels.
        multiple: height and width must be multiples of this.
        num_frames: default number of frames.
        stride, offset: the model generates `stride` * k + `offset` frames.
        seconds: shortest and longest clip that it generates at once.
        fps: default frame rate.
        fixed_fps: whether it supports no other frame rate.
        sample_rate: of the released weights, in samples per second; loaded weights may differ.
        channels: of the audio.
        num_inference_steps: default number of sampling steps.
        guidance: "both": one scale per stream; "one": one scale for both streams; "none": distilled, no guidance.
        image: whether a first frame can be passed.
        example: a repository of the Hub with weights of this family.
        notes: further remarks for users, one sentence each.
    """

    family: str
    since: Mapping[Task, str]
    size: tuple[int, int]
    multiple: int
    num_frames: int
    stride: int
    offset: int
    seconds: tuple[Fraction, Fraction]
    sample_rate: int
    channels: int
    num_inference_steps: int
    guidance: str
    image: bool
    example: str
    fps: Fraction = Fraction(24)
    fixed_fps: bool = False
    notes: tuple[str, ...] = ()

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks that the family supports with the newest diffusers known to this package."""
        return tuple(self.since)

    def valid_num_frames(self, wanted: int) -> int:
        """The smallest number of frames, at least `wanted`, that the model can generate."""
        steps = max(0, -(-(wanted - self.offset) // self.stride))
        least = num_frames_for(self.seconds[0], self.fps)
        number = steps * self.stride + self.offset
        return number if number >= least else self.valid_num_frames(least)

    def default_seconds(self, fps: Fraction) -> Fraction:
        """Default duration of a clip at a frame rate."""
        return duration(self.num_frames, fps)


@dataclass(frozen=True)
class Request:
    """One clip to generate, with values that the model supports.

    Args:
        prompt: the text prompt; may be empty with an input stream.
        negative_prompt: the negative prompt, or None.
        num_frames: frames to generate.
        fps: frames per second.
        size: (height, width) in pixels.
        generator: random generator of the noise, on the CPU.
        num_inference_steps, guidance_scale, audio_guidance_scale: None: the pipeline's own default.
        frames: input video, `num_frames` frames at this size and rate, or None.
        waveform: input audio at `sample_rate`, as long as the frames, or None.
        sample_rate: of `waveform`, in samples per second.
        image: a first frame, or None.
        after_step: called after each step with its index from 0.
        extra: further arguments of the family's own call.
    """

    prompt: str
    negative_prompt: str | None
    num_frames: int
    fps: Fraction
    size: tuple[int, int]
    generator: torch.Generator
    num_inference_steps: int | None = None
    guidance_scale: float | int | None = None
    audio_guidance_scale: float | int | None = None
    frames: UInt8[np.ndarray, "t h w 3"] | None = None
    waveform: Float[np.ndarray, "c n"] | None = None
    sample_rate: int = 0
    image: Any = None
    after_step: Callable[[int], None] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def common(self) -> dict[str, Any]:
        """Arguments that all pipelines of diffusers have in common."""
        height, width = self.size
        call: dict[str, Any] = {
            "prompt": self.prompt,
            "height": height,
            "width": width,
            "num_frames": self.num_frames,
            "generator": self.generator,
            "output_type": "np",
        }
        if self.num_inference_steps is not None:
            call["num_inference_steps"] = self.num_inference_steps
        return call

    @property
    def guided(self) -> dict[str, Any]:
        """`common` and the arguments of pipelines with classifier-free guidance and a callback."""
        call = self.common
        if self.negative_prompt is not None:
            call["negative_prompt"] = self.negative_prompt
        if self.guidance_scale is not None:
            call["guidance_scale"] = float(self.guidance_scale)
        if self.after_step is not None:
            after_step = self.after_step

            def callback(pipe: Any, index: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
                after_step(index)
                return {}

            call["callback_on_step_end"] = callback
        return call


@dataclass(frozen=True)
class Streams:
    """Both streams of one generated clip. `sample_rate` is in samples per second."""

    frames: UInt8[np.ndarray, "t h w 3"]
    waveform: Float[np.ndarray, "c n"]
    sample_rate: int


@runtime_checkable
class Family(Protocol):
    """One family of models. Its `generate` returns the whole output; the caller trims it."""

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names of the family's pipelines in diffusers, as `_class_name` of an index."""
        ...

    def load(self, folder: Path, index: Mapping[str, Any], dtype: torch.dtype | None) -> Any:
        """Load the pipeline of diffusers from a folder whose index names one of `classes`. Nothing is downloaded or run."""
        ...

    def sample_rate(self, pipe: Any) -> int:
        """Sample rate of the audio that the loaded weights generate."""
        ...

    def generate(self, pipe: Any, request: Request) -> Streams:
        """Generate one clip."""
        ...


def to_uint8(frames: Any) -> UInt8[np.ndarray, "t h w 3"]:
    """Convert frames in [0, 1], as diffusers returns them, to uint8.

    Raises:
        ValueError: NaN or infinite values.
    """
    values = np.asarray(frames, np.float32)
    if not np.isfinite(values).all():
        raise ValueError("the model generated frames that are not numbers (NaN or infinite): load it with another dtype")
    return (values.clip(0, 1) * 255).round().astype(np.uint8)


def to_waveform(audio: Any) -> Float[np.ndarray, "c n"]:
    """Convert audio [c n] or [n], tensor or array, to float32 in [-1, 1].

    Raises:
        ValueError: NaN or infinite values.
    """
    values = audio.detach().float().cpu().numpy() if isinstance(audio, torch.Tensor) else np.asarray(audio, np.float32)
    values = np.atleast_2d(values).astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("the model generated audio that is not numbers (NaN or infinite): load it with another dtype")
    return np.ascontiguousarray(values.clip(-1, 1))
