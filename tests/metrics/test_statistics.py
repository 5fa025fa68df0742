import itertools

import numpy as np
import pytest
from references import arithmetic
from scipy import stats

from sonovid.metrics.statistics import (
    holm,
    mean_interval,
    mean_opinion_score,
    paired_difference,
    rank_biserial,
    wilcoxon,
)

RNG = np.random.default_rng(9)
VALUES = RNG.exponential(size=40)


def test_wilcoxon_agrees_with_known_numbers():
    known = arithmetic()["wilcoxon"]
    rng = np.random.default_rng(41)
    a = rng.integers(1, 6, 140)
    b = np.clip(a + rng.integers(-1, 3, 140), 1, 5)
    for method in ("wilcox", "pratt", "zsplit"):
        for correction in (False, True):
            found, wanted = (
                wilcoxon(a, b, zero_method=method, correction=correction),
                known[f"{method}_corr{correction}_asymptotic"],
            )
            np.testing.assert_allclose([found.statistic, found.p], [wanted["W"], wanted["p"]], rtol=1e-9)
            assert found.pairs - found.nonzero == known["n_zero_diffs"]
    means = wilcoxon(a.reshape(14, 10).mean(1), b.reshape(14, 10).mean(1))
    wanted = known["per_rater_means_default"]
    np.testing.assert_allclose([means.statistic, means.p, means.pairs], [wanted["W"], wanted["p"], wanted["n"]])
    exact = np.array(known["exact_no_ties"]["d"])
    assert wilcoxon(exact, 0 * exact).p == pytest.approx(known["exact_no_ties"]["p"])
    assert wilcoxon(exact, 0 * exact, alternative="greater").p == pytest.approx(known["exact_no_ties_greater"]["p"])


def test_wilcoxon_is_exact_where_it_can_be():
    """All 2^6 signs, by hand."""
    d = np.array([1.5, -0.5, 2.0, 3.0, -1.0, 4.0])
    ranks = stats.rankdata(np.abs(d))
    sums = [ranks[list(signs)].sum() for signs in itertools.product([False, True], repeat=6)]
    low = min(ranks[d > 0].sum(), ranks[d < 0].sum())
    found = wilcoxon(d, np.zeros(6))
    assert found.method == "exact"
    assert found.p == pytest.approx(2 * np.mean(np.array(sums) <= low))
    assert found.effect == pytest.approx((ranks[d > 0].sum() - ranks[d < 0].sum()) / 21)


def test_pairs_that_are_all_equal_are_no_evidence():
    found = wilcoxon(VALUES, VALUES)
    assert (found.p, found.effect, found.nonzero) == (1.0, 0.0, 0)
    # Means of thirds differ by rounding alone.
    assert wilcoxon(np.array([0.1 + 0.2, 1.0]), np.array([0.3, 2.0])).nonzero == 1


def test_the_effect_says_which_and_how_much():
    assert rank_biserial(VALUES + 1, VALUES) == 1
    assert rank_biserial(VALUES, VALUES + 1) == -1
    first, second = np.array([2, 1, 1, 5]), np.array([1, 1, 3, 1])
    assert rank_biserial(first, second, zero_method="wilcox") == pytest.approx((1 + 3 - 2) / 6)
    assert rank_biserial(first, second, zero_method="pratt") == pytest.approx((2 + 4 - 3) / 9)
    assert rank_biserial(first, second, zero_method="zsplit") == pytest.approx((2 + 4 - 3) / 10)


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.6, 0.7]), [1, 1])
    np.testing.assert_allclose(holm([0.2]), [0.2])
    assert len(holm([])) == 0
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        holm([1.2])


@pytest.mark.parametrize("method", ["bca", "percentile", "basic", "t"])
def test_intervals_hold_the_mean_narrow_with_more_and_go_by_seed(method):
    found = mean_interval(VALUES, method=method)
    assert found.low < found.value < found.high
    assert found == mean_interval(VALUES, method=method)
    wide = mean_interval(VALUES, method=method, level=0.99)
    assert wide.high - wide.low > found.high - found.low
    quarter = mean_interval(np.tile(VALUES, 4), method=method)
    assert 1.7 < (found.high - found.low) / (quarter.high - quarter.low) < 2.5


def test_intervals_cover_as_often_as_they_say():
    held = [mean_interval(RNG.standard_normal(25), resamples=300, method="percentile") for _ in range(200)]
    assert 0.87 <= np.mean([low <= 0 <= high for _, low, high, *_ in held]) <= 0.98


def test_values_all_alike_have_an_interval_of_no_width():
    assert mean_interval(np.full(5, 3.0))[:3] == (3.0, 3.0, 3.0)


def test_exchanges_are_all_tried_where_they_are_few():
    first, second = np.array([3.0, 1, 4, 1, 5]), np.array([2.0, 0, 6, 0, 1])
    d = first - second
    sums = [abs(np.dot(signs, d)) for signs in itertools.product([-1, 1], repeat=5)]
    assert paired_difference(first, second).p == pytest.approx(np.mean(np.array(sums) >= abs(d.sum())))


def test_a_difference_is_seen_and_none_is_not_made_up():
    noise = RNG.standard_normal(60)
    far, near = paired_difference(VALUES[:40] + 0.5, VALUES), paired_difference(noise, np.zeros(60), resamples=500)
    assert far.p < 0.001
    assert far.low == far.value == far.high
    assert near.low < near.value < near.high
    assert (near.p > 0.05) == (abs(noise.mean() / noise.std(ddof=1) * np.sqrt(60)) < 2)
    assert paired_difference(noise, np.zeros(60), resamples=500) == near
    # Systems on the same clips are told apart by what differs, however much the clips differ among themselves.
    clips = 100 * RNG.standard_normal(50)
    assert paired_difference(clips + 1 + 0.1 * RNG.standard_normal(50), clips).p < 0.001


def test_opinions_are_means_over_raters():
    ratings = [np.array([5, 5, 5, 5]), np.array([3]), np.array([4, 2])]
    t, drawn = mean_opinion_score(ratings)
    assert t.value == drawn.value == pytest.approx(11 / 3)
    half = stats.t.ppf(0.975, 2) * np.std([5, 3, 3], ddof=1) / np.sqrt(3)
    np.testing.assert_allclose([t.low, t.high], [11 / 3 - half, 11 / 3 + half])
    assert 3 <= drawn.low <= drawn.high <= 5


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda: mean_interval(VALUES[:1]), "at least 2 values"),
        (lambda: mean_interval(VALUES * np.nan), "40 of 40 are NaN"),
        (lambda: mean_interval(VALUES, level=95), r"level=95: expected a number in \(0, 1\)"),
        (lambda: mean_interval(VALUES, method="normal"), "bca, percentile, basic or t"),
        (lambda: wilcoxon(VALUES, VALUES[:3]), "40 and 3 values"),
        (lambda: wilcoxon(VALUES, VALUES, zero_method="drop"), "wilcox, pratt or zsplit"),
        (lambda: mean_opinion_score([np.array([1.0]), np.zeros(0)]), "at least 1 value"),
    ],
)
def test_what_cannot_be_computed_is_refused(act, said):
    with pytest.raises(ValueError, match=said):
        act()
