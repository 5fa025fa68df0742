"""How far a number of whole sets varies with the clips that happen to be in them: the bootstrap over clips, affordably."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float64, Int64, Num, Shaped
from scipy import linalg

from sonovid.metrics.frechet import frechet
from sonovid.metrics.rows import by_clip, checked, checked_pair

Number = Callable[..., float]
# Resamples take at most so many clips; the spread of more is that of these, times the root of the share (m out of n).
MOST = 1000


@dataclass(frozen=True)
class Bootstrap:
    """A number of a set under resampling. low, high: its 95 % interval. std: its standard deviation.

    draws: the resampled numbers, moved so that their mean is the value: drawn sets repeat clips and so have fewer different ones,
    by which distances grow; that is a property of drawing, not of the number. Sets drawn with one seed and of one size are drawn
    alike, so that the draws of two systems on clips of the same names are pairs.
    """

    low: float
    high: float
    std: float
    draws: tuple[float, ...]


def of_distance(
    value: float,
    distance: Number,
    generated: Shaped[np.ndarray, "n d"],
    reference: Shaped[np.ndarray, "m d"],
    *,
    generated_clips: Num[np.ndarray, "n"] | Sequence[int],
    reference_clips: Num[np.ndarray, "m"] | Sequence[int],
    resamples: int = 200,
    seed: int = 0,
) -> Bootstrap:
    """A distance, with the clips of both sets drawn anew; the Fréchet distance by a faster way to the same numbers."""
    rows = checked_pair(generated, reference)
    groups = (by_clip(generated_clips, len(rows[0])), by_clip(reference_clips, len(rows[1])))
    counts = [list(drawn(len(g), resamples, (seed, side))) for side, g in enumerate(groups)]
    ddof = frechet_ddof(distance)
    if ddof is not None:
        rows = _spanned(*rows)
    draws = []
    for chosen in zip(*counts, strict=True):
        if ddof is not None:
            weights = [np.zeros(len(r)) for r in rows]
            for side, own in enumerate(chosen):
                for clip, times in zip(*np.unique(own, return_counts=True), strict=True):
                    weights[side][groups[side][clip]] = times
            draws.append(weighted_frechet(*rows, *weights, ddof=ddof))
        else:
            parts = (r[np.concatenate([g[i] for i in own])] for r, g, own in zip(rows, groups, chosen, strict=True))
            draws.append(distance(*parts))
    # Of two sets the smaller one is what the spread comes from, and the first to be drawn whole.
    return centred(value, np.array(draws), min(len(g) for g in groups))


def of_score(
    value: float,
    score: Number,
    rows: Shaped[np.ndarray, "n d"],
    *,
    clips: Num[np.ndarray, "n"] | Sequence[int],
    resamples: int = 200,
    seed: int = 0,
) -> Bootstrap:
    """A number of one set of rows."""
    rows = checked(rows, "generated")
    groups = by_clip(clips, len(rows))
    draws = [score(rows[np.concatenate([groups[i] for i in own])]) for own in drawn(len(groups), resamples, (seed, 0))]
    return centred(value, np.array(draws), len(groups))


def of_values(
    summary: Callable[[np.ndarray], float], values: Float64[np.ndarray, "n"], *, resamples: int = 1000, seed: int = 0
) -> Bootstrap:
    """A number made of one value per clip, by percentiles of the draws as they are: a mean does not grow by drawing."""
    with warnings.catch_warnings():
        # Where most values do not exist a draw may hold none at all; it is left out below.
        warnings.simplefilter("ignore", RuntimeWarning)
        draws = np.array([summary(values[own]) for own in drawn(len(values), resamples, (seed, 0), most=len(values))])
    draws = draws[np.isfinite(draws)]
    if len(draws) < resamples / 2:
        return Bootstrap(float("nan"), float("nan"), float("nan"), ())
    low, high = np.quantile(draws, (0.025, 0.975))
    return Bootstrap(float(low), float(high), float(draws.std(ddof=1)), tuple(draws.tolist()))


def drawn(count: int, resamples: int, seed: tuple[int, ...], most: int = MOST) -> Iterator[Int64[np.ndarray, "k"]]:
    """Indices of clips, with repetitions; the same for every set of this size."""
    generator = np.random.Generator(np.random.PCG64(seed))
    for _ in range(resamples):
        yield generator.integers(0, count, min(count, most))


def drawn_apart(count: int, size: int, draws: int, seed: int) -> Iterator[Int64[np.ndarray, "k"]]:
    """Indices of `size` clips out of `count`, without repetition."""
    generator = np.random.Generator(np.random.PCG64((seed, 3)))
    for _ in range(draws):
        yield np.sort(generator.choice(count, size, replace=False))


def centred(value: float, draws: Float64[np.ndarray, "r"], count: int) -> Bootstrap:
    """Draws about the value, of the spread that `count` clips have."""
    draws = draws[np.isfinite(draws)]
    if len(draws) < 2:
        return Bootstrap(float("nan"), float("nan"), float("nan"), ())
    draws = value + (draws - draws.mean()) * min(1.0, np.sqrt(MOST / count))
    low, high = np.quantile(draws, (0.025, 0.975))
    return Bootstrap(float(low), float(high), float(draws.std(ddof=1)), tuple(draws.tolist()))


def frechet_ddof(distance: Number) -> int | None:
    """The ddof of a Fréchet distance, None for any other."""
    if isinstance(distance, partial) and distance.func is frechet and not distance.args:
        return int(distance.keywords.get("ddof", 1))
    return 1 if distance is frechet else None


def weighted_frechet(
    generated: Float64[np.ndarray, "n d"],
    reference: Float64[np.ndarray, "m d"],
    times: Float64[np.ndarray, "n"],
    reference_times: Float64[np.ndarray, "m"],
    *,
    ddof: int = 1,
) -> float:
    """The Fréchet distance of sets that hold each row so many times.

    The trace of the root comes from eigenvalues of whichever is smallest: the products of rows of either set, or a covariance.
    What rounding does to eigenvalues near zero is far below the spread that this is for; values themselves come from `frechet`.
    """
    (mean1, factor1), (mean2, factor2) = (
        _weighted_factor(rows, own, ddof) for rows, own in ((generated, times), (reference, reference_times))
    )
    small, large = sorted((factor1, factor2), key=len)
    if len(small) <= small.shape[1]:
        cross = small @ large.T
        squares = linalg.eigvalsh(cross @ cross.T, check_finite=False, overwrite_a=True)
    else:
        cross = large @ np.linalg.qr(small, mode="r").T  # type: ignore[attr-defined]
        squares = linalg.eigvalsh(cross.T @ cross, check_finite=False, overwrite_a=True)
    trace = float(np.sqrt(np.maximum(squares, 0)).sum())
    return float(((mean1 - mean2) ** 2).sum() + (factor1**2).sum() + (factor2**2).sum() - 2 * trace)


def _weighted_factor(rows: np.ndarray, times: np.ndarray, ddof: int) -> tuple[np.ndarray, np.ndarray]:
    kept = times > 0
    rows, times = rows[kept], times[kept]
    total = times.sum()
    mean = times @ rows / total
    return mean, (rows - mean) * np.sqrt(times / (total - ddof))[:, None]


def _spanned(generated: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same rows in coordinates of the space that they span, where that has fewer dimensions than they have columns."""
    stacked = np.concatenate([generated, reference])
    if len(stacked) >= stacked.shape[1]:
        return generated, reference
    basis, _ = np.linalg.qr(stacked.T, mode="reduced")
    moved = stacked @ basis
    return moved[: len(generated)], moved[len(generated) :]
