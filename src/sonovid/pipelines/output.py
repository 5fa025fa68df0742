"""SoundingVideoOutput: what every pipeline returns, ours and those of diffusers behind the same call."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from diffusers.utils import BaseOutput

from sonovid.core.av import AV
from sonovid.core.clip import Clip


@dataclass
class SoundingVideoOutput(BaseOutput):
    """What a pipeline returns: by attribute, by name (`out["clips"]`) or by number among what is not None (`out[0]`).

    clips: pictures and sound of each clip; what was given is in them as it was given. frames: float [b t h w 3] in [0, 1] as
    numpy array, [b t 3 h w] as tensor, or a list of PIL images for each clip. audio: float [b c n] in [-1, 1]. latents: final
    latents, AV of [b c t h w] and [b c l f], the windows of a long clip one after another on the time axis. seeds: of each clip,
    None where a generator was given. sampling_rate: of the sound, in samples per second. fps: frames per second, exactly.
    """

    clips: list[Clip] | None = None
    frames: Any = None
    audio: Any = None
    latents: AV | None = None
    seeds: list[int | None] | None = None
    sampling_rate: int | None = None
    fps: Fraction | None = None
