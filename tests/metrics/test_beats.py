import math

import numpy as np
import pytest

from sonovid.metrics import beats


def test_shares_by_hand():
    found, true = [0.5, 1.0, 1.05, 3.0], [0.45, 1.02, 2.0]
    result = beats.hits(found, true, 0.1, 4.0)
    assert result.recall_any == pytest.approx(2 / 3)
    assert (result.recall, result.precision) == (pytest.approx(2 / 3), pytest.approx(2 / 4))
    assert result.f1 == pytest.approx(4 / 7)


def test_one_beat_may_serve_many_only_in_recall_any():
    result = beats.hits([1.0], [0.6, 0.8, 1.0, 1.2, 1.4], 0.5, 2.0)
    assert result.recall_any == 1
    assert (result.recall, result.precision) == (pytest.approx(0.2), 1)


def test_a_distance_of_exactly_the_tolerance_counts():
    assert beats.recall_any([1.1], [1.0], 0.1) == 1
    assert beats.recall_any([1.11], [1.0], 0.1) == 0


def test_nothing_to_divide_by_is_undefined():
    none = beats.hits([], [], 0.1, 1.0)
    assert all(math.isnan(value) for value in none)
    silent = beats.hits([], [0.5], 0.1, 1.0)
    assert (silent.recall_any, silent.recall, silent.chance) == (0, 0, 0)
    assert math.isnan(silent.precision)


@pytest.mark.parametrize("tolerance", [0.05, 0.1, 0.3, 0.5])
def test_chance_is_the_mean_over_phases(tolerance):
    period, seconds = 0.5, 10.0
    true = np.array([0.02, 0.7, 1.9, 4.4, 9.97])
    simulated = []
    for phase in np.linspace(0, period, 2000, endpoint=False):
        train = np.arange(phase, seconds, period)
        simulated.append(beats.recall_any(train, true, tolerance))
    found = np.arange(0.13, seconds, period)
    assert beats.chance(found, true, tolerance, seconds) == pytest.approx(np.mean(simulated), abs=2e-3)


def test_chance_at_120_beats_a_minute():
    train = np.arange(0.25, 30, 0.5)
    assert beats.chance(train, train, 0.1, 30.0) == pytest.approx(0.4, abs=0.01)
    assert beats.chance(train, train, 0.5, 30.0) == 1


def test_seconds_with_onsets():
    true, found = np.array([1, 0, 1, 1]), np.array([1, 1, 0, 1])
    assert (beats.coverage(found, true), beats.hit_seconds(found, true)) == (1, pytest.approx(2 / 3))
    assert beats.coverage(np.ones(5), true) == pytest.approx(5 / 3)
    assert beats.hit_seconds(np.ones(2), true) == pytest.approx(1 / 3)
    assert math.isnan(beats.coverage(found, np.zeros(4)))
    assert math.isnan(beats.hit_seconds(found, np.zeros(4)))
