"""Intervals: the fast way gives the plain way's numbers, and they hold the truth about as often as they say."""

import numpy as np
import pytest

from sonovid.metrics import resampling
from sonovid.metrics.frechet import frechet
from sonovid.metrics.kernels import kvd


def rows(seed: int, count: int, width: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, width)) * np.linspace(0.5, 2, width) + shift


@pytest.mark.parametrize(("n", "m", "d"), [(40, 60, 5), (30, 20, 50), (12, 70, 30), (25, 25, 25)])
@pytest.mark.parametrize("ddof", [0, 1])
def test_repeated_rows_are_weights(n, m, d, ddof):
    x, y = rows(0, n, d), rows(1, m, d, 0.3)
    draw = np.random.default_rng(2)
    first, second = draw.integers(0, n, n), draw.integers(0, m, m)
    weights = [np.bincount(own, minlength=size).astype(float) for own, size in ((first, n), (second, m))]
    fast = resampling.weighted_frechet(x, y, *weights, ddof=ddof)
    assert fast == pytest.approx(frechet(x[first], y[second], ddof=ddof), rel=1e-6)


def test_the_fast_way_draws_what_the_plain_way_draws():
    x, y = rows(0, 24, 60), rows(1, 20, 60, 0.2)
    clips, others = np.arange(24) // 2, np.arange(20) // 2
    options = {"generated_clips": clips, "reference_clips": others, "resamples": 12, "seed": 3}
    fast = resampling.bootstrap_distance(1.0, frechet, x, y, **options)
    plain = resampling.bootstrap_distance(1.0, lambda a, b: frechet(a, b), x, y, **options)
    assert np.allclose(fast.draws, plain.draws, atol=1e-5)


def test_draws_lie_about_the_value_though_drawing_repeats_clips():
    x, y = rows(0, 60, 20), rows(1, 60, 20)
    value = frechet(x, y)
    found = resampling.bootstrap_distance(
        value, frechet, x, y, generated_clips=range(60), reference_clips=range(60), resamples=50
    )
    assert np.mean(found.draws) == pytest.approx(value)
    assert found.low < value < found.high


def test_the_interval_of_a_mean_holds_the_truth_nineteen_times_in_twenty():
    draw = np.random.default_rng(5)
    held = 0
    for trial in range(200):
        found = resampling.bootstrap_values(lambda v: float(np.mean(v)), draw.exponential(1.0, 50), resamples=200, seed=trial)
        held += found.low <= 1.0 <= found.high
    assert 0.88 <= held / 200 <= 0.98


def test_the_interval_of_a_kernel_distance_holds_the_truth_about_as_often():
    held, trials = 0, 16
    # The expectation of an unbiased estimate is the limit of many.
    truth = np.mean([kvd(rows(1000 + i, 300, 3), rows(5000 + i, 300, 3, 0.5)) for i in range(8)])
    for trial in range(trials):
        x, y = rows(100 + trial, 40, 3), rows(500 + trial, 40, 3, 0.5)
        found = resampling.bootstrap_distance(
            kvd(x, y), kvd, x, y, generated_clips=range(40), reference_clips=range(40), resamples=40, seed=trial
        )
        held += found.low <= truth <= found.high
    assert held / trials >= 0.8


def test_more_clips_than_are_drawn_narrow_the_spread_by_the_root_of_their_share():
    draws = np.random.default_rng(0).standard_normal(500)
    few, many = (resampling.center_draws(0.0, draws, count) for count in (resampling.MAX_CLIPS, 4 * resampling.MAX_CLIPS))
    assert many.std == pytest.approx(few.std / 2)


def test_values_that_do_not_exist_are_passed_over():
    values = np.array([1.0, np.nan, 2.0, 3.0])
    found = resampling.bootstrap_values(lambda v: float(np.nanmean(v)), values, resamples=100)
    assert 1 <= found.low <= found.high <= 3
    nothing = resampling.bootstrap_values(lambda v: float(np.nanmean(v)), np.array([np.nan, np.nan]), resamples=10)
    assert np.isnan(nothing.low)
