"""Systems side by side: which differ, and which only seem to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy.stats import norm

from sonovid.metrics.record import Differing, differences
from sonovid.metrics.results import Evaluation, Result, worth
from sonovid.metrics.statistics import holm, paired_difference, wilcoxon

# Fewer pairs than this cannot be told apart at any usual level.
LEAST = 6


@dataclass(frozen=True)
class Comparison:
    """One metric of two systems: first - second.

    p: of no difference; adjusted: the same after Holm's correction over all comparisons of the call. wilcoxon: p of the signed
    ranks, beside it, where there are pairs. test: what was done, in words. barred: why the two may not be compared, or "".
    """

    metric: str
    first: str
    second: str
    difference: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    p: float = float("nan")
    adjusted: float = float("nan")
    wilcoxon: float | None = None
    pairs: int = 0
    test: str = ""
    barred: str = ""

    def significant(self, level: float = 0.05) -> bool:
        return bool(self.adjusted < level)


@dataclass(frozen=True)
class Compared:
    """All comparisons, and what the records of the systems differ in."""

    comparisons: tuple[Comparison, ...]
    differing: tuple[Differing, ...]

    def between(self, metric: str, first: str, second: str) -> Comparison | None:
        """The comparison of two systems by a metric, either way round."""
        return next((c for c in self.comparisons if c.metric == metric and {c.first, c.second} == {first, second}), None)

    def best(self, metric: str, evaluations: Sequence[Evaluation], level: float = 0.05) -> dict[str, str]:
        """Of each system: "best", "same" where it is not told apart from the best, "" where it is worse; by title.

        Where two of them may not be compared there is no best, and all are "".
        """
        values = {one.title: goodness(r) for one in evaluations for r in one.results if r.name == metric and np.isfinite(r.value)}
        barred = any(c.barred for c in self.comparisons if c.metric == metric)
        if len(values) < 2 or barred:
            return dict.fromkeys(values, "")
        top = max(values, key=values.__getitem__)
        marks = {}
        for title in values:
            found = self.between(metric, top, title)
            marks[title] = (
                "best" if title == top else ("same" if found and not found.barred and not found.significant(level) else "")
            )
        return marks


def compare(evaluations: Sequence[Evaluation], *, seed: int = 0) -> Compared:
    """Every two systems by every metric that both have.

    Numbers made of one value per clip: mean difference over the clips that both have, with its interval and p by exchange within
    pairs. Distances and scores of sets: the difference over the standard deviation that it has under resampling, as if normal;
    from paired draws where both were drawn alike.

    Raises:
        ValueError: fewer than two systems, or two of one name.
    """
    titles = [one.title for one in evaluations]
    if len(titles) < 2 or len(set(titles)) < len(titles):
        raise ValueError(f"systems {', '.join(titles)}: expected two or more, each of its own name")
    found: list[Comparison] = []
    differing: list[Differing] = []
    for first, second in combinations(evaluations, 2):
        apart = differences(first, second)
        differing += apart
        others = {result.name: result for result in second.results}
        for result in first.results:
            if result.name not in others:
                continue
            other = others[result.name]
            bars = [
                one.line for one in apart if one.barring and (one.metric == result.name or (not one.metric and result.reference))
            ]
            if bars:
                found.append(Comparison(result.name, first.title, second.title, barred=bars[0]))
            else:
                found.append(replace(_of_two(result, other, seed), first=first.title, second=second.title))
    tested = [i for i, one in enumerate(found) if np.isfinite(one.p)]
    for i, adjusted in zip(tested, holm([found[i].p for i in tested]), strict=True):
        found[i] = replace(found[i], adjusted=float(adjusted))
    return Compared(tuple(found), tuple(dict.fromkeys(differing)))


def goodness(result: Result) -> float:
    """Larger where better."""
    return worth(result.value, result.better)


def _of_two(first: Result, second: Result, seed: int) -> Comparison:
    if first.clips and second.clips:
        shared = [n for n in first.clips if np.isfinite(first.clips[n]) and np.isfinite(second.clips.get(n, np.nan))]
        if len(shared) >= LEAST:
            return _of_pairs(first, second, shared, seed)
    return _of_draws(first, second)


def _of_pairs(first: Result, second: Result, shared: Sequence[str], seed: int) -> Comparison:
    a, b = (np.array([one.clips[name] for name in shared]) for one in (first, second))
    if first.better in ("zero", "one"):
        # How far off, whichever way.
        a, b = (np.abs(values - (first.better == "one")) for values in (a, b))
    found = paired_difference(a, b, seed=seed)
    ranks = wilcoxon(a, b)
    test = f"exchange within {found.pairs} pairs"
    return Comparison(
        first.name, "", "", found.value, found.low, found.high, found.p, wilcoxon=ranks.p, pairs=found.pairs, test=test
    )


def _of_draws(first: Result, second: Result) -> Comparison:
    difference = first.value - second.value
    paired = bool(first.alike) and first.alike == second.alike and len(first.draws) == len(second.draws) > 1
    if paired:
        std = float(np.std(np.array(first.draws) - np.array(second.draws), ddof=1))
    else:
        std = float(np.hypot(first.std, second.std))
    if not np.isfinite(std):
        return Comparison(first.name, "", "", difference, test="too few clips to be compared")
    p = 1.0 if difference == 0 else (float(2 * norm.sf(abs(difference) / std)) if std > 0 else 0.0)
    test = "bootstrap, the same clips drawn for both" if paired else "bootstrap, drawn apart"
    return Comparison(first.name, "", "", difference, difference - 1.96 * std, difference + 1.96 * std, p, test=test)
