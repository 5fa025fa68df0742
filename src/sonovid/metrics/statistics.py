"""Statistics: confidence intervals over clips or raters, paired tests, effect sizes, and corrections for multiple comparisons."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Real
from scipy import stats


class Interval(NamedTuple):
    """A value and its confidence interval; `method`, `resamples` (0 without a bootstrap) and `seed` say how it was computed."""

    value: float
    low: float
    high: float
    level: float | int
    method: str
    resamples: int = 0
    seed: int | None = None


class Difference(NamedTuple):
    """The mean difference of two systems on the same clips, its interval, and p of a paired permutation test."""

    value: float
    low: float
    high: float
    level: float | int
    p: float
    pairs: int
    resamples: int
    seed: int


class SignedRank(NamedTuple):
    """The result of Wilcoxon's signed-rank test, with all settings that its p depends on.

    Attributes:
        statistic, p: as computed by scipy; 0 and 1 if no pair differs.
        effect: matched-pairs rank-biserial correlation in [-1, 1]; positive if the first is larger.
        pairs: the number of pairs.
        nonzero: the number of pairs that differ.
        zero_method, correction, alternative: as passed to `wilcoxon`.
        method: "exact" or "asymptotic".
    """

    statistic: float
    p: float
    effect: float
    pairs: int
    nonzero: int
    zero_method: str
    correction: bool
    alternative: str
    method: str


def mean_interval(
    values: Real[np.ndarray, "n"],
    *,
    level: float | int = 0.95,
    method: str = "bca",
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """The mean of one value per clip (or rater) and its confidence interval.

    If all values are equal the interval is that value.

    Args:
        values: one per clip.
        level: of the interval.
        method: "bca" (bias-corrected and accelerated bootstrap, Efron 1987), "percentile", "basic" (reversed percentiles), or "t"
            (Student's t).
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: fewer than two values, or NaN among them.
    """
    values = _check_finite(values, "values", 2)
    _check_level(level)
    mean = float(values.mean())
    if np.ptp(values) <= 1e-12 * np.abs(values).max():
        return Interval(mean, mean, mean, level, method)
    if method == "t":
        half = float(stats.t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
        return Interval(mean, mean - half, mean + half, level, method)
    if method not in ("bca", "percentile", "basic"):
        raise ValueError(f"method={method!r}: expected bca, percentile, basic or t")
    found = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=level,
        n_resamples=resamples,
        method={"bca": "BCa"}.get(method, method),
        batch=max(1, (1 << 22) // len(values)),
        rng=np.random.Generator(np.random.PCG64(seed)),
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high), level, method, resamples, seed)


def paired_difference(
    first: Real[np.ndarray, "n"],
    second: Real[np.ndarray, "m"],
    *,
    level: float | int = 0.95,
    resamples: int = 10000,
    seed: int = 0,
) -> Difference:
    """The mean of first - second over the same clips, with a BCa bootstrap interval and p of a paired permutation test.

    All 2^n sign flips are evaluated if they are at most `resamples`. Otherwise random ones are drawn, and p includes the observed
    value, so that it is never 0.
    """
    difference = _differences(first, second)
    interval = mean_interval(difference, level=level, resamples=resamples, seed=seed)
    total, count = difference.sum(), len(difference)
    if count < 31 and 2**count <= resamples:
        signs = 1 - 2 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
        p = float(np.mean(_at_least_as_extreme(np.abs(signs @ difference), abs(total))))
    else:
        generator = np.random.Generator(np.random.PCG64(seed))
        step = max(1, (1 << 22) // count)
        beyond = 0
        for start in range(0, resamples, step):
            signs = 1 - 2 * generator.integers(0, 2, (min(step, resamples - start), count), np.int8)
            beyond += int(_at_least_as_extreme(np.abs(signs @ difference), abs(total)).sum())
        p = (beyond + 1) / (resamples + 1)
    return Difference(interval.value, interval.low, interval.high, level, p, count, resamples, seed)


def wilcoxon(
    first: Real[np.ndarray, "n"],
    second: Real[np.ndarray, "m"],
    *,
    zero_method: str = "pratt",
    correction: bool = False,
    alternative: str = "two-sided",
) -> SignedRank:
    """Wilcoxon's signed-rank test of paired values (Wilcoxon 1945), as scipy computes it.

    The exact distribution is used for at most 50 pairs without ties and zeros, the normal approximation otherwise.

    Args:
        first, second: paired values.
        zero_method: the treatment of equal pairs. "wilcox" drops them, which makes p too small on a five-point scale with many of
            them; "pratt" ranks them and then drops them; "zsplit" splits their ranks between both sides.
        correction: apply a continuity correction.
        alternative: "two-sided", "less" or "greater".

    Raises:
        ValueError: different numbers of values, or none.
    """
    difference = _differences(first, second, least=1)
    if zero_method not in ("wilcox", "pratt", "zsplit"):
        raise ValueError(f"zero_method={zero_method!r}: expected wilcox, pratt or zsplit")
    if alternative not in ("two-sided", "less", "greater"):
        raise ValueError(f"alternative={alternative!r}: expected two-sided, less or greater")
    nonzero = int(np.count_nonzero(difference))
    ties = len(np.unique(np.abs(difference))) < len(difference)
    method = "exact" if len(difference) <= 50 and not ties and nonzero == len(difference) else "asymptotic"
    if nonzero == 0:
        return SignedRank(0.0, 1.0, 0.0, len(difference), 0, zero_method, correction, alternative, method)
    found = stats.wilcoxon(difference, zero_method=zero_method, correction=correction, alternative=alternative, method=method)
    return SignedRank(
        float(found.statistic),
        float(found.pvalue),
        rank_biserial(first, second, zero_method=zero_method),
        len(difference),
        nonzero,
        zero_method,
        correction,
        alternative,
        method,
    )


def rank_biserial(first: Real[np.ndarray, "n"], second: Real[np.ndarray, "m"], *, zero_method: str = "pratt") -> float:
    """The matched-pairs rank-biserial correlation (Kerby 2014, eq. 2): (W+ - W-) / (W+ + W-), in [-1, 1].

    1 if the first is larger in every pair that differs, 0 if no pair differs. The ranks are those of the test: "wilcox" ranks
    only the pairs that differ, the others rank equal pairs lowest. With "zsplit" the ranks of equal pairs cancel in the
    difference and count in the sum.
    """
    difference = _differences(first, second, least=1)
    if zero_method == "wilcox":
        difference = difference[difference != 0]
    ranks = stats.rankdata(np.abs(difference)) if len(difference) else np.zeros(0)
    counted = ranks.sum() if zero_method == "zsplit" else ranks[difference != 0].sum()
    return float((np.sign(difference) * ranks).sum() / counted) if counted else 0.0


def holm(p: Sequence[float] | Float[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
    """Holm's correction of p values for multiple comparisons (Holm 1979), which controls the family-wise error rate.

    Raises:
        ValueError: p outside [0, 1].
    """
    values = np.asarray(p, np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"p={values.tolist()}: expected values in [0, 1]")
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)) if len(values) else values
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(steps, 1)
    return corrected


def mean_opinion_score(
    ratings: Sequence[Real[np.ndarray, "_"]], *, level: float | int = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[Interval, Interval]:
    """The mean opinion score with its t interval and its percentile bootstrap interval over raters.

    The score is the mean of the raters' means. Ratings of one rater are not independent, so raters are resampled, and a rater who
    gave more ratings does not count more.

    Args:
        ratings: the ratings of each rater.
        level: of the intervals.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: fewer than two raters, or one without ratings.
    """
    means = np.array([_check_finite(own, "ratings", 1).mean() for own in ratings])
    t = mean_interval(means, level=level, method="t")
    return t, mean_interval(means, level=level, method="percentile", resamples=resamples, seed=seed)


def _differences(first: np.ndarray, second: np.ndarray, least: int = 2) -> np.ndarray:
    first, second = _check_finite(first, "first", least), _check_finite(second, "second", least)
    if len(first) != len(second):
        raise ValueError(f"pairs: got {len(first)} and {len(second)} values; expected equal numbers")
    difference = first - second
    # Means of ratings are sums of thirds and fifths: values that differ by rounding only are equal.
    near = np.abs(difference) <= 1e-12 * np.maximum(np.abs(first), np.abs(second))
    return np.where(near, 0.0, difference)


def _at_least_as_extreme(totals: np.ndarray, total: float) -> np.ndarray:
    """Which totals are at least as large, within rounding."""
    return totals >= total * (1 - 1e-12)


def _check_finite(values: np.ndarray, name: str, least: int) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) < least:
        raise ValueError(f"{name}: got shape {values.shape}; expected at least {least} value{'s' if least > 1 else ''}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: {int((~np.isfinite(values)).sum())} of {len(values)} are NaN or infinite; remove them")
    return values


def _check_level(level: float | int) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level={level}: expected a number in (0, 1), such as 0.95")
