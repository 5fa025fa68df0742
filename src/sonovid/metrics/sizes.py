"""The effect of the number of clips on a distance: matched subsets, halves of the reference, and extrapolation to infinity."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Num, Shaped

from sonovid.metrics.frechet import Moments, frechet
from sonovid.metrics.rows import check_row_pair, check_rows, rows_by_clip

Distance = Callable[[np.ndarray, np.ndarray], float]
Clips = Num[np.ndarray, "n"] | Sequence[int] | None


class SizeDraws(NamedTuple):
    """A distance over random draws: mean, standard deviation (ddof 1; zero for one draw), all values, and clips per side."""

    mean: float
    std: float
    values: tuple[float, ...]
    clips: int
    seed: int


class Limit(NamedTuple):
    """A line value = slope / n + intercept fitted to distances at several n. The intercept is the value in the limit.

    Attributes:
        value: the intercept.
        slope: of the line in 1 / n.
        r2: the share of the variance that the line explains.
        sizes: the numbers of rows used.
        values: the distances at these sizes.
        seed: of the subsets.
    """

    value: float
    slope: float
    r2: float
    sizes: tuple[int, ...]
    values: tuple[float, ...]
    seed: int


def matched_distance(
    generated: Shaped[np.ndarray, "n d"],
    reference: Shaped[np.ndarray, "m _"],
    *,
    distance: Distance = frechet,
    count: int | None = None,
    draws: int = 10,
    generated_clips: Clips = None,
    reference_clips: Num[np.ndarray, "_"] | Sequence[int] | None = None,
    seed: int = 0,
) -> SizeDraws:
    """A distance with equally many clips on both sides, drawn without replacement.

    Args:
        generated, reference: rows of features.
        distance: the distance.
        count: clips per side; default: as many as the smaller side has.
        draws: random draws.
        generated_clips, reference_clips: the clip of each row, if a clip has several rows.
        seed: of the draws.

    Raises:
        ValueError: `count` exceeds the number of clips.
    """
    generated, reference = check_row_pair(generated, reference)
    sides = [
        (generated, rows_by_clip(generated_clips, len(generated))),
        (reference, rows_by_clip(reference_clips, len(reference))),
    ]
    least = min(len(groups) for _, groups in sides)
    count = least if count is None else count
    if not 1 <= count <= least:
        raise ValueError(f"count={count}: there are {len(sides[0][1])} generated clips and {len(sides[1][1])} reference clips")
    # If all clips of both sides are used there is only one subset.
    draws = draws if count < max(len(groups) for _, groups in sides) else 1
    generator = np.random.Generator(np.random.PCG64(seed))
    values = [distance(*(_subset(rows, groups, count, generator) for rows, groups in sides)) for _ in range(draws)]
    return _draws(values, count, seed)


def split_half_distance(
    reference: Shaped[np.ndarray, "n d"],
    *,
    distance: Distance = frechet,
    count: int | None = None,
    draws: int = 10,
    clips: Clips = None,
    seed: int = 0,
) -> SizeDraws:
    """The floor of a distance: its value between two disjoint parts of the reference.

    Args:
        reference: rows of features.
        distance: the distance.
        count: clips in each part, at most half of all; use the number of generated clips for a fair comparison.
        draws: random draws.
        clips: the clip of each row, if a clip has several rows.
        seed: of the draws.

    Raises:
        ValueError: too few clips for two parts of that size.
    """
    rows = check_rows(reference, "reference")
    groups = rows_by_clip(clips, len(rows))
    count = len(groups) // 2 if count is None else count
    if not 1 <= count <= len(groups) // 2:
        raise ValueError(f"count={count}: two parts of the reference's {len(groups)} clips have at most {len(groups) // 2} each")
    generator = np.random.Generator(np.random.PCG64(seed))
    values = []
    for _ in range(draws):
        order = generator.permutation(len(groups))
        parts = [rows[np.concatenate([groups[i] for i in chosen])] for chosen in (order[:count], order[count : 2 * count])]
        values.append(distance(*parts))
    return _draws(values, count, seed)


def frechet_infinity(
    generated: Shaped[np.ndarray, "n d"],
    reference: Shaped[np.ndarray, "m _"] | Moments,
    *,
    steps: int = 25,
    smallest: int | None = None,
    replace: bool = False,
    ddof: int = 1,
    seed: int = 0,
) -> Limit:
    """The Fréchet distance in the limit of many generated rows (FAD-inf: Gui et al. 2024, section 3.2; Chong & Forsyth 2020).

    A line in 1/n is fitted to the distances at `steps` sizes from `smallest` to all rows. The size of the reference is constant.

    Deviation: rows are drawn without replacement and with a seed, as Chong & Forsyth do. fadtk draws with replacement, so that
    its last point is not the set itself, and without a seed. `replace=True` reproduces fadtk.

    Args:
        generated: rows of features.
        reference: rows of features, or their moments.
        steps: number of sizes.
        smallest: the smallest size; default: 500, or half of the rows if there are fewer than 1000. Below the width of the
            features the bias is not proportional to 1/n, and r2 does not always show it.
        replace: draw with replacement.
        ddof: of the covariances.
        seed: of the subsets.

    Raises:
        ValueError: fewer than two sizes fit.
    """
    rows = check_rows(generated, "generated", 4)
    known = reference if isinstance(reference, Moments) else Moments.of(check_rows(reference, "reference"))
    smallest = min(500, len(rows) // 2) if smallest is None else smallest
    sizes = np.unique(np.linspace(smallest, len(rows), steps).astype(int)) if smallest > 1 else np.zeros(0, int)
    if len(sizes) < 3 or sizes[-1] > len(rows):
        raise ValueError(
            f"smallest={smallest}, steps={steps}: a line needs three sizes or more between 2 and the {len(rows)} rows there are"
        )
    generator = np.random.Generator(np.random.PCG64(seed))
    values = np.array(
        [frechet(Moments.of(rows[generator.choice(len(rows), size, replace=replace)]), known, ddof=ddof) for size in sizes]
    )
    design = np.stack([1 / sizes, np.ones(len(sizes))], 1)
    (slope, intercept), *_ = np.linalg.lstsq(design, values, rcond=None)
    spread = ((values - values.mean()) ** 2).sum()
    r2 = 1 - ((values - design @ [slope, intercept]) ** 2).sum() / spread if spread > 0 else 1.0
    return Limit(float(intercept), float(slope), float(r2), tuple(sizes.tolist()), tuple(values.tolist()), seed)


def _subset(rows: np.ndarray, groups: list[np.ndarray], count: int, generator: np.random.Generator) -> np.ndarray:
    chosen = np.sort(generator.choice(len(groups), count, replace=False))
    return rows[np.concatenate([groups[i] for i in chosen])]


def _draws(values: Sequence[float], count: int, seed: int) -> SizeDraws:
    std = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return SizeDraws(float(np.mean(values)), std, tuple(float(v) for v in values), count, seed)
