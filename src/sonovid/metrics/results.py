"""What a measurement leaves behind: numbers with what is needed to trust and to compare them, as plain values in JSON."""

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

    value with the interval low to high (95 %, bootstrap over clips) and std, the standard deviation of the resampled values.
    floor, ceiling: with what they are of, in words; None where there is none. matched: the value with `matched_count` clips on
    both sides. generated, reference: clips that were counted. undefined: clips for which the number does not exist.
    clips, reference_clips, shuffled: values of single clips, where there are such, by name. draws: resampled values; alike:
    what two systems' draws must have in common to be pairs. left_out: clips that could not be used and why, by set and name.
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


def worth(value: float | int, better: str) -> float:
    """A value turned so that larger is better: -|value| where zero is best, -|value - 1| where one is."""
    return float({"higher": value, "lower": -value, "zero": -abs(value), "one": -abs(value - 1)}[better])


@dataclass(frozen=True)
class Skipped:
    """A metric that was not computed, and why, in one line."""

    name: str
    family: str
    reason: str


@dataclass(frozen=True)
class Evaluation:
    """All numbers of one system. title: what tables call it. warnings: of the sets. record: what all numbers have in common."""

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
        raise KeyError(f"{name}: not computed; there are {', '.join(result.name for result in self.results)}")

    def to_json(self) -> str:
        """Everything, as text. Numbers that do not exist are null."""
        return json.dumps({"format": FORMAT, **_plain(asdict(self))}, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, name: str = "results") -> "Evaluation":
        """The opposite of `to_json`.

        Raises:
            ValueError: not such a file, or of another version.
        """
        try:
            held = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{name}: not JSON ({error})") from None
        if not isinstance(held, dict) or held.get("format") != FORMAT or "results" not in held:
            raise ValueError(f"{name}: not a file that sonovid evaluate --json of this version wrote")
        return cls(
            title=held["title"],
            results=tuple(_result(one) for one in held["results"]),
            skipped=tuple(Skipped(**one) for one in held["skipped"]),
            warnings=tuple(held["warnings"]),
            record=held["record"],
        )


def save(evaluation: Evaluation, path: "str | Path") -> None:
    """Write the JSON file, whole or not at all."""
    atomic.write_text(path, evaluation.to_json())


def save_comparison(evaluations: Sequence[Evaluation], comparisons: Sequence[Any], path: "str | Path") -> None:
    """Several systems and what their comparison found (dataclasses), as one JSON file."""
    held = {
        "format": FORMAT,
        "systems": [_plain(asdict(one)) for one in evaluations],
        "comparisons": [_plain(asdict(one)) for one in comparisons],
    }
    atomic.write_text(path, json.dumps(held, indent=1, allow_nan=False) + "\n")


def load(path: "str | Path") -> Evaluation:
    """Read what `save` wrote."""
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
