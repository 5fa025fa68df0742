"""From features to a number with its confidence interval, floor and ceiling: one function for each kind of metric."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sonovid.metrics import resampling, sizes
from sonovid.metrics.base import Arrays, ClipDistance, ClipScore, Distance, Metric, PairedScore, SetScore, UnusableClipError
from sonovid.metrics.extraction import Features
from sonovid.metrics.lazy_extractor import ExtractorClass
from sonovid.metrics.resampling import Bootstrap
from sonovid.metrics.rows import rows_by_clip
from sonovid.metrics.sets import Item, MediaSet, pair_by_name

# Random draws for a floor and for a value at matched N.
DRAWS = 10
# Shuffled pairs for a floor: at most so many partners per clip, and no more once there are so many pairs in all.
MAX_PARTNERS, ENOUGH_PAIRS = 5, 500
# Bootstrap resamples of a mean over clips, which are cheap.
MEAN_RESAMPLES = 1000


class TooFewClipsError(ValueError):
    """A metric cannot be computed: too few clips are usable."""


def is_borrowed(metric: Metric, item: Item) -> bool:
    """Whether a metric would read nothing but streams that the clip borrows from its partner (`Item.source`)."""
    specs = [extractor.input_spec for extractor in metric.extractors if extractor.input_spec.video or extractor.input_spec.audio]
    return bool(specs) and all(item.source(input_spec) is not item for input_spec in specs)


@dataclass
class MetricInputs:
    """What metrics are computed from: both sets, their features, and the settings of random draws."""

    generated: MediaSet
    reference: MediaSet | None
    features: Features
    seed: int = 0
    resamples: int = 200

    def usable_items(self, metric: Metric, media_set: MediaSet) -> list[Item]:
        """The clips that have features of all the metric's extractors, and at least one stream of their own."""
        return [
            item
            for item in media_set.items
            if not is_borrowed(metric, item) and all(self.features.has(extractor, item) for extractor in metric.extractors)
        ]

    def left_out(self, metric: Metric, media_set: MediaSet) -> dict[str, str]:
        """The other clips by name, with the reason."""
        reasons = {}
        for item in media_set.items:
            why = [reason for extractor in metric.extractors if (reason := self.features.reason(extractor, item))]
            if is_borrowed(metric, item):
                why = ["it borrows the stream from its partner"]
            if why:
                reasons[item.name] = why[0]
        return reasons


@dataclass
class Computation:
    """The computed fields of a `Result`, and the clips that were counted on either side."""

    generated: list[Item]
    reference: list[Item]
    values: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    left_out: dict[str, dict[str, str]] = field(default_factory=dict)


def compute(metric: Metric, inputs: MetricInputs) -> Computation:
    """Compute a metric.

    Raises:
        TooFewClipsError: too few clips are usable.
        ValueError: an error of the metric's own function.
    """
    kinds: list[tuple[type[Metric], Callable[[Any, MetricInputs], Computation]]] = [
        (Distance, _distance),
        (ClipDistance, _clip_distance),
        (SetScore, _set_score),
        (PairedScore, _paired_score),
        (ClipScore, _clip_score),
    ]
    function = next(function for kind, function in kinds if isinstance(metric, kind))
    computed = function(metric, inputs)
    for media_set in (inputs.generated, inputs.reference):
        if media_set is not None and (reasons := inputs.left_out(metric, media_set)):
            computed.left_out[media_set.title] = reasons | computed.left_out.get(media_set.title, {})
    return computed


