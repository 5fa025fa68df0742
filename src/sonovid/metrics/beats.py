"""Beats of one piece of music against those of another, by lists of times in seconds.

Published hit rates say neither which side the share is taken of nor whether a beat may be hit twice; here each has its name.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sonovid.metrics.alignment import matches

Times = Sequence[float] | np.ndarray
Number = float | int | np.number


class Hits(NamedTuple):
    """Agreement of two lists of beats, each value in [0, 1], NaN where nothing is divided by.

    recall_any: the share of the reference's beats near any found one (CMMD's hit rate, as far as it is stated). recall,
    precision, f1: of one-to-one pairs, as many as there can be. chance: recall_any that the found beats would have with a random
    phase.
    """

    recall_any: float
    recall: float
    precision: float
    f1: float
    chance: float


def share(count: Number, total: Number) -> float:
    return float(count) / float(total) if total else float("nan")


def recall_any(found: Times, true: Times, tolerance: float) -> float:
    """The share of the true beats no further than `tolerance` seconds from any found one; NaN where there is no true beat."""
    found, true = np.asarray(found, float), np.asarray(true, float)
    # A billionth of a second for decimals that floats do not hold, as in `alignment.matches`.
    close = np.abs(true[:, None] - found[None]) <= tolerance + 1e-9
    return share(close.any(1).sum(), len(true))


def chance(found: Times, true: Times, tolerance: float, seconds: float) -> float:
    """The mean of `recall_any` over all phases of a regular train of beats, in [0, 1].

    The train has the median period of the found beats (one in the whole clip where fewer than two were found) and lies within the
    clip's `seconds`. A true beat r is hit by |[r - tolerance, r + tolerance] and [0, seconds]| / period of the phases, at most
    all.
    """
    found, true = np.sort(np.asarray(found, float)), np.asarray(true, float)
    if not len(true) or not len(found):
        return 0.0 if len(true) else float("nan")
    period = float(np.median(np.diff(found))) if len(found) > 1 else seconds
    covered = np.minimum(true + tolerance, seconds) - np.maximum(true - tolerance, 0)
    return float(np.clip(covered / period, 0, 1).mean()) if period > 0 else float("nan")


def hits(found: Times, true: Times, tolerance: float, seconds: float) -> Hits:
    """How well found beats agree with true ones within `tolerance` seconds, in a clip of `seconds`."""
    pairs = matches(list(found), list(true), tolerance)
    return Hits(
        recall_any(found, true, tolerance),
        share(pairs, len(true)),
        share(pairs, len(found)),
        share(2 * pairs, len(found) + len(true)),
        chance(found, true, tolerance, seconds),
    )


def coverage(found: np.ndarray, true: np.ndarray) -> float:
    """Seconds with an onset, found over true (Zhu et al. 2023, released code); can exceed 1. NaN where the true have none."""
    return share(np.sum(found), np.sum(true))


def hit_seconds(found: np.ndarray, true: np.ndarray) -> float:
    """The share of the true seconds with an onset in which one was found too (Zhu et al. 2023, released code); NaN where none.

    Deviation: where one side lasts longer, its further seconds count as empty on the other; the released code stops.
    """
    least = min(len(found), len(true))
    return share(np.sum((np.asarray(found)[:least] == 1) & (np.asarray(true)[:least] == 1)), np.sum(true))
