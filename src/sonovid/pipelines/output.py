"""SoundingVideoOutput: the result of every pipeline, of this package and of diffusers."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from diffusers.utils import BaseOutput

from sonovid.core.av import AV
from sonovid.core.clip import Clip


@dataclass
class SoundingVideoOutput(BaseOutput):
    """The result of a pipeline. Fields are accessed by attribute, by name (`out["clips"]`), or by index among those that are set.

    Args:
        clips: frames and waveform of each clip; an input stream is the one that was passed.
        frames: float [b t h w 3] in [0, 1] as numpy array, [b t 3 h w] as tensor, or a list of PIL images for each clip.
        audio: float [b c n] in [-1, 1].
        latents: final latents, AV of [b c t h w] and [b c l f], the windows of a long clip concatenated on the time axis.
        seeds: seed of each clip, None where the caller passed a generator.
        sampling_rate: of the audio, in samples per second.
        fps: frames per second, exactly.
    """

    clips: list[Clip] | None = None
    frames: Any = None
    audio: Any = None
    latents: AV | None = None
    seeds: list[int | None] | None = None
    sampling_rate: int | None = None
    fps: Fraction | None = None
