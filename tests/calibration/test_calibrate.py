import json
from fractions import Fraction

import numpy as np
import pytest

from sonovid.calibration.calibrate import calibrate
from sonovid.calibration.features import Plan
from sonovid.metrics.base import ClipScore, Distance, Extractor, InputSpec, PairedScore, UnavailableError
from sonovid.metrics.extractors.peaks import OnsetCurve
from sonovid.metrics.synchrony import METRICS


class Brightness(Extractor):
    name = "brightness"
    input_spec = InputSpec(video=True)

    def prepare(self, sample):
        return {"features": sample.clip.frames.reshape(1, len(sample.clip.frames), -1).std(2)[:, :4].astype(float)}


class Absent(Extractor):
    name = "absent"
    input_spec = InputSpec(audio=True)

    def load(self, files, device="cpu"):
        raise UnavailableError("fetch it from its place")

    def prepare(self, sample):
        return {}


def spread(generated, reference):
    return float(((generated.mean(0) - reference.mean(0)) ** 2).sum())


def loudness(first, second):
    return float(np.abs(first["strength"].mean() - second["strength"].mean()))


TESTED = (
    Distance("fd_brightness", "test", "contrast", "lower", extractor=Brightness, distance=spread),
    PairedScore("pair_strength", "test", "strength", "lower", extractor=OnsetCurve, score=loudness),
    ClipScore("never", "test", "weights", "higher", of=Absent, to=Brightness, score=loudness),
)


def test_from_scenes_to_tables(tmp_path):
    plan = Plan(("hits",), 4, 5, seconds=Fraction(1), fps=Fraction(8), rates=(Fraction(4),), size=16)
    onsets = next(metric for metric in METRICS if metric.name == "onsets_f1")
    found = calibrate(plan, [*TESTED, onsets])
    assert found.skipped == {"never": "fetch it from its place"}
    by_place = {(one.metric, one.degradation, one.fps): one for one in found.findings}
    assert by_place["pair_strength", "events", 8.0].worst.value > 0
    assert by_place["fd_brightness", "blur", 8.0].worst.difference != 0
    assert ("fd_brightness", "noise", 8.0) not in by_place
    # An untouched sound has the onsets of itself, and one moved by 320 ms has not.
    moved = by_place["onsets_f1", "shift", 8.0]
    assert moved.clean == 1
    assert moved.worst.value < 0.7
    text = found.to_markdown()
    assert "onsets_f1" in text
    assert "- skipped: never" in text
    record = json.loads(found.to_json())
    assert record["plan"]["seconds"] == "1"
    assert len(record["findings"]) == len(found.findings)


def test_nothing_to_compute_is_one_line():
    with pytest.raises(ValueError, match="never: fetch it from its place"):
        calibrate(Plan(("hits",), 4), [TESTED[2]])
