"""Kernel distances (MMD) of two sets of features: KVD, KID, KAD and JEDi. Unbiased estimates may be negative.

Kernel matrices are summed block by block, so that memory does not grow quadratically with the number of rows.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Shaped

from sonovid.metrics.rows import check_row_pair, check_rows

# The most values of a kernel matrix in memory at a time: 8 MB, about a CPU cache.
BLOCK = 1 << 20
Kernel = Callable[[Float64[np.ndarray, "n d"], Float64[np.ndarray, "m _"]], Float64[np.ndarray, "n m"]]


class Subsets(NamedTuple):
    """Mean and standard deviation (ddof 0) over subsets, and the settings of the draws."""

    mean: float
    std: float
    subsets: int
    size: int
    seed: int


def polynomial(degree: int = 3, gamma: float | None = None, coef0: float | int = 1.0) -> Kernel:
    """k(x, y) = (gamma <x, y> + coef0)^degree; gamma None: 1 / width."""

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        base = x @ y.T
        base *= 1 / x.shape[1] if gamma is None else gamma
        base += coef0
        power = base.copy()
        # Repeated products are faster than numpy's general power.
        for _ in range(degree - 1):
            power *= base
        return power

    return kernel


def gaussian(bandwidth: float) -> Kernel:
    """k(x, y) = exp(-|x - y|^2 / (2 bandwidth^2))."""

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        exponent = squared_distances(x, y)
        exponent /= -2 * bandwidth**2
        return np.exp(exponent, out=exponent)

    return kernel


def squared_distances(x: np.ndarray, y: np.ndarray) -> Float64[np.ndarray, "n m"]:
    """|x_i - y_j|^2 of all pairs, clipped at zero."""
    # Centring reduces the cancellation of the three terms.
    centre = y.mean(0)
    x, y = x - centre, y - centre
    squares = x @ y.T
    squares *= -2
    squares += (x**2).sum(1)[:, None]
    squares += (y**2).sum(1)
    return np.maximum(squares, 0, out=squares)


def mmd2(
    generated: Shaped[np.ndarray, "n d"],
    reference: Shaped[np.ndarray, "m _"],
    kernel: Kernel,
    *,
    unbiased: bool = True,
    block: int = BLOCK,
) -> float:
    """The squared maximum mean discrepancy (Gretton et al. 2012, eq. 3 unbiased, eq. 5 biased).

    The unbiased estimator excludes the kernel of a row with itself within each set but nothing between the sets, so that two
    equal sets have a negative value.

    Args:
        generated, reference: rows of features.
        kernel: the kernel.
        unbiased: which estimator.
        block: the most kernel values in memory at a time.

    Raises:
        ValueError: fewer than two rows, NaN or infinity, or different widths.
    """
    x, y = check_row_pair(generated, reference)
    n, m = len(x), len(y)
    own = [_sum_within(rows, kernel, block, diagonal=not unbiased) for rows in (x, y)]
    across = sum(float(kernel(x[i:j], y).sum()) for i, j in _spans(n, m, block))
    less = 1 if unbiased else 0
    return own[0] / (n * (n - less)) + own[1] / (m * (m - less)) - 2 * across / (n * m)


def kvd(generated: Shaped[np.ndarray, "n d"], reference: Shaped[np.ndarray, "m _"]) -> float:
    """Kernel video distance: unbiased MMD^2 of whole sets, cubic kernel with gamma 1/d and coef0 1 (Unterthiner et al. 2019)."""
    return mmd2(generated, reference, polynomial(3))


def kid(
    generated: Shaped[np.ndarray, "n d"],
    reference: Shaped[np.ndarray, "m _"],
    *,
    subsets: int = 100,
    size: int = 1000,
    seed: int = 2020,
) -> Subsets:
    """The kernel distance over random subsets (Bińkowski et al. 2018, section 4), with the cubic kernel of `kvd`.

    Subsets are drawn without replacement, first from `generated`, then from `reference`, with numpy's legacy generator as in
    torch-fidelity and audioldm_eval, so that a seed gives the same subsets.

    Args:
        generated, reference: rows of features.
        subsets: the number of subsets.
        size: rows per subset, at most the size of the smaller set.
        seed: of the draws.
    """
    x, y = check_row_pair(generated, reference)
    size = min(size, len(x), len(y))
    if subsets < 1 or size < 2:
        raise ValueError(f"subsets={subsets}, size={size}: expected at least one subset of at least two rows")
    state = np.random.RandomState(seed)
    values = [
        kvd(x[state.choice(len(x), size, replace=False)], y[state.choice(len(y), size, replace=False)]) for _ in range(subsets)
    ]
    return Subsets(float(np.mean(values)), float(np.std(values)), subsets, size, seed)


def kad(generated: Shaped[np.ndarray, "n d"], reference: Shaped[np.ndarray, "m _"], *, bandwidth: float | None = None) -> float:
    """Kernel audio distance: 100 times unbiased MMD^2 with a Gaussian kernel (Chung et al. 2025, section 3).

    Args:
        generated, reference: rows of features.
        bandwidth: of the kernel; None: the median distance of two rows of the *reference*, as in the paper. kadtk's command line
            uses the generated set.
    """
    x, y = check_row_pair(generated, reference)
    bandwidth = median_distance(y) if bandwidth is None else bandwidth
    if not bandwidth > 0:
        raise ValueError(
            "reference: more than half of its pairs of rows are equal, so their median distance, the bandwidth, is zero"
        )
    return 100 * mmd2(x, y, gaussian(bandwidth))


def jedi(generated: Shaped[np.ndarray, "n d"], reference: Shaped[np.ndarray, "m _"]) -> float:
    """JEDi's distance: 100 times biased MMD^2, quadratic kernel with gamma 1/d and coef0 0 (Luo et al. 2025, section 4)."""
    # The biased estimate is never negative; values below zero are rounding.
    return max(100 * mmd2(generated, reference, polynomial(2, coef0=0.0), unbiased=False), 0.0)