def _distance(metric: Distance, inputs: MetricInputs) -> Computation:
    generated, reference = _usable_rows_of_both(metric, inputs)
    (rows, own), (others, other) = (
        stack_rows(inputs.features, metric.extractor, metric.key, side) for side in (generated, reference)
    )
    value = metric.distance(rows, others)
    spread = resampling.bootstrap_distance(
        value,
        metric.distance,
        rows,
        others,
        generated_clips=own,
        reference_clips=other,
        resamples=inputs.resamples,
        seed=inputs.seed,
    )
    computed = Computation(generated, reference, {"value": value, **_interval(spread, positive=metric.by_size)})
    computed.values["alike"] = _draw_key(generated, reference, inputs)
    least = min(len(generated), len(reference) // 2)
    if least >= 2:
        same = {"distance": metric.distance, "count": least, "draws": DRAWS, "seed": inputs.seed}
        floor = _none_if_too_few(sizes.split_half_distance, others, clips=other, **same)
        matched = _none_if_too_few(sizes.matched_distance, rows, others, generated_clips=own, reference_clips=other, **same)
        if floor is not None and matched is not None:
            computed.values |= {
                "floor": floor.mean,
                "floor_what": f"two parts of the reference, {least} clips each, mean of {DRAWS} draws",
                "matched": matched.mean,
                "matched_count": least,
            }
    if metric.by_size and min(len(rows), len(others)) <= rows.shape[1]:
        computed.warnings.append(
            f"{len(rows)} and {len(others)} rows of {rows.shape[1]} features: far above its limit for many clips; compare "
            "only with values at these numbers of rows"
        )
    if metric.by_size and len(generated) != len(reference):
        computed.warnings.append(
            f"{len(generated)} clips against {len(reference)}: the distance falls with either number; see the value at matched N"
        )
    return computed


def _clip_distance(metric: ClipDistance, inputs: MetricInputs) -> Computation:
    generated, reference = _usable_rows_of_both(metric, inputs)
    features = inputs.features
    few = {
        item.name: f"{len(r)} rows, {metric.least} are needed"
        for item in generated
        if len(r := _rows(features, metric, item)) < metric.least
    }
    generated = [item for item in generated if item.name not in few]
    if not generated:
        raise TooFewClipsError(f"no clip has {metric.least} rows: clips are too short")
    others, _ = stack_rows(features, metric.extractor, metric.key, reference)
    found = metric.distances([_rows(features, metric, item) for item in generated], others)
    computed = _summarize_clips(
        {item.name: float(v) for item, v in zip(generated, found, strict=True)}, inputs, generated, reference
    )
    computed.left_out = {inputs.generated.title: few} if few else {}
    if len(reference) >= 4:
        order = np.random.Generator(np.random.PCG64(inputs.seed)).permutation(len(reference))
        halves = [[reference[i] for i in part] for part in (order[: len(order) // 2], order[len(order) // 2 :])]
        first = [r for item in halves[0] if len(r := _rows(features, metric, item)) >= metric.least]
        if first:
            values = metric.distances(first, stack_rows(features, metric.extractor, metric.key, halves[1])[0])
            computed.values |= {
                "floor": float(np.mean(values)),
                "floor_what": f"clips of one half of the reference against the other, {len(first)} clips",
                "reference_clips": {},
            }
    return computed


def _set_score(metric: SetScore, inputs: MetricInputs) -> Computation:
    generated = inputs.usable_items(metric, inputs.generated)
    if len(generated) < 2:
        raise TooFewClipsError(_explain_too_few(metric, inputs, generated))
    rows, own = stack_rows(inputs.features, metric.extractor, metric.key, generated)
    value = metric.score(rows)
    spread = resampling.bootstrap_score(value, metric.score, rows, clips=own, resamples=inputs.resamples, seed=inputs.seed)
    computed = Computation(generated, [], {"value": value, **_interval(spread), "alike": _draw_key(generated, [], inputs)})
    reference = inputs.usable_items(metric, inputs.reference) if inputs.reference else []
    if len(reference) >= 2:
        others, other = stack_rows(inputs.features, metric.extractor, metric.key, reference)
        count = min(len(generated), len(reference))
        groups = rows_by_clip(other, len(others))
        draws = resampling.draw_distinct_clips(len(reference), count, 1 if count == len(reference) else DRAWS, inputs.seed)
        values = [metric.score(others[np.concatenate([groups[i] for i in chosen])]) for chosen in draws]
        computed.reference = reference
        computed.values |= {"ceiling": float(np.mean(values)), "ceiling_what": f"{count} clips of the reference"}
    return computed


def _paired_score(metric: PairedScore, inputs: MetricInputs) -> Computation:
    assert inputs.reference is not None
    matched = [
        pair
        for pair in pair_by_name(inputs.generated, inputs.reference)
        if not is_borrowed(metric, pair[0]) and all(inputs.features.has(metric.extractor, item) for item in pair)
    ]
    if not matched:
        raise TooFewClipsError("no clip has a usable partner of its name")
    arrays = [[inputs.features.get(metric.extractor, item) for item in side] for side in zip(*matched, strict=True)]
    values = [_score_or_nan(metric.score, own, other) for own, other in zip(*arrays, strict=True)]
    generated, reference = ([pair[i] for pair in matched] for i in (0, 1))
    computed = _summarize_clips(dict(zip((i.name for i in generated), values, strict=True)), inputs, generated, reference)
    shuffled = _shuffled(metric.score, *arrays, seed=inputs.seed)
    if shuffled is not None:
        about = _describe_partners(len(matched), "partners of other clips")
        computed.values |= {"floor": float(np.nanmean(shuffled)), "floor_what": about, "shuffled": tuple(shuffled.tolist())}
    return computed


def _clip_score(metric: ClipScore, inputs: MetricInputs) -> Computation:
    generated = inputs.usable_items(metric, inputs.generated)
    if not generated:
        raise TooFewClipsError(_explain_too_few(metric, inputs, generated))

    def scored(items: Sequence[Item]) -> dict[str, float]:
        return {
            i.name: _score_or_nan(metric.score, inputs.features.get(metric.of, i), inputs.features.get(metric.to, i))
            for i in items
        }

    computed = _summarize_clips(scored(generated), inputs, generated, [], metric.summary)
    streams = [[inputs.features.get(extractor, item) for item in generated] for extractor in (metric.of, metric.to)]
    # A score of a single stream has no partner to shuffle.
    shuffled = None if metric.of is metric.to else _shuffled(metric.score, *streams, seed=inputs.seed)
    if shuffled is not None:
        about = _describe_partners(len(generated), "streams of other clips")
        computed.values |= {"floor": metric.summary(shuffled), "floor_what": about, "shuffled": tuple(shuffled.tolist())}
    reference = inputs.usable_items(metric, inputs.reference) if inputs.reference else []
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


def _summarize_clips(
    clips: Mapping[str, float],
    inputs: MetricInputs,
    generated: list[Item],
    reference: list[Item],
    summary: Callable[[np.ndarray], float] = lambda values: float(np.nanmean(values)),
) -> Computation:
    """The result for a metric with one value per clip."""
    values = np.array(list(clips.values()))
    undefined = int(np.isnan(values).sum())
    if undefined == len(values):
        raise TooFewClipsError(f"it is undefined for all {len(values)} clips")
    value = summary(values)
    spread = (
        resampling.bootstrap_values(summary, values, resamples=MEAN_RESAMPLES, seed=inputs.seed)
        if len(values) - undefined > 1
        else None
    )
    alike = _draw_key(generated, reference, inputs)
    found = {
        "value": value,
        "undefined": undefined,
        "clips": dict(clips),
        "alike": alike,
        **(_interval(spread) if spread else {}),
    }
    return Computation(generated, reference, found)


def stack_rows(features: Features, extractor: ExtractorClass, key: str, items: Sequence[Item]) -> tuple[np.ndarray, np.ndarray]:
    """The rows [n d] of some clips in float64, and the index of the clip of each row."""
    parts = [np.atleast_2d(np.asarray(features.get(extractor, item)[key], np.float64)) for item in items]
    return np.concatenate(parts), np.repeat(np.arange(len(parts)), [len(part) for part in parts])


def _rows(features: Features, metric: ClipDistance, item: Item) -> np.ndarray:
    return np.atleast_2d(np.asarray(features.get(metric.extractor, item)[metric.key], np.float64))


def _usable_rows_of_both(metric: "Distance | ClipDistance", inputs: MetricInputs) -> tuple[list[Item], list[Item]]:
    """The clips of both sides whose rows are finite; the others are marked as left out."""
    assert inputs.reference is not None
    found = []
    for media_set in (inputs.generated, inputs.reference):
        for item in inputs.usable_items(metric, media_set):
            rows = inputs.features.get(metric.extractor, item)[metric.key]
            if not np.isfinite(rows).all() or not rows.size:
                inputs.features.drop(
                    metric.extractor, item, "its features contain NaN or infinity" if rows.size else "it has no rows"
                )
        usable_items = inputs.usable_items(metric, media_set)
        if len(usable_items) < 2:
            raise TooFewClipsError(f"{media_set.title}: {_explain_too_few(metric, inputs, usable_items, media_set)}")
        found.append(usable_items)
    return found[0], found[1]


def _explain_too_few(
    metric: Metric, inputs: MetricInputs, usable_items: Sequence[Item], media_set: "MediaSet | None" = None
) -> str:
    reasons = inputs.left_out(metric, media_set or inputs.generated)
    why = f"; {next(iter(reasons))}: {next(iter(reasons.values()))}" if reasons else ""
    return f"{len(usable_items)} usable clips{why}"


def _score_or_nan(score: Callable[[Arrays, Arrays], float], first: Arrays, second: Arrays) -> float:
    try:
        return float(score(first, second))
    except UnusableClipError:
        return float("nan")


def _shuffled(
    score: Callable[[Arrays, Arrays], float], first: Sequence[Arrays], second: Sequence[Arrays], *, seed: int
) -> np.ndarray | None:
    """Scores with the partners of other clips: the random baseline. Every partner is used equally often.

    None for a single clip.
    """
    count = len(first)
    if count < 2:
        return None
    order = np.random.Generator(np.random.PCG64((seed, 2))).permutation(count)
    found = [
        _score_or_nan(score, first[order[i]], second[order[(i + shift) % count]])
        for shift in range(1, _partner_count(count) + 1)
        for i in range(count)
    ]
    return np.array(found) if np.isfinite(found).any() else None


def _partner_count(count: int) -> int:
    """The number of shuffled partners per clip."""
    return min(MAX_PARTNERS, count - 1, max(1, -(-ENOUGH_PAIRS // count)))


def _describe_partners(count: int, what: str) -> str:
    return f"{what}, {_partner_count(count)} for each of {count} clips"


def _interval(spread: Bootstrap, *, positive: bool = False) -> dict[str, Any]:
    low = max(0.0, spread.low) if positive else spread.low
    return {"low": low, "high": spread.high, "std": spread.std, "draws": spread.draws}


def _draw_key(generated: Sequence[Item], reference: Sequence[Item], inputs: MetricInputs) -> str:
    """Equal for two systems whose bootstrap draws are paired: same clip names, same reference, same seed."""
    lines = [
        *(item.name for item in generated),
        "",
        *(item.sha256 for item in reference),
        str(inputs.seed),
        str(inputs.resamples),
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _none_if_too_few(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """None if a subset is too small for the metric, such as an extrapolation."""
    try:
        return function(*args, **options)
    except ValueError:
        return None
