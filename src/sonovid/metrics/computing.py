"""From features to a number with its interval, its floor and its ceiling: one function for each kind of metric."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sonovid.metrics import resampling, sizes
from sonovid.metrics.base import Arrays, ClipDistance, ClipScore, Distance, Metric, PairedScore, SetScore, Unfit
from sonovid.metrics.extraction import Features, Kind
from sonovid.metrics.resampling import Bootstrap
from sonovid.metrics.rows import by_clip
from sonovid.metrics.sets import Item, MediaSet, pairs

# How often a floor, or a value at matched N, is drawn anew.
DRAWS = 10
# How many other partners each clip gets at most, and after how many pairs in all it is enough.
PARTNERS, PAIRS = 5, 500
# Resamples of a mean over clips, which cost next to nothing.
MEANS = 1000


class NotEnough(ValueError):
    """A metric that cannot be computed on these clips, and why."""


def lent(metric: Metric, item: Item) -> bool:
    """Whether all that a metric would see and hear of a clip is its partner's."""
    readings = [kind.reading for kind in metric.extractors if kind.reading.video or kind.reading.audio]
    return bool(readings) and all(item.source(reading) is not item for reading in readings)


@dataclass
class Sides:
    """What numbers are made of: both sets, their features, and how much is drawn at random."""

    generated: MediaSet
    reference: MediaSet | None
    features: Features
    seed: int = 0
    resamples: int = 200

    def usable(self, metric: Metric, one: MediaSet) -> list[Item]:
        """Clips of a set that have the features of all the metric's extractors, and one of the streams of their own."""
        return [
            item
            for item in one.items
            if not lent(metric, item) and all(self.features.has(kind, item) for kind in metric.extractors)
        ]

    def left_out(self, metric: Metric, one: MediaSet) -> dict[str, str]:
        """The other clips of a set, and why."""
        reasons = {}
        for item in one.items:
            why = [reason for kind in metric.extractors if (reason := self.features.reason(kind, item))]
            if lent(metric, item):
                why = ["what it is of is the partner's own"]
            if why:
                reasons[item.name] = why[0]
        return reasons


@dataclass
class Computed:
    """Fields of a result, as far as they come from numbers, with the clips that were counted on either side."""

    generated: list[Item]
    reference: list[Item]
    values: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    left_out: dict[str, dict[str, str]] = field(default_factory=dict)


def compute(metric: Metric, sides: Sides) -> Computed:
    """The number of a metric.

    Raises:
        NotEnough: too few clips, or none that fit.
        ValueError: what the metric's own function refuses.
    """
    kinds: list[tuple[type[Metric], Callable[[Any, Sides], Computed]]] = [
        (Distance, _distance),
        (ClipDistance, _clip_distance),
        (SetScore, _set_score),
        (PairedScore, _paired_score),
        (ClipScore, _clip_score),
    ]
    function = next(function for kind, function in kinds if isinstance(metric, kind))
    computed = function(metric, sides)
    for one in (sides.generated, sides.reference):
        if one is not None and (reasons := sides.left_out(metric, one)):
            computed.left_out[one.title] = reasons | computed.left_out.get(one.title, {})
    return computed


