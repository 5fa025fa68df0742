"""How to add a metric: does the sound get louder when the picture moves?

A metric has two parts. An extractor turns a clip into named arrays, which are cached by the file's hash. The metric is a
computation on these arrays, of one of five kinds (metrics/base.py). A `ClipScore` compares two arrays of the same clip. Its
confidence interval, its random baseline (the sound of another clip) and its upper bound (the reference's own value) are
computed for you.

To make it part of the package, put it into a module of src/sonovid/metrics/ that has a METRICS tuple, and name a new module in
MODULES of metrics/catalogue.py. Then `sonovid evaluate` computes it and `sonovid metrics` lists it.
"""

import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np

from sonovid import Geometry, media
from sonovid.data.scenes import render
from sonovid.metrics import sets
from sonovid.metrics.base import Arrays, ClipScore, Extractor, InputSpec, Sample, UnusableClipError
from sonovid.metrics.evaluate import evaluate

RATE = 10


class Motion(Extractor):
    """`energy` [t]: the mean absolute difference of neighbouring frames."""

    name = "motion"
    what = "mean absolute difference of neighbouring frames at 10 frames per second"
    # How the file is read: only its video, at this rate. Files are read once for all extractors that read them alike.
    input_spec = InputSpec(video=True, fps=Fraction(RATE))

    def prepare(self, sample: Sample) -> Arrays:
        if sample.clip is None or sample.clip.frames is None:
            # The clip is left out of this metric, counted, and named with this reason.
            raise UnusableClipError("it has no video")
        frames = sample.clip.frames.astype(np.float64)
        return {"energy": np.abs(np.diff(frames, axis=0, prepend=frames[:1])).mean(axis=(1, 2, 3))}


class Level(Extractor):
    """`energy` [t]: the root mean square of the sound in each tenth of a second."""

    name = "level"
    what = "root mean square of the sound in windows of 0.1 s"
    input_spec = InputSpec(audio=True, sample_rate=16000)

    def prepare(self, sample: Sample) -> Arrays:
        if sample.clip is None or sample.clip.waveform is None:
            raise UnusableClipError("it has no sound")
        samples = sample.clip.waveform[0]
        window = 16000 // RATE
        windows = samples[: len(samples) // window * window].reshape(-1, window)
        return {"energy": np.sqrt((windows.astype(np.float64) ** 2).mean(axis=1))}


def correlation(motion: Arrays, level: Arrays) -> float:
    """Pearson's correlation of motion and level; NaN where one of them is constant."""
    length = min(len(motion["energy"]), len(level["energy"]))
    a, b = motion["energy"][:length], level["energy"][:length]
    if length < 3 or a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


METRIC = ClipScore(
    "motion_level_correlation",
    "example",
    "correlation of motion and loudness over time",
    "higher",
    of=Motion,
    to=Level,
    score=correlation,
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(6):
            clip = render("hits", seed, Geometry(num_frames=40, fps=Fraction(RATE), height=64, width=64, sample_rate=16000))
            media.write(Path(folder, f"{seed}.mp4"), clip)
        result = evaluate(sets.open_set(folder), None, [METRIC])[METRIC.name]
    print(
        f"{result.name}: {result.value:.2f}, 95 % {result.low:.2f} to {result.high:.2f}; another clip's sound: {result.floor:.2f}"
    )


if __name__ == "__main__":
    main()