def median_distance(rows: Shaped[np.ndarray, "n d"], *, block: int = BLOCK) -> float:
    """The exact median Euclidean distance of two different rows over all pairs, without storing all pairs.

    For an even number of pairs it is the lower of the middle two, as torch.median and therefore kadtk take it.
    """
    rows = check_rows(rows, "reference")
    return float(np.sqrt(_ranked(rows, (len(rows) * (len(rows) - 1) // 2 - 1) // 2, block)))


def _ranked(rows: np.ndarray, rank: int, block: int) -> float:
    """The squared distance of this rank among all pairs. The range is narrowed by histograms until its content can be sorted."""
    low, high = 0.0, 4 * float(((rows - rows.mean(0)) ** 2).sum(1).max())
    below, count = 0, len(rows) * (len(rows) - 1) // 2
    while count > block:
        if high - low <= 2048 * np.spacing(high):
            return low  # the remaining values differ by rounding only
        counts = np.zeros(1024, np.int64)
        for distances in _pairs(rows, block):
            counts += np.histogram(distances, len(counts), (low, high))[0]
        place = int(np.searchsorted(np.cumsum(counts), rank - below, side="right"))
        edges = np.linspace(low, high, len(counts) + 1)
        below, count = below + int(counts[:place].sum()), int(counts[place])
        low, high = float(edges[place]), float(edges[place + 1])
    inside = np.concatenate([d[(d >= low) & (d <= high)] for d in _pairs(rows, block)])
    return float(np.partition(inside, rank - below)[rank - below])


def _pairs(rows: np.ndarray, block: int) -> Iterator[np.ndarray]:
    """Squared distances of all pairs of different rows, each pair once, in blocks."""
    for i, j in _spans(len(rows), len(rows), block):
        later = np.arange(i, len(rows)) > np.arange(i, j)[:, None]
        yield squared_distances(rows[i:j], rows[i:])[later]


def _sum_within(rows: np.ndarray, kernel: Kernel, block: int, *, diagonal: bool) -> float:
    """The sum of a set's kernel matrix, with or without the kernel of each row with itself."""
    total = 0.0
    for i, j in _spans(len(rows), len(rows), block):
        # The matrix is symmetric: entries right of a diagonal block count twice.
        square = kernel(rows[i:j], rows[i:j])
        total += float(square.sum()) - (0.0 if diagonal else float(np.trace(square)))
        total += 2 * float(kernel(rows[i:j], rows[j:]).sum()) if j < len(rows) else 0.0
    return total


def _spans(count: int, width: int, block: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows whose part of a matrix of this width is no larger than a block."""
    step = max(1, block // width)
    return ((i, min(i + step, count)) for i in range(0, count, step))
