"""What stands beside every number, so that another can be compared with it; and how the records of two numbers differ."""

import inspect
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sonovid.core.geometry import count
from sonovid.metrics.base import ClipDistance, ClipScore, Distance, Metric, PairedScore, Reading, SetScore
from sonovid.metrics.cache import library_versions
from sonovid.metrics.extraction import Ready
from sonovid.metrics.protocol import WHOLE, Protocol
from sonovid.metrics.results import Evaluation
from sonovid.metrics.sets import Item, MediaSet

# What two systems differ in by nature: their clips. What was left out of them is said elsewhere.
OWN = ("generated.title", "generated.source", "generated.sha256", "generated.left_out", "reference.title", "reference.source")
RESIZE = "scaled to cover and cut evenly at the sides (Pillow, triangle filter)"


def of_sets(
    generated: MediaSet,
    reference: "MediaSet | None",
    *,
    seed: int,
    resamples: int,
    device: str,
    protocol: Protocol = WHOLE,
) -> dict[str, Any]:
    """What all numbers of one evaluation have in common."""
    return {
        **({"protocol": protocol.to_record()} if protocol != WHOLE else {}),
        "versions": {"python": platform.python_version(), **library_versions()},
        "device": device,
        "seed": seed,
        "resamples": resamples,
        "generated": of_set(generated),
        "reference": None if reference is None else of_set(reference),
    }


def of_set(one: MediaSet) -> dict[str, Any]:
    """One side: how many clips, what they are like as files, and a hash of them."""
    facts = dict(one.facts)
    return {
        "title": one.title,
        "source": one.source,
        "sha256": one.sha256,
        **facts,
        "size": None if one.facts["size"] is None else list(one.facts["size"]),
        "left_out": {fault.name: fault.reason for fault in one.left_out},
        **{
            f"{what}_of_the_reference": count
            for what in ("pictures", "sound")
            if (count := sum(getattr(item, what) is not None for item in one.items))
        },
    }


def of_metric(
    metric: Metric,
    ready: Mapping[Any, Ready],
    generated: Sequence[Item],
    reference: Sequence[Item],
    protocol: Protocol = WHOLE,
) -> dict[str, Any]:
    """What one number depends on: the estimator, the extractors, and what they read of the clips that are counted."""
    return {
        "estimator": estimator(metric),
        "extractors": [
            {
                **ready[kind].record,
                **({"protocol": brought} if (brought := protocol.to_record(kind.reading)) else {}),
                "resize": RESIZE if kind.reading.video and kind.reading.size else None,
                "generated": read_of(kind.reading, generated, protocol),
                "reference": read_of(kind.reading, reference, protocol),
            }
            for kind in metric.extractors
        ],
    }


def read_of(reading: Reading, items: Sequence[Item], protocol: Protocol = WHOLE) -> dict[str, Any] | None:
    """What a reading gives of some clips: their number, and least and most frames, rates, sizes, seconds."""
    if not items:
        return None
    found: dict[str, Any] = {"clips": len(items)}
    items = [item.source(reading) for item in items]
    most, fps, size = protocol.shortest(reading), reading.fps or protocol.fps, reading.size or protocol.size
    lengths = [min(i.info.duration, most) if most else i.info.duration for i in items]
    found["seconds"] = _range([float(round(length, 3)) for length in lengths])
    if reading.video:
        rates = [fps or i.info.fps or 0 for i in items]
        found["fps"] = _range([float(rate) for rate in rates])
        found["frames"] = _range([count(length, rate) if rate else 1 for length, rate in zip(lengths, rates, strict=True)])
        sizes = sorted({f"{w}x{h}" for h, w in (size or i.info.size or (0, 0) for i in items)})
        found["size"] = sizes if len(sizes) <= 3 else [sizes[0], "...", sizes[-1]]
    if reading.audio:
        found["sample_rate"] = _range([reading.sample_rate or i.info.sample_rate or 0 for i in items])
        found["channels_in_file"] = _range([i.info.channels for i in items])
    return found


def _range(values: Sequence[Any]) -> Any:
    """One value, or the least and the most."""
    return values[0] if min(values) == max(values) else [min(values), max(values)]


def estimator(metric: Metric) -> str:
    """The function that makes the number, with its settings."""
    if isinstance(metric, Distance):
        return f"{described(metric.distance)} of {metric.key}"
    if isinstance(metric, ClipDistance):
        return f"mean over clips of {described(metric.distances)} of {metric.key}"
    if isinstance(metric, SetScore):
        return f"{described(metric.score)} of {metric.key}"
    assert isinstance(metric, PairedScore | ClipScore)
    usual = isinstance(metric, PairedScore) or metric.summary is ClipScore.__dataclass_fields__["summary"].default
    return f"{'mean' if usual else described(metric.summary)} over clips of {described(metric.score)}"  # type: ignore[union-attr]


def described(function: Callable[..., Any]) -> str:
    """A function by its name and the settings it is called with, those it has by default or was made with too."""
    given: dict[str, Any] = {}
    while isinstance(function, partial):
        given = {**function.keywords, **given}
        function = function.func
    function = inspect.unwrap(function)
    made = inspect.getclosurevars(function).nonlocals if inspect.isfunction(function) else {}
    settings: dict[str, Any] = dict(made) | {
        name: one.default
        for name, one in inspect.signature(function).parameters.items()
        if one.default is not inspect.Parameter.empty and name != "block"
    }
    words = ", ".join(f"{name}={described(one) if callable(one) else one}" for name, one in (settings | given).items())
    name = getattr(function, "__qualname__", type(function).__name__).split(".<locals>")[0]
    return f"{name}({words})" if words else name.replace("<lambda>", "lambda")


@dataclass(frozen=True)
class Differing:
    """One thing in which two evaluations differ beside the clips that were generated.

    metric: "" for what all have in common. barring: whether numbers that differ in it are of different kinds, and may not be
    compared at all; else they may, with a warning.
    """

    metric: str
    line: str
    barring: bool


def differences(first: Evaluation, second: Evaluation) -> list[Differing]:
    """Everything in which two evaluations differ beside the clips that were generated."""
    found = []
    for what, a, b in _differing(first.record, second.record):
        line = f"{what}: {first.title} {_shown(a)}, {second.title} {_shown(b)}"
        found.append(Differing("", line, what == "reference.sha256"))
    seconds = {result.name: result for result in second.results}
    for result in first.results:
        other = seconds.get(result.name)
        for what, a, b in _differing(result.record, other.record) if other else ():
            line = f"{what}: {first.title} {_shown(a)}, {second.title} {_shown(b)}"
            found.append(Differing(result.name, line, _bars(what)))
    return found


def _bars(what: str) -> bool:
    """Whether numbers that differ in this part of their records may not be compared.

    What was read of the clips may differ by what the clips are; how it was read and computed may not. The frame rate at which
    pictures were looked at may not either: windows of one frame, flow per frame and sixteen frames are other things at another.
    """
    parts = what.split(".")
    return parts[-1] == "fps" or not {"generated", "reference"} & set(parts)


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    a, b = dict(_flat(first)), dict(_flat(second))
    for key in sorted({*a, *b}):
        if a.get(key) != b.get(key) and not key.startswith(OWN):
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
