"""Frame differences, for VBench's temporal flickering. No network is involved."""

import numpy as np

from sonovid.metrics.base import Arrays, Extractor, InputSpec, Sample
from sonovid.metrics.extractors.peaks import iterate_frames


class Steadiness(Extractor):
    """`change` [t - 1]: the mean absolute difference of consecutive frames over pixels and channels, in [0, 255]."""

    name = "steadiness"
    what = "mean absolute difference of consecutive frames"
    input_spec = InputSpec(video=True, streamed=True)

    def prepare(self, sample: Sample) -> Arrays:
        frames, _ = iterate_frames(sample, 2)
        changes: list[float] = []
        before: np.ndarray | None = None
        for frame in frames:
            now = frame.astype(np.int16)
            if before is not None:
                changes.append(float(np.abs(now - before).mean()))
            before = now
        return {"change": np.array(changes)}
