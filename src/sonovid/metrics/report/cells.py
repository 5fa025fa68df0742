"""The contents of report tables as text, shared by the terminal, Markdown and HTML reports."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sonovid.metrics.compare import Comparisons
from sonovid.metrics.results import Evaluation, Result

HEADER = ("metric", "value", "95 %", "floor", "ceiling", "same N", "N")
DIRECTIONS = {"lower": "↓", "higher": "↑", "zero": "→ 0", "one": "→ 1"}
LEGEND = (
    "↓ lower is better, ↑ higher is better, → 0 and → 1 closer is better. 95 %: bootstrap over clips. Floor: for alignment and "
    "pair scores the value of shuffled partners; for distances the value between two parts of the reference, the lowest that can "
    "be expected. Ceiling: the reference's own value. Same N: the value with as many clips on both sides as the floor. N: clips, "
    "generated / reference."
)


@dataclass(frozen=True)
class Table:
    """One system's numbers as text. `rows` hold the name and the cells; `notes` are referred to by number."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def table(evaluation: Evaluation, *, brief: bool = False) -> Table:
    """The table of one evaluation. Equal warnings share a number.

    Args:
        evaluation: the results.
        brief: summarise skipped metrics in one line by kind of reason; otherwise one line per reason.
    """
    notes: list[str] = []
    rows = []
    for result in evaluation.results:
        marks = []
        for line in [*result.warnings, *left_out(result)]:
            if line not in notes:
                notes.append(line)
            marks.append(notes.index(line) + 1)
        rows.append(
            (
                f"{result.name} {DIRECTIONS[result.better]}" + (f" [{', '.join(map(str, sorted(marks)))}]" if marks else ""),
                number(result.value) + (f" {result.unit}" if result.unit else ""),
                interval(result),
                number(result.floor),
                number(result.ceiling),
                f"{number(result.matched)} (N {result.matched_count})" if result.matched is not None else "",
                f"{result.generated} / {result.reference}" if result.reference else str(result.generated),
            )
        )
    skipped = tuple((one.name, one.reason) for one in evaluation.skipped)
    lines = summarize_skipped(skipped) if brief else group_skipped(skipped)
    return Table(evaluation.title, tuple(rows), lines, tuple(notes), evaluation.warnings)


# Parts of a reason that mean missing weights or a missing library.
UNAVAILABLE = ("not available", "not at hand", "pip install")


def summarize_skipped(skipped: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Skipped metrics in one line: the number of metrics by kind of reason."""
    kinds: dict[str, int] = {}
    for _, reason in skipped:
        lacking = any(words in reason for words in UNAVAILABLE)
        kind = "need weights or libraries that are not available" if lacking else reason.split(": name")[0].split(" (")[0]
        kinds[kind] = kinds.get(kind, 0) + 1
    if not kinds:
        return ()
    text = "; ".join(f"{count} {kind}" for kind, count in sorted(kinds.items(), key=lambda one: -one[1]))
    return ((f"{len(skipped)} metrics", f"{text} (sonovid metrics NAME shows details; --metrics NAME computes one)"),)


def group_skipped(skipped: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Skipped metrics, one line per reason."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in skipped:
        by_reason.setdefault(reason, []).append(name)
    return tuple((", ".join(names), reason) for reason, names in by_reason.items())


def left_out(result: Result) -> list[str]:
    """The clips that were not counted, with the reasons, one line per set."""
    lines = []
    for title, reasons in result.left_out.items():
        kinds: dict[str, list[str]] = {}
        for name, reason in reasons.items():
            kinds.setdefault(reason, []).append(name)
        why = "; ".join(
            f"{len(names)} {reason} ({names[0]}{', ...' if len(names) > 1 else ''})" for reason, names in kinds.items()
        )
        lines.append(f"left out of {title}: {why}")
    return lines


def number(value: float | int | None) -> str:
    """Format a number with four significant digits."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size < -4 or size > 6:
        return f"{value:.3g}"
    return f"{value:.{max(0, 3 - max(size, -1))}f}"


def interval(result: Result) -> str:
    """Format the confidence interval; "" if there is none."""
    if math.isnan(result.low):
        return ""
    return f"{number(result.low)} to {number(result.high)}"


MARKS = {"best": "*", "same": "≈", "": ""}
COMPARISON_LEGEND = (
    "* best; ≈ not significantly different from the best at 5 % (paired permutation test or bootstrap, with Holm's correction "
    "over all comparisons of the table); ≠ measured differently or at another frame rate, not comparable. Floor and ceiling are "
    "those of the first system."
)


@dataclass(frozen=True)
class ComparisonTable:
    """The table of several systems. `notes` are warnings about metrics, which rows refer to by number."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def comparison_table(evaluations: Sequence[Evaluation], compared: Comparisons) -> ComparisonTable:
    """Build the table of several systems: values with intervals and marks, then floor and ceiling of the first system."""
    titles = [one.title for one in evaluations]
    rows: list[tuple[str, ...]] = []
    notes: list[str] = []
    for name in dict.fromkeys(result.name for one in evaluations for result in one.results):
        results = [next((r for r in one.results if r.name == name), None) for one in evaluations]
        marks = compared.best(name, evaluations)
        barred = {title for c in compared.comparisons if c.metric == name and c.barred for title in (c.first, c.second)}
        first = next(result for result in results if result is not None)
        numbers = []
        for line in _merge_warnings(titles, results):
            if line not in notes:
                notes.append(line)
            numbers.append(notes.index(line) + 1)
        cells = [f"{name} {DIRECTIONS[first.better]}" + (f" [{', '.join(map(str, sorted(numbers)))}]" if numbers else "")]
        for title, result in zip(titles, results, strict=True):
            if result is None:
                cells.append("")
                continue
            mark = " ≠" if title in barred else (f" {MARKS[marks[title]]}" if marks.get(title) else "")
            about = f" ({interval(result)})" if interval(result) else ""
            cells.append(f"{number(result.value)}{about}{mark}")
        rows.append((*cells, number(first.floor), number(first.ceiling)))
    return ComparisonTable(
        ("metric", *titles, "floor", "ceiling"), tuple(rows), tuple(f"[{i}] {line}" for i, line in enumerate(notes, 1))
    )


def _merge_warnings(titles: Sequence[str], results: Sequence[Result | None]) -> list[str]:
    """The warnings of one metric, prefixed with the systems that they concern unless they concern all."""
    lines: dict[str, list[str]] = {}
    for title, result in zip(titles, results, strict=True):
        for line in result.warnings if result else ():
            lines.setdefault(line, []).append(title)
    return [line if len(who) == len(titles) else f"{', '.join(who)}: {line}" for line, who in lines.items()]


def difference_lines(compared: Comparisons, *, most: int = 12) -> list[str]:
    """The differences between the systems' records, one line each; equal lines of several metrics are merged."""
    metrics: dict[tuple[str, bool], list[str]] = {}
    for one in compared.differing:
        metrics.setdefault((one.line, one.prevents_comparison), []).append(one.metric)
    lines = []
    for (line, prevents_comparison), names in sorted(metrics.items(), key=lambda entry: not entry[0][1]):
        which = f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: " if names[0] else ""
        lines.append(f"{'not comparable' if prevents_comparison else 'measured differently'}: {which}{line}")
    return lines[:most] + ([f"and {len(lines) - most} more differences"] if len(lines) > most else [])
