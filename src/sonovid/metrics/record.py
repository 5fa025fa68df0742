"""Records of how numbers were computed, and the differences between two records."""

import inspect
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sonovid.core.geometry import count
from sonovid.metrics.base import ClipDistance, ClipScore, Distance, InputSpec, Metric, PairedScore, SetScore
from sonovid.metrics.cache import library_versions
from sonovid.metrics.lazy_extractor import LazyExtractor
from sonovid.metrics.protocol import NO_PROTOCOL, Protocol
from sonovid.metrics.results import Evaluation
from sonovid.metrics.sets import Item, MediaSet

# Parts of a record that always differ between two systems: their clips. Files left out are reported elsewhere.
EXPECTED_DIFFERENCES = (
    "generated.title",
    "generated.source",
    "generated.sha256",
    "generated.left_out",
    "reference.title",
    "reference.source",
)
RESIZE = "scaled to cover and cut evenly at the sides (Pillow, triangle filter)"


def evaluation_record(
    generated: MediaSet,
    reference: "MediaSet | None",
    *,
    seed: int,
    resamples: int,
    device: str,
    protocol: Protocol = NO_PROTOCOL,
) -> dict[str, Any]:
    """What all numbers of one evaluation have in common, as plain values for JSON."""
    return {
        **({"protocol": protocol.to_record()} if protocol != NO_PROTOCOL else {}),
        "versions": {"python": platform.python_version(), **library_versions()},
        "device": device,
        "seed": seed,
        "resamples": resamples,
        "generated": set_record(generated),
        "reference": None if reference is None else set_record(reference),
    }


def set_record(media_set: MediaSet) -> dict[str, Any]:
    """The record of one set: number of clips, properties of the files, and a hash."""
    info = dict(media_set.info)
    return {
        "title": media_set.title,
        "source": media_set.source,
        "sha256": media_set.sha256,
        **info,
        "size": None if media_set.info["size"] is None else list(media_set.info["size"]),
        "left_out": {fault.name: fault.reason for fault in media_set.left_out},
        **{
            f"{what}_of_the_reference": count
            for what, source in (("pictures", "video_source"), ("sound", "audio_source"))
            if (count := sum(getattr(item, source) is not None for item in media_set.items))
        },
    }


def metric_record(
    metric: Metric,
    extractors: Mapping[Any, LazyExtractor],
    generated: Sequence[Item],
    reference: Sequence[Item],
    protocol: Protocol = NO_PROTOCOL,
) -> dict[str, Any]:
    """What one number depends on: the estimator, the extractors, and what they read of the counted clips."""
    return {
        "estimator": estimator(metric),
        "extractors": [
            {
                **extractors[extractor].record,
                **({"protocol": applied} if (applied := protocol.to_record(extractor.input_spec)) else {}),
                "resize": RESIZE if extractor.input_spec.video and extractor.input_spec.size else None,
                "generated": streams_read(extractor.input_spec, generated, protocol),
                "reference": streams_read(extractor.input_spec, reference, protocol),
            }
            for extractor in metric.extractors
        ],
    }


def streams_read(input_spec: InputSpec, items: Sequence[Item], protocol: Protocol = NO_PROTOCOL) -> dict[str, Any] | None:
    """What is read of some clips: their number, and the range of their frames, rates, sizes and durations."""
    if not items:
        return None
    found: dict[str, Any] = {"clips": len(items)}
    items = [item.source(input_spec) for item in items]
    most, fps, size = protocol.max_seconds(input_spec), input_spec.fps or protocol.fps, input_spec.size or protocol.size
    lengths = [min(i.info.duration, most) if most else i.info.duration for i in items]
    found["seconds"] = _range([float(round(length, 3)) for length in lengths])
    if input_spec.video:
        rates = [fps or i.info.fps or 0 for i in items]
        found["fps"] = _range([float(rate) for rate in rates])
        found["frames"] = _range([count(length, rate) if rate else 1 for length, rate in zip(lengths, rates, strict=True)])
        sizes = sorted({f"{w}x{h}" for h, w in (size or i.info.size or (0, 0) for i in items)})
        found["size"] = sizes if len(sizes) <= 3 else [sizes[0], "...", sizes[-1]]
    if input_spec.audio:
        found["sample_rate"] = _range([input_spec.sample_rate or i.info.sample_rate or 0 for i in items])
        found["channels_in_file"] = _range([i.info.channels for i in items])
    return found


