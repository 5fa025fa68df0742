"""How sure a number is and whether two differ: intervals over clips or raters, paired tests, effect sizes, many comparisons."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Real
from scipy import stats


class Interval(NamedTuple):
    """A value and the interval round it. method, resamples, seed: how it was made; resamples 0 where none were drawn."""

    value: float
    low: float
    high: float
    level: float | int
    method: str
    resamples: int = 0
    seed: int | None = None


class Difference(NamedTuple):
    """A mean difference of two systems on the same clips: its interval, and p of no difference under exchange of the two."""

    value: float
    low: float
    high: float
    level: float | int
    p: float
    pairs: int
    resamples: int
    seed: int


class SignedRank(NamedTuple):
    """Wilcoxon's test of paired values, with all that its p depends on.

    statistic, p: as scipy gives them; 0 and 1 where no pair differs. effect: matched-pairs rank-biserial correlation in [-1, 1],
    above zero where the first is larger. pairs, nonzero: all pairs, and those that differ. method: "exact" or "asymptotic".
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
    """The mean of one value per clip (or rater) and its interval.

    method: bootstrap with correction for bias and skew (Efron 1987), by percentiles, reversed percentiles, or Student's t. Where
    all values are equal there is nothing to resample and the interval is that value.

    Raises:
        ValueError: fewer than two values, or NaN among them.
    """
    values = _finite(values, "values", 2)
    _level(level)
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
    """Mean of first - second over the same clips: bootstrap interval (BCa), and p by exchanging the two of a pair at random.

    All 2^n exchanges are tried where they are no more than `resamples`; else p counts the value itself, so that it is never 0.
    """
    difference = _differences(first, second)
    interval = mean_interval(difference, level=level, resamples=resamples, seed=seed)
    total, count = difference.sum(), len(difference)
    if count < 31 and 2**count <= resamples:
        signs = 1 - 2 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
        p = float(np.mean(_as_far(np.abs(signs @ difference), abs(total))))
    else:
        generator = np.random.Generator(np.random.PCG64(seed))
        step = max(1, (1 << 22) // count)
        beyond = 0
        for start in range(0, resamples, step):
            signs = 1 - 2 * generator.integers(0, 2, (min(step, resamples - start), count), np.int8)
            beyond += int(_as_far(np.abs(signs @ difference), abs(total)).sum())
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

    zero_method: what becomes of equal pairs. "wilcox" drops them, which on a five-point scale, where they are many, makes p
    smaller than it should be; "pratt" ranks them and then leaves them out; "zsplit" gives half of their ranks to either side.
    correction: for continuity. The exact distribution is taken for at most 50 pairs without ties and zeros, else the normal one.

    Raises:
        ValueError: unequal numbers, or none.
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

    1 where every pair that differs has the first larger, 0 where no pair differs. Ranks are those of the test: of pairs that
    differ alone under "wilcox", with equal pairs ranked lowest otherwise; halves of zeros on either side ("zsplit") take nothing
    from the difference and count in the sum.
    """
    difference = _differences(first, second, least=1)
    if zero_method == "wilcox":
        difference = difference[difference != 0]
    ranks = stats.rankdata(np.abs(difference)) if len(difference) else np.zeros(0)
    counted = ranks.sum() if zero_method == "zsplit" else ranks[difference != 0].sum()
    return float((np.sign(difference) * ranks).sum() / counted) if counted else 0.0


def holm(p: Sequence[float] | Float[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
    """p values corrected for their number (Holm 1979): below a level with the chance of any false one below that level.

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


def opinion(
    ratings: Sequence[Real[np.ndarray, "_"]], *, level: float | int = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[Interval, Interval]:
    """The mean opinion score from each rater's ratings, with its t and its bootstrap interval (percentile) over raters.

    The score is the mean of raters' means: ratings of one rater are not independent, so raters are what is drawn, and a rater who
    answered more does not count more.

    Raises:
        ValueError: fewer than two raters, or one without ratings.
    """
    means = np.array([_finite(own, "ratings", 1).mean() for own in ratings])
    t = mean_interval(means, level=level, method="t")
    return t, mean_interval(means, level=level, method="percentile", resamples=resamples, seed=seed)


def _differences(first: np.ndarray, second: np.ndarray, least: int = 2) -> np.ndarray:
    first, second = _finite(first, "first", least), _finite(second, "second", least)
    if len(first) != len(second):
        raise ValueError(f"pairs: got {len(first)} and {len(second)} values; expected a partner for each")
    difference = first - second
    # Means of ratings are sums of thirds and fifths: what rounding alone sets apart is equal.
    near = np.abs(difference) <= 1e-12 * np.maximum(np.abs(first), np.abs(second))
    return np.where(near, 0.0, difference)


def _as_far(totals: np.ndarray, total: float) -> np.ndarray:
    """Which are at least as large, rounding forgiven."""
    return totals >= total * (1 - 1e-12)


def _finite(values: np.ndarray, name: str, least: int) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) < least:
        raise ValueError(f"{name}: got shape {values.shape}; expected at least {least} value{'s' if least > 1 else ''}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: {int((~np.isfinite(values)).sum())} of {len(values)} are NaN or infinite; leave them out")
    return values


def _level(level: float | int) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level={level}: expected a share in (0, 1), such as 0.95")
