"""Bootstrap over clips: how much a number of whole sets varies with the choice of clips."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float64, Int64, Num, Shaped
from scipy import linalg

from sonovid.metrics.frechet import frechet
from sonovid.metrics.rows import check_row_pair, check_rows, rows_by_clip

Number = Callable[..., float]
# Resamples take at most this many clips; for larger sets the spread is scaled by sqrt(m / n) (m-out-of-n bootstrap).
MAX_CLIPS = 1000


@dataclass(frozen=True)
class Bootstrap:
    """The distribution of a number under resampling.

    Resampled sets repeat clips and therefore contain fewer distinct ones, which increases distances. That is an artefact of
    resampling, so the draws are shifted to have the value as their mean.

    Attributes:
        low, high: the 95 % interval.
        std: the standard deviation.
        draws: the shifted resampled numbers. Sets of one size and one seed are resampled with the same indices, so the draws of
            two systems on clips of the same names are paired.
    """

    low: float
    high: float
    std: float
    draws: tuple[float, ...]


def bootstrap_distance(
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
    """Bootstrap a distance by resampling the clips of both sets. The Fréchet distance uses a faster equivalent computation."""
    rows = check_row_pair(generated, reference)
    groups = (rows_by_clip(generated_clips, len(rows[0])), rows_by_clip(reference_clips, len(rows[1])))
    counts = [list(draw_clips(len(g), resamples, (seed, side))) for side, g in enumerate(groups)]
    ddof = frechet_ddof(distance)
    if ddof is not None:
        rows = _project_to_span(*rows)
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
    # The smaller set determines the spread.
    return center_draws(value, np.array(draws), min(len(g) for g in groups))


def bootstrap_score(
    value: float,
    score: Number,
    rows: Shaped[np.ndarray, "n d"],
    *,
    clips: Num[np.ndarray, "n"] | Sequence[int],
    resamples: int = 200,
    seed: int = 0,
) -> Bootstrap:
    """Bootstrap a score of one set of rows."""
    rows = check_rows(rows, "generated")
    groups = rows_by_clip(clips, len(rows))
    draws = [score(rows[np.concatenate([groups[i] for i in own])]) for own in draw_clips(len(groups), resamples, (seed, 0))]
    return center_draws(value, np.array(draws), len(groups))


def bootstrap_values(
    summary: Callable[[np.ndarray], float], values: Float64[np.ndarray, "n"], *, resamples: int = 1000, seed: int = 0
) -> Bootstrap:
    """Bootstrap a summary of one value per clip. The percentiles are not shifted: resampling does not bias a mean."""
    with warnings.catch_warnings():
        # If most values are NaN, a draw may contain no other; it is dropped below.
        warnings.simplefilter("ignore", RuntimeWarning)
        draws = np.array([summary(values[own]) for own in draw_clips(len(values), resamples, (seed, 0), most=len(values))])
    draws = draws[np.isfinite(draws)]
    if len(draws) < resamples / 2:
        return Bootstrap(float("nan"), float("nan"), float("nan"), ())
    low, high = np.quantile(draws, (0.025, 0.975))
    return Bootstrap(float(low), float(high), float(draws.std(ddof=1)), tuple(draws.tolist()))


def draw_clips(count: int, resamples: int, seed: tuple[int, ...], most: int = MAX_CLIPS) -> Iterator[Int64[np.ndarray, "k"]]:
    """Indices of clips drawn with replacement; the same for every set of this size."""
    generator = np.random.Generator(np.random.PCG64(seed))
    for _ in range(resamples):
        yield generator.integers(0, count, min(count, most))


def draw_distinct_clips(count: int, size: int, draws: int, seed: int) -> Iterator[Int64[np.ndarray, "k"]]:
    """Indices of `size` of `count` clips, drawn without replacement."""
    generator = np.random.Generator(np.random.PCG64((seed, 3)))
    for _ in range(draws):
        yield np.sort(generator.choice(count, size, replace=False))


def center_draws(value: float, draws: Float64[np.ndarray, "r"], count: int) -> Bootstrap:
    """Shift the draws to the value, and scale them to the spread of `count` clips."""
    draws = draws[np.isfinite(draws)]
    if len(draws) < 2:
        return Bootstrap(float("nan"), float("nan"), float("nan"), ())
    draws = value + (draws - draws.mean()) * min(1.0, np.sqrt(MAX_CLIPS / count))
    low, high = np.quantile(draws, (0.025, 0.975))
    return Bootstrap(float(low), float(high), float(draws.std(ddof=1)), tuple(draws.tolist()))


def frechet_ddof(distance: Number) -> int | None:
    """The ddof of a Fréchet distance; None for any other distance."""
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
    """The Fréchet distance of sets in which each row occurs a given number of times.

    The trace of the matrix square root is computed from the eigenvalues of the smallest matrix available: the Gram matrix of one
    set or a covariance. Rounding of eigenvalues near zero is far below the spread that this is used for; reported values are
    computed by `frechet`.
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


def _project_to_span(generated: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Express the rows in a basis of their span, if that has fewer dimensions than columns."""
    stack_rows = np.concatenate([generated, reference])
    if len(stack_rows) >= stack_rows.shape[1]:
        return generated, reference
    basis, _ = np.linalg.qr(stack_rows.T, mode="reduced")
    moved = stack_rows @ basis
    return moved[: len(generated)], moved[len(generated) :]