def _range(values: Sequence[Any]) -> Any:
    """One value, or the minimum and the maximum."""
    return values[0] if min(values) == max(values) else [min(values), max(values)]


def estimator(metric: Metric) -> str:
    """The function that computes the number, with its settings."""
    if isinstance(metric, Distance):
        return f"{describe_function(metric.distance)} of {metric.key}"
    if isinstance(metric, ClipDistance):
        return f"mean over clips of {describe_function(metric.distances)} of {metric.key}"
    if isinstance(metric, SetScore):
        return f"{describe_function(metric.score)} of {metric.key}"
    assert isinstance(metric, PairedScore | ClipScore)
    usual = isinstance(metric, PairedScore) or metric.summary is ClipScore.__dataclass_fields__["summary"].default
    return f"{'mean' if usual else describe_function(metric.summary)} over clips of {describe_function(metric.score)}"  # type: ignore[union-attr]


def describe_function(function: Callable[..., Any]) -> str:
    """A function's name with all its settings: arguments bound by `partial`, defaults, and closure variables."""
    bound: dict[str, Any] = {}
    while isinstance(function, partial):
        bound = {**function.keywords, **bound}
        function = function.func
    function = inspect.unwrap(function)
    closure = inspect.getclosurevars(function).nonlocals if inspect.isfunction(function) else {}
    settings: dict[str, Any] = dict(closure) | {
        name: one.default
        for name, one in inspect.signature(function).parameters.items()
        if one.default is not inspect.Parameter.empty and name != "block"
    }
    words = ", ".join(f"{name}={describe_function(one) if callable(one) else one}" for name, one in (settings | bound).items())
    name = getattr(function, "__qualname__", type(function).__name__).split(".<locals>")[0]
    return f"{name}({words})" if words else name.replace("<lambda>", "lambda")


@dataclass(frozen=True)
class RecordDifference:
    """One difference between the records of two evaluations, other than their generated clips.

    Attributes:
        metric: the metric that it concerns; "" for what all metrics have in common.
        line: the difference, in words.
        prevents_comparison: whether numbers that differ in it must not be compared. Otherwise they are, with a warning.
    """

    metric: str
    line: str
    prevents_comparison: bool


def record_differences(first: Evaluation, second: Evaluation) -> list[RecordDifference]:
    """All differences between the records of two evaluations, other than their generated clips."""
    found = []
    for what, a, b in _differing(first.record, second.record):
        line = f"{what}: {first.title} {_shown(a)}, {second.title} {_shown(b)}"
        found.append(RecordDifference("", line, what == "reference.sha256"))
    seconds = {result.name: result for result in second.results}
    for result in first.results:
        other = seconds.get(result.name)
        for what, a, b in _differing(result.record, other.record) if other else ():
            line = f"{what}: {first.title} {_shown(a)}, {second.title} {_shown(b)}"
            found.append(RecordDifference(result.name, line, _prevents_comparison(what)))
    return found


def _prevents_comparison(what: str) -> bool:
    """Whether numbers that differ in this part of their records must not be compared.

    What was read may differ because the clips differ. How it was read and computed may not. The frame rate may not differ either:
    a window of one frame, flow per frame and windows of sixteen frames have another meaning at another rate.
    """
    parts = what.split(".")
    return parts[-1] == "fps" or not {"generated", "reference"} & set(parts)


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    a, b = dict(_flat(first)), dict(_flat(second))
    for key in sorted({*a, *b}):
        if a.get(key) != b.get(key) and not key.startswith(EXPECTED_DIFFERENCES):
            yield key, a.get(key), b.get(key)


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _flat(one, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(one, Mapping) for one in value):
        for index, one in enumerate(value):
            name = one.get("name", index) if isinstance(one, Mapping) else index
            yield from _flat(one, f"{prefix}.{name}")
    else:
        yield prefix, list(value) if isinstance(value, tuple) else value


def _shown(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text[:12] + "..." if len(text) == 64 else text
