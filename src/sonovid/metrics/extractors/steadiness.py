"""How much colours change from frame to frame, whatever moves: what VBench calls temporal flickering. No network is involved."""

import numpy as np

from sonovid.metrics.base import Arrays, Extractor, Material, Reading
from sonovid.metrics.extractors.peaks import pictures_of


class Steadiness(Extractor):
    """`change` [t - 1]: the mean absolute difference of neighbouring frames over all pixels and channels, in [0, 255]."""

    name = "steadiness"
    what = "mean absolute difference of neighbouring frames"
    reading = Reading(video=True, streamed=True)

    def prepare(self, material: Material) -> Arrays:
        frames, _ = pictures_of(material, 2)
        changes: list[float] = []
        before: np.ndarray | None = None
        for frame in frames:
            now = frame.astype(np.int16)
            if before is not None:
                changes.append(float(np.abs(now - before).mean()))
            before = now
        return {"change": np.array(changes)}
