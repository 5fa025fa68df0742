"""Micro-averaged F1 of events over many clips, with a bootstrap interval and a paired permutation test."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from sonovid.metrics.alignment import count_matches

# Matching tolerance in seconds; bootstrap resamples; permutations of the paired test.
TOLERANCE, RESAMPLES, PERMUTATIONS = 0.1, 1000, 2000


class F1(NamedTuple):
    """F1 in [0, 1] with its 95 % interval over clips."""

    value: float
    low: float
    high: float


def match_counts(found: Sequence[Sequence[float]], true: Sequence[Sequence[float]]) -> Int64[np.ndarray, "n 2"]:
    """For each clip, the number of one-to-one matches within 100 ms and the total number of detected and true events."""
    rows = [(count_matches(f, t, TOLERANCE), len(f) + len(t)) for f, t in zip(found, true, strict=True)]
    return np.array(rows, np.int64).reshape(-1, 2)


def f1(rows: Int64[np.ndarray, "n 2"], *, seed: int = 0) -> F1:
    """Micro-averaged F1 with a percentile bootstrap interval (1000 resamples of clips); 0 without any event."""
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = _ratio(rows[generator.integers(0, len(rows), (RESAMPLES, len(rows)))].sum(1))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return F1(float(_ratio(rows.sum(0))), float(low), float(high))


def permutation_test(first: Int64[np.ndarray, "n 2"], second: Int64[np.ndarray, "n 2"], *, seed: int = 0) -> float:
    """p of a two-sided paired permutation test (2000 draws) of the F1 of two systems on the same clips."""
    if not len(first):
        return float("nan")
    generator = np.random.Generator(np.random.PCG64(seed))
    swapped = generator.integers(0, 2, (PERMUTATIONS, len(first), 1))
    a, b = (np.where(swapped, y, x).sum(1) for x, y in ((first, second), (second, first)))
    own = abs(_ratio(first.sum(0)) - _ratio(second.sum(0)))
    as_far = int((np.abs(_ratio(a) - _ratio(b)) >= own - 1e-12).sum())
    return (1 + as_far) / (1 + PERMUTATIONS)


def _ratio(sums: np.ndarray) -> np.ndarray:
    return np.asarray(2 * sums[..., 0] / np.maximum(sums[..., 1], 1))
