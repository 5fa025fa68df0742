"""Extend sounding videos beyond one window, chunk by chunk.

    for chunk in extend(pipe, "clip.mp4", seconds=20):
        writer.add(chunk.clip.frames, chunk.clip.waveform)     # media.open_writer

extend                  iterates over the chunks; each window is conditioned on the one before; memory use is constant
ContinuationSettings    prompt, guidance, overlap, and how a window is conditioned on the one before
Chunk                   the frames and audio that one window adds, and how it joins what came before
CrossfadeReport         discontinuities at the join of two windows
DriftReport             statistics of each window, and which of them drift
"""

from typing import Any

from sonovid.core import renamed
from sonovid.pipelines.continuation.crossfade import CrossfadeReport
from sonovid.pipelines.continuation.drift import DriftReport
from sonovid.pipelines.continuation.extension import Chunk, ChunkIterator, ContinuationSettings, extend

__all__ = ["Chunk", "ChunkIterator", "ContinuationSettings", "CrossfadeReport", "DriftReport", "extend"]


def go_on(pipe: Any, clip: Any = None, *, manner: Any = None, **options: Any) -> ChunkIterator:
    """Deprecated name of `extend`, with `manner` for `settings`."""
    renamed.warn_renamed("sonovid.pipelines.continuation.go_on", "extend")
    return extend(pipe, clip, settings=manner, **options)


def Manner(**settings: Any) -> ContinuationSettings:
    """Deprecated name of `ContinuationSettings`, with `pull` for `reconstruction_scale`."""
    renamed.warn_renamed("sonovid.pipelines.continuation.Manner", "ContinuationSettings")
    if "pull" in settings:
        settings["reconstruction_scale"] = settings.pop("pull")
    return ContinuationSettings(**settings)


__getattr__ = renamed.attributes(__name__, {"Drift": "DriftReport", "Join": "CrossfadeReport", "Window": "Chunk"})
