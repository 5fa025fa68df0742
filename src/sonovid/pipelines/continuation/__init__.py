"""Long sounding video: a clip gone on with, window by window.

    for window in go_on(pipe, "clip.mp4", seconds=20):
        pieces.add(window.clip.frames, window.clip.waveform)     # media.streaming

go_on       the windows, each made from the one before; memory does not grow with the length
Manner      words, guidance, what is handed from window to window
Window      what one window brought, and how it meets what came before
Drift       what the video is like window by window, and where it drifts
Join        the steps at a join beside the clip's own
"""

from sonovid.pipelines.continuation.crossfade import CrossfadeReport
from sonovid.pipelines.continuation.drift import DriftReport
from sonovid.pipelines.continuation.extension import Chunk, ContinuationSettings, extend

__all__ = ["Chunk", "ContinuationSettings", "CrossfadeReport", "DriftReport", "extend"]
