"""Results of an evaluation and their JSON format: numbers with the uncertainty and the record needed to compare them."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from sonovid.core import atomic

FORMAT = 1


@dataclass(frozen=True)
class Result:
    """One metric of one system.

    Attributes:
        name, family, what, better, unit, source: of the metric (`base.Metric`).
        value: the number.
        generated, reference: the numbers of clips that were counted.
        low, high: the 95 % interval, by bootstrap over clips.
        std: the standard deviation of the resampled values.
        floor: the random baseline, or None.
        floor_what: what the floor is computed from, in words.
        ceiling: the upper bound, or None.
        ceiling_what: what the ceiling is computed from, in words.
        matched: the value with `matched_count` clips on both sides, or None.
        undefined: the number of clips for which the metric is undefined.
        clips, reference_clips: values of single clips by name, if the metric has any.
        shuffled: values of shuffled pairs.
        draws: resampled values.
        alike: equal for two systems whose draws are paired.
        left_out: clips that could not be used, with the reason, by set and name.
        warnings: known limitations at these settings.
        record: how the number was computed.
    """

    name: str
    family: str
    what: str
    better: str
    unit: str
    source: str
    value: float
    generated: int
    reference: int
    low: float = math.nan
    high: float = math.nan
    std: float = math.nan
    floor: float | None = None
    floor_what: str = ""
    ceiling: float | None = None
    ceiling_what: str = ""
    matched: float | None = None
    matched_count: int = 0
    undefined: int = 0
    clips: dict[str, float] = field(default_factory=dict)
    reference_clips: dict[str, float] = field(default_factory=dict)
    shuffled: tuple[float, ...] = ()
    draws: tuple[float, ...] = ()
    alike: str = ""
    left_out: dict[str, dict[str, str]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    record: dict[str, Any] = field(default_factory=dict)


def oriented_value(value: float | int, better: str) -> float:
    """Transform a value so that larger is better: -|value| if zero is best, -|value - 1| if one is best."""
    return float({"higher": value, "lower": -value, "zero": -abs(value), "one": -abs(value - 1)}[better])


@dataclass(frozen=True)
class Skipped:
    """A metric that was not computed, with the reason in one line."""

    name: str
    family: str
    reason: str


@dataclass(frozen=True)
class Evaluation:
    """All numbers of one system.

    Attributes:
        title: the name of the system in tables.
        results: the computed metrics.
        skipped: the metrics that were not computed.
        warnings: about the sets.
        record: what all numbers have in common.
    """

    title: str
    results: tuple[Result, ...]
    skipped: tuple[Skipped, ...] = ()
    warnings: tuple[str, ...] = ()
    record: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Result:
        """The result of a metric by its name."""
        for result in self.results:
            if result.name == name:
                return result
        raise KeyError(f"{name}: not computed; available are {', '.join(result.name for result in self.results)}")

    def to_json(self) -> str:
        """Everything as JSON text. Undefined numbers are null."""
        return json.dumps({"format": FORMAT, **_plain(asdict(self))}, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, name: str = "results") -> "Evaluation":
        """The inverse of `to_json`.

        Raises:
            ValueError: not such a file, or one of another version.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{name}: not JSON ({error})") from None
        if not isinstance(data, dict) or data.get("format") != FORMAT or "results" not in data:
            raise ValueError(f"{name}: expected a file that sonovid evaluate --json of this version wrote")
        return cls(
            title=data["title"],
            results=tuple(_result(one) for one in data["results"]),
            skipped=tuple(Skipped(**one) for one in data["skipped"]),
            warnings=tuple(data["warnings"]),
            record=data["record"],
        )


def save(evaluation: Evaluation, path: "str | Path") -> None:
    """Write an evaluation to a JSON file, atomically."""
    atomic.write_text(path, evaluation.to_json())


def save_comparison(evaluations: Sequence[Evaluation], comparisons: Sequence[Any], path: "str | Path") -> None:
    """Write several evaluations and their comparisons (dataclasses) to one JSON file, atomically."""
    data = {
        "format": FORMAT,
        "systems": [_plain(asdict(one)) for one in evaluations],
        "comparisons": [_plain(asdict(one)) for one in comparisons],
    }
    atomic.write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def load(path: "str | Path") -> Evaluation:
    """Read a file that `save` wrote."""
    return Evaluation.from_json(Path(path).read_text(encoding="utf-8"), str(path))


def _result(held: Mapping[str, Any]) -> Result:
    known = {one.name for one in fields(Result)}
    values = {name: value for name, value in held.items() if name in known}
    for name in ("value", "low", "high", "std"):
        values[name] = math.nan if values[name] is None else values[name]
    for name in ("clips", "reference_clips"):
        values[name] = {clip: math.nan if one is None else one for clip, one in values[name].items()}
    for name in ("shuffled", "draws", "warnings"):
        values[name] = tuple(values[name])
    return Result(**values)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)
