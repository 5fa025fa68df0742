"""Agreement of the beats of two pieces of music, given as times in seconds.

Published hit rates do not say of which side the share is taken, nor whether a beat may be hit twice. Here each variant has a
name.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sonovid.metrics.alignment import count_matches

Times = Sequence[float] | np.ndarray
Number = float | int | np.number


class Hits(NamedTuple):
    """Agreement of two lists of beats. All values are in [0, 1]; NaN if the denominator is 0.

    Attributes:
        recall_any: the share of reference beats near any detected beat (CMMD's hit rate, as far as it is specified).
        recall, precision, f1: of the largest one-to-one matching.
        chance: `recall_any` of the detected beats at a random phase.
    """

    recall_any: float
    recall: float
    precision: float
    f1: float
    chance: float


def ratio(count: Number, total: Number) -> float:
    return float(count) / float(total) if total else float("nan")


def recall_any(found: Times, true: Times, tolerance: float) -> float:
    """The share of true beats within `tolerance` seconds of any detected beat; NaN without true beats."""
    found, true = np.asarray(found, float), np.asarray(true, float)
    # 1e-9 s for decimals that floats cannot represent, as in `alignment.count_matches`.
    close = np.abs(true[:, None] - found[None]) <= tolerance + 1e-9
    return ratio(close.any(1).sum(), len(true))


def chance(found: Times, true: Times, tolerance: float, seconds: float) -> float:
    """The random baseline of `recall_any`: its mean over all phases of a regular train of beats, in [0, 1].

    The train has the median period of the detected beats (the clip's length if there are fewer than two) and lies within the
    clip. A true beat r is hit at the share |[r - tolerance, r + tolerance] and [0, seconds]| / period of the phases, at most 1.
    """
    found, true = np.sort(np.asarray(found, float)), np.asarray(true, float)
    if not len(true) or not len(found):
        return 0.0 if len(true) else float("nan")
    period = float(np.median(np.diff(found))) if len(found) > 1 else seconds
    covered = np.minimum(true + tolerance, seconds) - np.maximum(true - tolerance, 0)
    return float(np.clip(covered / period, 0, 1).mean()) if period > 0 else float("nan")


def hits(found: Times, true: Times, tolerance: float, seconds: float) -> Hits:
    """Compare detected and true beats within `tolerance` seconds, in a clip of `seconds`."""
    pairs = count_matches(list(found), list(true), tolerance)
    return Hits(
        recall_any(found, true, tolerance),
        ratio(pairs, len(true)),
        ratio(pairs, len(found)),
        ratio(2 * pairs, len(found) + len(true)),
        chance(found, true, tolerance, seconds),
    )


def coverage(found: np.ndarray, true: np.ndarray) -> float:
    """Seconds with an onset, detected over true (Zhu et al. 2023, released code). May exceed 1; NaN if the true side has none."""
    return ratio(np.sum(found), np.sum(true))


def hit_seconds(found: np.ndarray, true: np.ndarray) -> float:
    """The share of the true seconds with an onset that have a detected one (Zhu et al. 2023, released code); NaN without any.

    Deviation: if one side is longer, its additional seconds count as empty on the other. The released code stops there.
    """
    least = min(len(found), len(true))
    return ratio(np.sum((np.asarray(found)[:least] == 1) & (np.asarray(true)[:least] == 1)), np.sum(true))
