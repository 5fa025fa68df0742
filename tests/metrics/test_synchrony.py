import math

import numpy as np
import pytest

from sonovid.metrics.base import ClipScore, PairedScore
from sonovid.metrics.synchrony import METRICS

BY_NAME = {metric.name: metric for metric in METRICS}
FACTS = {"clips": 10, "seconds": 10.0, "fps": 10.0, "size": (64, 64), "sample_rate": 16000}
SOUND = {"times": np.array([0.5, 1.0, 2.0]), "onsets": np.array([0.45, 1.0, 3.0]), "seconds": np.array([4.0])}
PICTURE = {
    "times": np.array([0.5, 2.1, 3.0, 3.5]),
    "heights": np.array([1.0, 1.0, 0.05, 1.0]),
    "energy": np.where(np.isin(np.arange(40), [5, 10]), 0.5, 0.0),
    "fps": np.array([10.0]),
    "seconds": np.array([4.0]),
}


def test_names_are_unique_and_every_metric_is_described():
    assert len(BY_NAME) == len(METRICS)
    for metric in METRICS:
        assert metric.what
        assert metric.name.startswith(("av_align", "beats", "motion_onsets", "onsets", "offset"))


def test_values_by_hand():
    def value(name):
        return BY_NAME[name].score(SOUND, PICTURE)

    # 0.5 has its partner; 2.0 and 2.1 are one frame apart, which is too far.
    assert (value("av_align_precision"), value("av_align_recall")) == (pytest.approx(1 / 3), pytest.approx(1 / 4))
    p, r = 1 / 3, 1 / 4
    assert value("av_align_sony") == pytest.approx(p * r / (p + r - p * r))
    assert value("av_align_tempotokens2025") == pytest.approx(1 / (3 + 3 - 1))
    assert value("av_align_tempotokens2023") == pytest.approx(1 / (3 + 4 - 1))
    assert value("motion_onsets_f1") == pytest.approx(2 * 2 / (3 + 2))
    assert BY_NAME["onsets_f1"].score(SOUND, {"onsets": np.array([1.05])}) == pytest.approx(2 / 4)


def test_nothing_to_compare_is_undefined_where_the_form_says_so():
    empty = {"times": np.zeros(0), "onsets": np.zeros(0), "heights": np.zeros(0), "energy": np.zeros(9), "fps": np.array([10.0])}
    assert BY_NAME["av_align_sony"].score(empty, empty) == 0
    for name in ("av_align_precision", "av_align_recall", "av_align_tempotokens2025", "motion_onsets_f1", "onsets_f1"):
        assert math.isnan(BY_NAME[name].score(empty, empty)), name


def test_offsets_are_in_milliseconds_and_positive_where_the_sound_is_late():
    frames = np.arange(100)
    picture = {
        "impacts": np.isin(frames, [20, 47, 61]) * 1.0,
        "energy": np.isin(frames, [21, 48, 62]) * 1.0,
        "fps": np.array([25.0]),
        "seconds": np.array([4.0]),
    }
    moments = np.arange(800) * 0.005
    for late in (-0.12, 0.0, 0.2):
        strength = sum(np.exp(-(((moments - frame / 25 - late) / 0.01) ** 2)) for frame in (20, 47, 61))
        sound = {"moments": moments, "strength": strength, "seconds": np.array([4.0])}
        assert BY_NAME["offset"].score(sound, picture) == pytest.approx(1000 * late, abs=5)
        assert BY_NAME["offset_abs"].score(sound, picture) == pytest.approx(1000 * abs(late), abs=5)
        # What changes between frames 20 and 21 has happened half a frame later than what ends in frame 20.
        assert BY_NAME["offset_by_motion"].score(sound, picture) == pytest.approx(1000 * late - 20, abs=5)
        assert BY_NAME["offset_confidence"].score(sound, picture) > 0.5
    still = {**picture, "impacts": np.zeros(100)}
    assert math.isnan(BY_NAME["offset"].score(sound, still))
    assert BY_NAME["offset_confidence"].score(sound, still) == 0
    assert BY_NAME["offset"].summary(np.array([40.0, np.nan, 50.0, 900.0])) == 50


def test_offsets_warn_of_frames_too_far_apart():
    assert "8 frames" in BY_NAME["offset"].warn({**FACTS, "fps": 8.0})
    assert not BY_NAME["offset"].warn({**FACTS, "fps": 25.0})


def test_beats_of_a_piece_against_itself_and_against_another():
    train = np.arange(0.2, 10, 0.5)
    own = {"beats": train, "bins": np.ones(10), "seconds": np.array([10.0])}
    other = {"beats": train + 0.2, "bins": np.ones(10), "seconds": np.array([10.0])}
    assert BY_NAME["beats_100ms"].score(own, own) == BY_NAME["beats_100ms_f1"].score(own, own) == 1
    assert BY_NAME["beats_100ms"].score(other, own) == 0
    assert BY_NAME["beats_500ms"].score(other, own) == 1
    assert BY_NAME["beats_100ms_above_chance"].score(own, own) == pytest.approx(0.6, abs=0.02)
    assert BY_NAME["beats_500ms_above_chance"].score(other, own) == 0


@pytest.mark.parametrize(("fps", "warned"), [(4.0, True), (8.0, True), (16.0, False), (25.0, True), (None, False)])
def test_av_align_warns_of_frame_rates_that_do_not_suit_it(fps, warned):
    assert bool(BY_NAME["av_align_sony"].warn({**FACTS, "fps": fps})) == warned


def test_beats_warn_of_short_clips():
    assert "1.6 s" in BY_NAME["beats_100ms"].warn({**FACTS, "seconds": 1.6})
    assert not BY_NAME["beats_100ms"].warn(FACTS)
    assert "1.6 s" in BY_NAME["beats_500ms"].warn({**FACTS, "seconds": 1.6})
    assert "the chance level is 1" in BY_NAME["beats_500ms"].warn(FACTS)


def test_kinds():
    assert isinstance(BY_NAME["av_align_sony"], ClipScore)
    assert isinstance(BY_NAME["beats_100ms"], PairedScore)
