"""The seam between a joint audio-video pipeline of diffusers and ours: what a family can do, is asked for, and gives."""

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
    """What a family of models can do, known without weights.

    Args:
        family: its name, as its authors write it.
        since: for each task it can do, the first release of diffusers that can.
        size: default (height, width) of the pictures, in pixels; both have to be multiples of `multiple`.
        num_frames: default number of frames; the model makes `stride` * k + `offset` of them.
        seconds: shortest and longest clip that it makes at once.
        fps: default frame rate. fixed_fps: whether it makes no other.
        sample_rate: of the released weights, in samples per second; loaded weights say their own. channels: of the sound.
        num_inference_steps: default number of sampling steps.
        guidance: "both": one scale per stream; "one": one scale for both streams; "none": distilled, no guidance.
        image: whether a first frame can be given.
        example: a repository of the Hub with weights of this family.
        notes: what else a user should know, one sentence each.
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
        """The tasks that the family can do with the newest diffusers known to this package."""
        return tuple(self.since)

    def valid_num_frames(self, wanted: int) -> int:
        """The smallest number of frames that the model can make and that is no less than `wanted`."""
        steps = max(0, -(-(wanted - self.offset) // self.stride))
        least = num_frames_for(self.seconds[0], self.fps)
        made = steps * self.stride + self.offset
        return made if made >= least else self.valid_num_frames(least)

    def default_seconds(self, fps: Fraction) -> Fraction:
        """How long a clip lasts where the caller does not say."""
        return duration(self.num_frames, fps)


@dataclass(frozen=True)
class Request:
    """One clip to generate, in numbers that the model can make.

    Args:
        prompt: words; may be empty where a stream is given. negative_prompt: what guidance leads away from, or None.
        num_frames: frames to generate. fps: frames per second. size: (height, width) in pixels.
        generator: source of the noise, on the CPU.
        num_inference_steps, guidance_scale, audio_guidance_scale: None leaves the pipeline's own default.
        frames: given pictures, `num_frames` of them at this size and rate, or None.
        waveform: given sound at `sample_rate`, as long as the frames last, or None.
        image: a first frame, or None.
        after_step: called with the number of each finished step, counted from 0.
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
        """Arguments that the pipelines of diffusers name alike."""
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
        """`common`, with what pipelines with classifier-free guidance and a callback take beside it."""
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
    """Both streams of one generated clip. sample_rate: of the sound, in samples per second."""

    frames: UInt8[np.ndarray, "t h w 3"]
    waveform: Float[np.ndarray, "c n"]
    sample_rate: int


@runtime_checkable
class Family(Protocol):
    """One family of models. Its `generate` leaves out nothing that is generated, and cuts nothing: the caller does."""

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The pipelines of diffusers that an index of this family may name."""
        ...

    def load(self, folder: Path, index: Mapping[str, Any], dtype: torch.dtype | None) -> Any:
        """The pipeline of diffusers in a folder whose index names one of `classes`; nothing is fetched or run."""
        ...

    def sample_rate(self, pipe: Any) -> int:
        """Samples per second of the sound that loaded weights make."""
        ...

    def generate(self, pipe: Any, request: Request) -> Streams:
        """One clip."""
        ...


def to_uint8(frames: Any) -> UInt8[np.ndarray, "t h w 3"]:
    """Pictures in [0, 1], as arrays of diffusers have them, as bytes.

    Raises:
        ValueError: values that are not numbers.
    """
    values = np.asarray(frames, np.float32)
    if not np.isfinite(values).all():
        raise ValueError("the model gave pictures that are not numbers (NaN or infinite): load it with another dtype")
    return (values.clip(0, 1) * 255).round().astype(np.uint8)


def to_waveform(sound: Any) -> Float[np.ndarray, "c n"]:
    """A sound [c n] or [n], tensor or array, as float32 samples in [-1, 1].

    Raises:
        ValueError: values that are not numbers.
    """
    values = sound.detach().float().cpu().numpy() if isinstance(sound, torch.Tensor) else np.asarray(sound, np.float32)
    values = np.atleast_2d(values).astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("the model gave a sound that is not numbers (NaN or infinite): load it with another dtype")
    return np.ascontiguousarray(values.clip(-1, 1))
