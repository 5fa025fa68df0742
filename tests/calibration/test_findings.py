import math
from fractions import Fraction

import numpy as np
import pytest

from sonovid.calibration.degradations import DEGRADATIONS
from sonovid.calibration.features import Condition, ConditionFeatures, Plan
from sonovid.calibration.findings import compute_findings, estimate_offset_errors
from sonovid.metrics.base import ClipScore, Distance, Extractor, InputSpec, PairedScore


class Sound(Extractor):
    name = "sound"
    input_spec = InputSpec(audio=True)

    def prepare(self, sample):
        raise AssertionError


class Picture(Extractor):
    name = "picture"
    input_spec = InputSpec(video=True)

    def prepare(self, sample):
        raise AssertionError


PLAN = Plan(("hits", "bounces"), 8, seconds=Fraction(1), fps=Fraction(8), rates=(Fraction(4),))


@pytest.fixture(scope="module")
def features():
    """Sounds known by how late they are, and how noisy; pictures by how blurred; every clip is a little different."""
    features = ConditionFeatures(PLAN)
    generator = np.random.Generator(np.random.PCG64(0))
    for i in range(16):
        own, style = generator.normal(0, 10), generator.normal(0, 1)

        def sound(late=0.0, noise=0.0, own=own, style=style, i=i):
            return {"late": np.array(late + own), "noise": np.array(noise), "features": np.array([style + noise]), "id": i}

        clean = Condition(PLAN.fps)
        features.put(clean, Sound, i, sound())
        for rate in (PLAN.fps, Fraction(4)):
            features.put(Condition(rate), Picture, i, {"blur": np.array(0.0), "id": i})
        for one in DEGRADATIONS:
            for place, degree in enumerate(one.degrees):
                at = Condition(PLAN.fps, one.name, degree)
                if one.name == "shift":
                    features.put(at, Sound, i, sound(late=degree))
                if one.name == "noise":
                    features.put(at, Sound, i, sound(noise=1.0 + place))
                if one.name == "blur":
                    features.put(at, Picture, i, {"blur": np.array(float(degree)), "id": i})
        features.reference[Sound, i] = {"features": np.array([generator.normal(0, 1)])}
    return features


def alignment(sound, picture):
    return -abs(float(sound["late"])) / 100 if sound["id"] == picture["id"] else -5.0


GOOD = ClipScore("good", "test", "a score that falls with distance", "higher", of=Sound, to=Picture, score=alignment)


def found(metric, features, name, fps=8):
    return next(one for one in compute_findings(metric, features, draws=100) if one.degradation == name and one.fps == fps)


def test_a_good_metric_responds_in_order(features):
    one = found(GOOD, features, "shift")
    assert one.verdict == "yes"
    assert one.order > 0.95
    assert one.worst.degree == 320
    assert one.worst.difference == pytest.approx(-3.2, abs=0.2)
    assert one.worst.low < one.worst.difference < one.worst.high < 0
    # The spread of both sides is alike to a few tenths, and pooled.
    assert one.worst.effect == pytest.approx(one.worst.difference / one.spread, rel=0.5)
    assert one.worst.effect < -10
    assert found(GOOD, features, "shift", 4).verdict == found(GOOD, features, "swap").verdict == "yes"


def test_no_response_is_said(features):
    for name in ("noise", "blur", "fps"):
        one = found(GOOD, features, name)
        assert (one.verdict, one.responds, one.worst.difference, one.order) == ("no", False, 0, 0)


def test_a_metric_that_is_the_wrong_way_round(features):
    wrong = ClipScore("wrong", "test", "falls", "lower", of=Sound, to=Picture, score=alignment)
    assert found(wrong, features, "shift").verdict == "reversed"


def test_a_signed_offset_follows_the_movement(features):
    metric = ClipScore("lag", "test", "ms", "zero", unit="ms", of=Sound, to=Picture, score=lambda s, p: float(s["late"]))
    one = found(metric, features, "shift")
    assert one.order == 1
    assert [round(level.difference) for level in one.levels] == list(DEGRADATIONS[0].degrees)
    for row in estimate_offset_errors(metric, features):
        assert abs(row.bias) < 10
        assert 0 < row.spread < 15
        assert (row.near, row.defined) == (1, 1)
    assert {row.world for row in estimate_offset_errors(metric, features)} == {"hits", "bounces", "all"}


def test_distances_of_sets(features):
    def distance(generated, reference):
        return float((generated.mean() - reference.mean()) ** 2)

    metric = Distance("apart", "test", "means", "lower", extractor=Sound, distance=distance)
    one = found(metric, features, "noise")
    assert one.verdict == "yes"
    assert one.worst.effect > 3
    # Pictures are not looked at, and exchanging sounds leaves the set as it is.
    assert {finding.degradation for finding in compute_findings(metric, features, draws=20)} == {
        "shift",
        "events",
        "noise",
        "codec",
    }


def test_pairs_are_compared_with_the_untouched_clip(features):
    metric = PairedScore("same", "test", "late", "lower", extractor=Sound, score=lambda a, b: abs(float(a["late"] - b["late"])))
    one = found(metric, features, "shift")
    assert (one.clean, one.levels[-1].value, one.verdict) == (0, 320, "yes")
    # Nothing varies between untouched clips, so that there is nothing to measure an effect by.
    assert math.isnan(one.worst.effect)


def test_undefined_clips_are_counted_and_left_out(features):
    metric = ClipScore(
        "some", "test", "half", "higher", of=Sound, to=Picture, score=lambda s, p: float("nan") if s["id"] % 2 else 1.0
    )
    one = found(metric, features, "shift")
    assert (one.defined, one.clean, one.worst.defined) == (8, 1, 8)


def test_plain_values(features):
    record = found(GOOD, features, "shift").to_record()
    assert record["verdict"] == "yes"
    assert len(record["levels"]) == 8
