"""Joint audio-video pipelines of diffusers behind the calls of `SoundingVideoPipeline`.

Each family is one file with a `Family`: what it can do (`Capabilities`, no weights needed), how it is loaded, and how one
`Request` becomes frames and a waveform. `ForeignPipeline` checks the call, prepares what is given, and returns `Clip`s with an
exact frame rate and with pictures and sound of equal length.
"""

from sonovid.pipelines.foreign.base import Capabilities, Family, Request
from sonovid.pipelines.foreign.families import FAMILIES, find_family, is_foreign_model
from sonovid.pipelines.foreign.pipeline import ForeignPipeline

__all__ = ["FAMILIES", "Capabilities", "Family", "ForeignPipeline", "Request", "family_of", "reads"]
