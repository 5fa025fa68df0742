"""Mean opinion scores with intervals over raters, and tests of each pair of systems."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import NamedTuple

import numpy as np

from sonovid.metrics.rating.answers import Answers, Rater, Rating
from sonovid.metrics.rating.study import Study
from sonovid.metrics.statistics import Interval, holm, mean_opinion_score, wilcoxon


class Box(NamedTuple):
    """A five-number summary of the ratings, as in CMMD's Fig. 6: whiskers at minimum and maximum."""

    low: float
    first_quarter: float
    median: float
    third_quarter: float
    high: float


@dataclass(frozen=True)
class Opinion:
    """A system's score on one question. mean: of the raters' means. t, bootstrap: intervals over raters; None for one rater."""

    system: str
    question: str
    mean: float
    t: Interval | None
    bootstrap: Interval | None
    box: Box
    ratings: int
    raters: int


@dataclass(frozen=True)
class Comparison:
    """Two systems on one question, compared by Wilcoxon's signed-rank test.

    Attributes:
        question, first, second: the question and the systems.
        over: "ratings": the pairs are one rater's ratings of one item, assumed independent; "raters": the pairs are the raters'
            means.
        pairs, nonzero: the number of pairs, and of those that differ.
        difference: mean of first - second.
        statistic, p: of the test; None for fewer than two pairs.
        p_holm: `p` after Holm's correction over all comparisons of this kind in the report.
        effect: matched-pairs rank-biserial correlation.
        method: of the test.
    """

    question: str
    first: str
    second: str
    over: str
    pairs: int
    nonzero: int
    difference: float
    statistic: float | None
    p: float | None
    p_holm: float | None
    effect: float | None
    method: str


@dataclass(frozen=True)
class Result:
    """The contents of a report."""

    study: Study
    raters: tuple[Rater, ...]
    opinions: tuple[Opinion, ...]
    comparisons: tuple[Comparison, ...]
    zero_method: str
    level: float
    seed: int


def analyse(study: Study, answers: Answers, *, zero_method: str = "pratt", level: float | int = 0.95, seed: int = 0) -> Result:
    """Compute the scores of every system on every question, and compare all pairs of systems.

    Args:
        study: the study's key.
        answers: the ratings.
        zero_method: the treatment of equal pairs in Wilcoxon's test (see `statistics.wilcoxon`).
        level: of the intervals.
        seed: of the bootstrap.

    Raises:
        ValueError: an invalid zero method or level.
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level}: expected a number in (0, 1), such as 0.95")
    opinions, comparisons = [], []
    for question in (asked.key for asked in study.form.questions):
        own = [rating for rating in answers.ratings if rating.question == question]
        for system in study.systems:
            if found := [rating for rating in own if rating.system == system]:
                opinions.append(_opinion(system, question, found, level, seed))
        for first, second in combinations(study.systems, 2):
            # Ratings are paired only if the systems have common items.
            for over in ("ratings", "raters") if study.paired else ("raters",):
                comparisons.append(_comparison(question, first, second, over, own, zero_method))
    return Result(study, answers.raters, tuple(opinions), _corrected(comparisons), zero_method, float(level), seed)


def _opinion(system: str, question: str, ratings: Sequence[Rating], level: float, seed: int) -> Opinion:
    by_rater = _grouped(ratings, lambda rating: rating.rater)
    marks = [np.array(own, np.float64) for own in by_rater.values()]
    t, drawn = mean_opinion_score(marks, level=level, seed=seed) if len(marks) > 1 else (None, None)
    box = Box(*(float(value) for value in np.quantile(np.concatenate(marks), (0, 0.25, 0.5, 0.75, 1))))
    mean = float(np.mean([own.mean() for own in marks]))
    return Opinion(system, question, mean, t, drawn, box, len(ratings), len(marks))


def _comparison(question: str, first: str, second: str, over: str, ratings: Sequence[Rating], zero_method: str) -> Comparison:
    def means(system: str) -> dict[object, float]:
        own = [rating for rating in ratings if rating.system == system]
        groups = _grouped(own, lambda rating: (rating.rater, rating.item) if over == "ratings" else rating.rater)
        return {key: float(np.mean(values)) for key, values in groups.items()}

    one, two = means(first), means(second)
    both = [key for key in one if key in two]
    a, b = np.array([one[key] for key in both]), np.array([two[key] for key in both])
    difference = float((a - b).mean()) if len(both) else float("nan")
    if len(both) < 2:
        return Comparison(question, first, second, over, len(both), 0, difference, None, None, None, None, "too few pairs")
    found = wilcoxon(a, b, zero_method=zero_method)
    return Comparison(
        question, first, second, over, found.pairs, found.nonzero, difference, found.statistic, found.p, None, found.effect,
        found.method,
    )  # fmt: skip


def _corrected(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """Apply Holm's correction within each kind of pairs, because the two kinds answer the same question."""
    corrected = list(comparisons)
    for over in ("ratings", "raters"):
        places = [i for i, found in enumerate(comparisons) if found.over == over and found.p is not None]
        for i, p in zip(places, holm([comparisons[i].p or 0.0 for i in places]), strict=True):
            corrected[i] = replace(comparisons[i], p_holm=float(p))
    return tuple(corrected)


def _grouped(ratings: Sequence[Rating], key: Callable[[Rating], object]) -> Mapping[object, list[int]]:
    groups: dict[object, list[int]] = {}
    for rating in ratings:
        groups.setdefault(key(rating), []).append(rating.value)
    return groups
