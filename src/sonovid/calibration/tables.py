"""Findings as Markdown tables that are readable in a terminal too."""

import math
from collections.abc import Sequence

from sonovid.calibration.degradations import DEGRADATIONS
from sonovid.calibration.findings import Finding, OffsetErrors

MARKS = {"yes": "", "partly": "~", "no": "·", "reversed": "!"}
LEGEND = (
    "Effects: the difference from the original clips at the worst degree, divided by the standard deviation over clips (Cohen's "
    "d; for numbers of whole sets: by the bootstrap standard deviation). No mark: responds monotonically; `~` responds, but not "
    "monotonically; `·` the interval contains 0; `!` responds in the wrong direction. `-`: not affected."
)


def overview(findings: Sequence[Finding], fps: float) -> str:
    """The effect at the worst degree: a row per metric, a column per degradation."""
    columns = [*(one.name for one in DEGRADATIONS), "fps"]
    by_place = {(one.metric, one.degradation): one for one in findings if one.fps == fps}
    metrics = list(dict.fromkeys(one.metric for one in findings))
    rows = []
    for metric in metrics:
        own = [by_place.get((metric, column)) for column in columns]
        clean = next(one.clean for one in own if one is not None)
        rows.append([metric, number(clean), *(cell(one) for one in own)])
    return f"{table(['metric', 'original', *columns], rows)}\n\n{LEGEND}"


def by_rate(findings: Sequence[Finding]) -> str:
    """The effects of swaps and shifts by frame rate, for every metric of both streams."""
    moved = [one for one in findings if one.degradation == "shift"]
    rated = {one.metric for one in moved if one.fps != moved[0].fps} if moved else set()
    exchanged = {(one.metric, one.fps): one for one in findings if one.degradation == "swap"}
    shown = sorted({abs(level.degree) for one in moved for level in one.levels})
    rows = []
    for one in sorted(moved, key=lambda it: (list(dict.fromkeys(m.metric for m in moved)).index(it.metric), it.fps)):
        if one.metric not in rated:
            continue
        swapped = exchanged.get((one.metric, one.fps))
        plot_effects = [
            " / ".join(signed(next(level.effect for level in one.levels if level.degree == sign * ms)) for sign in (-1, 1))
            for ms in shown
        ]
        rows.append([one.metric, f"{one.fps:g}", number(one.clean), *plot_effects, cell(swapped), one.verdict])
    head = ["metric", "fps", "original", *(f"-{ms:g} / +{ms:g} ms" for ms in shown), "swap", "shift in order"]
    return table(head, rows)


def offset_error_table(estimates: Sequence[OffsetErrors]) -> str:
    """The errors of the offset metrics."""
    rows = [
        [one.metric, one.world, f"{one.fps:g}", number(one.bias), number(one.spread), f"{one.near:.2f}", f"{one.defined:.2f}"]
        for one in estimates
    ]
    return table(["metric", "world", "fps", "bias, ms", "spread, ms", "within 100 ms", "defined"], rows)


def cell(one: Finding | None) -> str:
    """An effect with its mark, as a table cell."""
    if one is None or math.isnan(one.worst.effect):
        return "-"
    return f"{signed(one.worst.effect)}{MARKS[one.verdict]}"


def signed(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+.2f}" if abs(value) < 9.95 else f"{value:+.0f}"


def number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with aligned columns: text to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    words = [not any(row[i][:1].isdigit() or row[i][:1] in "+-·" for row in rows) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        return "| " + " | ".join(c.ljust(w) if word else c.rjust(w) for c, w, word in zip(row, widths, words, strict=True)) + " |"

    rule = "|" + "|".join("-" * (w + 1) + ("-" if word else ":") for w, word in zip(widths, words, strict=True)) + "|"
    return "\n".join([line(head), rule, *(line(row) for row in rows)])
