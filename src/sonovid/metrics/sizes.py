"""What the number of clips does to a distance: drawn subsets of equal size, halves of the reference, and the limit of many."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Num, Shaped

from sonovid.metrics.frechet import Moments, frechet
from sonovid.metrics.rows import by_clip, checked, checked_pair

Distance = Callable[[np.ndarray, np.ndarray], float]
Clips = Num[np.ndarray, "n"] | Sequence[int] | None


class Drawn(NamedTuple):
    """A distance over random draws: mean and standard deviation (ddof 1, zero for one draw), each value, clips on either side."""

    mean: float
    std: float
    values: tuple[float, ...]
    clips: int
    seed: int


class Limit(NamedTuple):
    """A line value = slope / n + intercept through distances at several n: the intercept is the value in the limit.

    r2: how much of the variance the line explains; sizes: the numbers of rows used; values: the distances there.
    """

    value: float
    slope: float
    r2: float
    sizes: tuple[int, ...]
    values: tuple[float, ...]
    seed: int


def matched(
    generated: Shaped[np.ndarray, "n d"],
    reference: Shaped[np.ndarray, "m _"],
    *,
    distance: Distance = frechet,
    count: int | None = None,
    draws: int = 10,
    generated_clips: Clips = None,
    reference_clips: Num[np.ndarray, "_"] | Sequence[int] | None = None,
    seed: int = 0,
) -> Drawn:
    """A distance with equally many clips on both sides, drawn without replacement.

    count: how many; by default as many as the smaller side has. clips: of each row, where a clip has several.

    Raises:
        ValueError: more clips asked for than there are.
    """
    generated, reference = checked_pair(generated, reference)
    sides = [(generated, by_clip(generated_clips, len(generated))), (reference, by_clip(reference_clips, len(reference)))]
    least = min(len(groups) for _, groups in sides)
    count = least if count is None else count
    if not 1 <= count <= least:
        raise ValueError(f"count={count}: there are {len(sides[0][1])} generated clips and {len(sides[1][1])} reference clips")
    # All clips of both sides are one subset; to draw it again would be a mean of one number with itself.
    draws = draws if count < max(len(groups) for _, groups in sides) else 1
    generator = np.random.Generator(np.random.PCG64(seed))
    values = [distance(*(_subset(rows, groups, count, generator) for rows, groups in sides)) for _ in range(draws)]
    return _drawn(values, count, seed)


def halves(
    reference: Shaped[np.ndarray, "n d"],
    *,
    distance: Distance = frechet,
    count: int | None = None,
    draws: int = 10,
    clips: Clips = None,
    seed: int = 0,
) -> Drawn:
    """The floor of a distance: between two parts of the reference that share no clip.

    count: clips in each part, at most half of them; give the number that the generated side has, to compare like with like.

    Raises:
        ValueError: too few clips for two parts of that size.
    """
    rows = checked(reference, "reference")
    groups = by_clip(clips, len(rows))
    count = len(groups) // 2 if count is None else count
    if not 1 <= count <= len(groups) // 2:
        raise ValueError(f"count={count}: two parts of the reference's {len(groups)} clips have at most {len(groups) // 2} each")
    generator = np.random.Generator(np.random.PCG64(seed))
    values = []
    for _ in range(draws):
        order = generator.permutation(len(groups))
        parts = [rows[np.concatenate([groups[i] for i in chosen])] for chosen in (order[:count], order[count : 2 * count])]
        values.append(distance(*parts))
    return _drawn(values, count, seed)


def infinity(
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

    Distances at `steps` sizes from `smallest` to all rows, a line in 1/n, its intercept. The reference's own size stays as it is.
    smallest: 500, or half of the rows where there are fewer than 1000. Below the width of the features the bias does not go with
    1/n, and r2 does not always show it.
    Deviation: rows are drawn without replacement and by a seed, as Chong & Forsyth do; fadtk draws them with replacement, so that
    its last point is not the set itself, and without a seed. `replace=True` is fadtk's way.

    Raises:
        ValueError: fewer than two sizes fit.
    """
    rows = checked(generated, "generated", 4)
    known = reference if isinstance(reference, Moments) else Moments.of(checked(reference, "reference"))
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


def _drawn(values: Sequence[float], count: int, seed: int) -> Drawn:
    std = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return Drawn(float(np.mean(values)), std, tuple(float(v) for v in values), count, seed)