def _distance(metric: Distance, sides: Sides) -> Computed:
    generated, reference = _of_both(metric, sides)
    (rows, own), (others, other) = (
        stacked(sides.features, metric.extractor, metric.key, side) for side in (generated, reference)
    )
    value = metric.distance(rows, others)
    spread = resampling.of_distance(
        value,
        metric.distance,
        rows,
        others,
        generated_clips=own,
        reference_clips=other,
        resamples=sides.resamples,
        seed=sides.seed,
    )
    computed = Computed(generated, reference, {"value": value, **_interval(spread, positive=metric.by_size)})
    computed.values["alike"] = _alike(generated, reference, sides)
    least = min(len(generated), len(reference) // 2)
    if least >= 2:
        same = {"distance": metric.distance, "count": least, "draws": DRAWS, "seed": sides.seed}
        floor = _tried(sizes.halves, others, clips=other, **same)
        matched = _tried(sizes.matched, rows, others, generated_clips=own, reference_clips=other, **same)
        if floor is not None and matched is not None:
            computed.values |= {
                "floor": floor.mean,
                "floor_what": f"two parts of the reference, {least} clips each, mean of {DRAWS} draws",
                "matched": matched.mean,
                "matched_count": least,
            }
    if metric.by_size and min(len(rows), len(others)) <= rows.shape[1]:
        computed.warnings.append(
            f"{len(rows)} and {len(others)} rows of {rows.shape[1]} features: far above its limit of many clips; compare it with "
            "values at these numbers only"
        )
    if metric.by_size and len(generated) != len(reference):
        computed.warnings.append(
            f"{len(generated)} clips against {len(reference)}: it falls with either number; see the matched N"
        )
    return computed


def _clip_distance(metric: ClipDistance, sides: Sides) -> Computed:
    generated, reference = _of_both(metric, sides)
    features = sides.features
    few = {
        item.name: f"{len(r)} rows, {metric.least} are needed"
        for item in generated
        if len(r := _rows(features, metric, item)) < metric.least
    }
    generated = [item for item in generated if item.name not in few]
    if not generated:
        raise NotEnough(f"no clip has {metric.least} rows: clips are too short")
    others, _ = stacked(features, metric.extractor, metric.key, reference)
    found = metric.distances([_rows(features, metric, item) for item in generated], others)
    computed = _of_clips({item.name: float(v) for item, v in zip(generated, found, strict=True)}, sides, generated, reference)
    computed.left_out = {sides.generated.title: few} if few else {}
    if len(reference) >= 4:
        order = np.random.Generator(np.random.PCG64(sides.seed)).permutation(len(reference))
        halves = [[reference[i] for i in part] for part in (order[: len(order) // 2], order[len(order) // 2 :])]
        first = [r for item in halves[0] if len(r := _rows(features, metric, item)) >= metric.least]
        if first:
            values = metric.distances(first, stacked(features, metric.extractor, metric.key, halves[1])[0])
            computed.values |= {
                "floor": float(np.mean(values)),
                "floor_what": f"clips of one half of the reference against the other, {len(first)} clips",
                "reference_clips": {},
            }
    return computed


def _set_score(metric: SetScore, sides: Sides) -> Computed:
    generated = sides.usable(metric, sides.generated)
    if len(generated) < 2:
        raise NotEnough(_why_not(metric, sides, generated))
    rows, own = stacked(sides.features, metric.extractor, metric.key, generated)
    value = metric.score(rows)
    spread = resampling.of_score(value, metric.score, rows, clips=own, resamples=sides.resamples, seed=sides.seed)
    computed = Computed(generated, [], {"value": value, **_interval(spread), "alike": _alike(generated, [], sides)})
    reference = sides.usable(metric, sides.reference) if sides.reference else []
    if len(reference) >= 2:
        others, other = stacked(sides.features, metric.extractor, metric.key, reference)
        count = min(len(generated), len(reference))
        groups = by_clip(other, len(others))
        draws = resampling.drawn_apart(len(reference), count, 1 if count == len(reference) else DRAWS, sides.seed)
        values = [metric.score(others[np.concatenate([groups[i] for i in chosen])]) for chosen in draws]
        computed.reference = reference
        computed.values |= {"ceiling": float(np.mean(values)), "ceiling_what": f"{count} clips of the reference"}
    return computed


def _paired_score(metric: PairedScore, sides: Sides) -> Computed:
    assert sides.reference is not None
    matched = [
        pair
        for pair in pairs(sides.generated, sides.reference)
        if not lent(metric, pair[0]) and all(sides.features.has(metric.extractor, item) for item in pair)
    ]
    if not matched:
        raise NotEnough("no clip has a partner of its name that fits")
    arrays = [[sides.features.of(metric.extractor, item) for item in side] for side in zip(*matched, strict=True)]
    values = [_scored(metric.score, own, other) for own, other in zip(*arrays, strict=True)]
    generated, reference = ([pair[i] for pair in matched] for i in (0, 1))
    computed = _of_clips(dict(zip((i.name for i in generated), values, strict=True)), sides, generated, reference)
    shuffled = _shuffled(metric.score, *arrays, seed=sides.seed)
    if shuffled is not None:
        about = _partners(len(matched), "partners of other clips")
        computed.values |= {"floor": float(np.nanmean(shuffled)), "floor_what": about, "shuffled": tuple(shuffled.tolist())}
    return computed


def _clip_score(metric: ClipScore, sides: Sides) -> Computed:
    generated = sides.usable(metric, sides.generated)
    if not generated:
        raise NotEnough(_why_not(metric, sides, generated))

    def scored(items: Sequence[Item]) -> dict[str, float]:
        return {i.name: _scored(metric.score, sides.features.of(metric.of, i), sides.features.of(metric.to, i)) for i in items}

    computed = _of_clips(scored(generated), sides, generated, [], metric.summary)
    streams = [[sides.features.of(kind, item) for item in generated] for kind in (metric.of, metric.to)]
    # What is of one stream has no partner to be shuffled.
    shuffled = None if metric.of is metric.to else _shuffled(metric.score, *streams, seed=sides.seed)
    if shuffled is not None:
        about = _partners(len(generated), "streams of other clips")
        computed.values |= {"floor": metric.summary(shuffled), "floor_what": about, "shuffled": tuple(shuffled.tolist())}
    reference = sides.usable(metric, sides.reference) if sides.reference else []
    own = scored(reference)
    if np.isfinite(list(own.values())).any():
        computed.reference = reference
        values = np.array(list(own.values()))
        computed.values |= {
            "ceiling": metric.summary(values),
            "ceiling_what": f"the reference's own clips, {int(np.isfinite(values).sum())}",
            "reference_clips": own,
        }
    return computed


def _of_clips(
    clips: Mapping[str, float],
    sides: Sides,
    generated: list[Item],
    reference: list[Item],
    summary: Callable[[np.ndarray], float] = lambda values: float(np.nanmean(values)),
) -> Computed:
    """The result of a number that each clip has."""
    values = np.array(list(clips.values()))
    undefined = int(np.isnan(values).sum())
    if undefined == len(values):
        raise NotEnough(f"it is not defined for any of {len(values)} clips")
    value = summary(values)
    spread = resampling.of_values(summary, values, resamples=MEANS, seed=sides.seed) if len(values) - undefined > 1 else None
    alike = _alike(generated, reference, sides)
    found = {
        "value": value,
        "undefined": undefined,
        "clips": dict(clips),
        "alike": alike,
        **(_interval(spread) if spread else {}),
    }
    return Computed(generated, reference, found)


def stacked(features: Features, kind: Kind, key: str, items: Sequence[Item]) -> tuple[np.ndarray, np.ndarray]:
    """Rows [n d] of some clips in float64, and which clip each is of."""
    parts = [np.atleast_2d(np.asarray(features.of(kind, item)[key], np.float64)) for item in items]
    return np.concatenate(parts), np.repeat(np.arange(len(parts)), [len(part) for part in parts])


def _rows(features: Features, metric: ClipDistance, item: Item) -> np.ndarray:
    return np.atleast_2d(np.asarray(features.of(metric.extractor, item)[metric.key], np.float64))


def _of_both(metric: "Distance | ClipDistance", sides: Sides) -> tuple[list[Item], list[Item]]:
    """Clips of both sides whose rows are numbers; the others are put down as left out."""
    assert sides.reference is not None
    found = []
    for one in (sides.generated, sides.reference):
        for item in sides.usable(metric, one):
            rows = sides.features.of(metric.extractor, item)[metric.key]
            if not np.isfinite(rows).all() or not rows.size:
                sides.features.drop(
                    metric.extractor, item, "its features hold NaN or infinity" if rows.size else "it has no rows"
                )
        usable = sides.usable(metric, one)
        if len(usable) < 2:
            raise NotEnough(f"{one.title}: {_why_not(metric, sides, usable, one)}")
        found.append(usable)
    return found[0], found[1]


def _why_not(metric: Metric, sides: Sides, usable: Sequence[Item], one: "MediaSet | None" = None) -> str:
    reasons = sides.left_out(metric, one or sides.generated)
    why = f"; {next(iter(reasons))}: {next(iter(reasons.values()))}" if reasons else ""
    return f"{len(usable)} clips that fit{why}"


def _scored(score: Callable[[Arrays, Arrays], float], first: Arrays, second: Arrays) -> float:
    try:
        return float(score(first, second))
    except Unfit:
        return float("nan")


def _shuffled(
    score: Callable[[Arrays, Arrays], float], first: Sequence[Arrays], second: Sequence[Arrays], *, seed: int
) -> np.ndarray | None:
    """Scores with the partners of other clips: each clip gets several, each partner is taken as often. None for a single clip."""
    count = len(first)
    if count < 2:
        return None
    order = np.random.Generator(np.random.PCG64((seed, 2))).permutation(count)
    found = [
        _scored(score, first[order[i]], second[order[(i + shift) % count]])
        for shift in range(1, _others(count) + 1)
        for i in range(count)
    ]
    return np.array(found) if np.isfinite(found).any() else None


def _others(count: int) -> int:
    """How many other partners each of some clips gets."""
    return min(PARTNERS, count - 1, max(1, -(-PAIRS // count)))


def _partners(count: int, what: str) -> str:
    return f"{what}, {_others(count)} for each of {count} clips"


def _interval(spread: Bootstrap, *, positive: bool = False) -> dict[str, Any]:
    low = max(0.0, spread.low) if positive else spread.low
    return {"low": low, "high": spread.high, "std": spread.std, "draws": spread.draws}


def _alike(generated: Sequence[Item], reference: Sequence[Item], sides: Sides) -> str:
    """Two systems of which this is equal were drawn alike: the same names, the same reference, the same seed."""
    lines = [*(item.name for item in generated), "", *(item.sha256 for item in reference), str(sides.seed), str(sides.resamples)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _tried(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """None where a part of the set is too small for the metric, as an extrapolation is."""
    try:
        return function(*args, **options)
    except ValueError:
        return None
