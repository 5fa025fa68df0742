"""Comparison of systems: statistical tests of the differences between their results."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy.stats import norm

from sonovid.metrics.record import RecordDifference, record_differences
from sonovid.metrics.results import Evaluation, Result, oriented_value
from sonovid.metrics.statistics import holm, paired_difference, wilcoxon

# With fewer pairs no usual significance level can be reached.
LEAST = 6


@dataclass(frozen=True)
class Comparison:
    """One metric of two systems.

    Attributes:
        metric, first, second: the metric's name and the systems' titles.
        difference: first - second.
        low, high: its 95 % interval.
        p: of no difference.
        adjusted: `p` after Holm's correction over all comparisons of the call.
        wilcoxon: p of Wilcoxon's signed-rank test, if there are pairs.
        pairs: the number of pairs of clips.
        test: the test, in words.
        barred: why the two must not be compared, or "".
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
class Comparisons:
    """All comparisons, and the differences between the systems' records."""

    comparisons: tuple[Comparison, ...]
    differing: tuple[RecordDifference, ...]

    def between(self, metric: str, first: str, second: str) -> Comparison | None:
        """The comparison of two systems by a metric, in either order."""
        return next((c for c in self.comparisons if c.metric == metric and {c.first, c.second} == {first, second}), None)

    def best(self, metric: str, evaluations: Sequence[Evaluation], level: float = 0.05) -> dict[str, str]:
        """Mark each system, by title: "best", "same" if it does not differ significantly from the best, "" if it is worse.

        If any two of them must not be compared there is no best, and all marks are "".
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


def compare(evaluations: Sequence[Evaluation], *, seed: int = 0) -> Comparisons:
    """Compare every two systems by every metric that both have.

    Metrics with one value per clip: mean difference over the shared clips, its interval, and p of a paired permutation test.
    Distances and scores of sets: the difference divided by its bootstrap standard deviation, assumed normal; from paired draws if
    both systems were resampled with the same indices.

    Raises:
        ValueError: fewer than two systems, or two with the same title.
    """
    titles = [one.title for one in evaluations]
    if len(titles) < 2 or len(set(titles)) < len(titles):
        raise ValueError(f"systems {', '.join(titles)}: expected two or more with different titles")
    found: list[Comparison] = []
    differing: list[RecordDifference] = []
    for first, second in combinations(evaluations, 2):
        differences = record_differences(first, second)
        differing += differences
        others = {result.name: result for result in second.results}
        for result in first.results:
            if result.name not in others:
                continue
            other = others[result.name]
            bars = [
                one.line
                for one in differences
                if one.prevents_comparison and (one.metric == result.name or (not one.metric and result.reference))
            ]
            if bars:
                found.append(Comparison(result.name, first.title, second.title, barred=bars[0]))
            else:
                found.append(replace(_of_two(result, other, seed), first=first.title, second=second.title))
    tested = [i for i, one in enumerate(found) if np.isfinite(one.p)]
    for i, adjusted in zip(tested, holm([found[i].p for i in tested]), strict=True):
        found[i] = replace(found[i], adjusted=float(adjusted))
    return Comparisons(tuple(found), tuple(dict.fromkeys(differing)))


def goodness(result: Result) -> float:
    """Larger where better."""
    return oriented_value(result.value, result.better)


def _of_two(first: Result, second: Result, seed: int) -> Comparison:
    if first.clips and second.clips:
        shared = [n for n in first.clips if np.isfinite(first.clips[n]) and np.isfinite(second.clips.get(n, np.nan))]
        if len(shared) >= LEAST:
            return _of_pairs(first, second, shared, seed)
    return _of_draws(first, second)


def _of_pairs(first: Result, second: Result, shared: Sequence[str], seed: int) -> Comparison:
    a, b = (np.array([one.clips[name] for name in shared]) for one in (first, second))
    if first.better in ("zero", "one"):
        # The distance from the optimum, in either direction.
        a, b = (np.abs(values - (first.better == "one")) for values in (a, b))
    found = paired_difference(a, b, seed=seed)
    ranks = wilcoxon(a, b)
    test = f"paired permutation test of {found.pairs} pairs"
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
        return Comparison(first.name, "", "", difference, test="too few clips to compare")
    p = 1.0 if difference == 0 else (float(2 * norm.sf(abs(difference) / std)) if std > 0 else 0.0)
    test = "bootstrap, paired draws" if paired else "bootstrap, independent draws"
    return Comparison(first.name, "", "", difference, difference - 1.96 * std, difference + 1.96 * std, p, test=test)
