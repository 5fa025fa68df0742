"""Joint audio-video models of diffusers, called like `SoundingVideoPipeline`.

Each family of models has one module with a `Family`: its `Capabilities` (known without weights), how it is loaded, and how it
generates frames and a waveform for a `Request`. `ForeignPipeline` checks the arguments of a call, prepares the inputs, and
returns `Clip`s with an exact frame rate and with video and audio of equal length.
"""

from sonovid.pipelines.foreign.base import Capabilities, Family, Request
from sonovid.pipelines.foreign.families import FAMILIES, find_family, is_foreign_model
from sonovid.pipelines.foreign.pipeline import ForeignPipeline

__all__ = ["FAMILIES", "Capabilities", "Family", "ForeignPipeline", "Request", "find_family", "is_foreign_model"]
