"""Findings as tables in Markdown, which read well in a terminal too."""

import math
from collections.abc import Sequence

from sonovid.calibration.degradations import DEGRADATIONS
from sonovid.calibration.findings import Finding, OffsetErrors

MARKS = {"yes": "", "partly": "~", "no": "·", "reversed": "!"}
LEGEND = (
    "Effects: the difference from the untouched clips at the worst degree, over the standard deviation of clips (Cohen's d; of "
    "numbers of whole sets: over that of such numbers of drawn sets). No mark: it responds, and in order; `~` responds, not "
    "in order; `·` the interval holds 0; `!` responds the wrong way round. `-`: not touched."
)


def overview(findings: Sequence[Finding], fps: float) -> str:
    """A row per metric, a column per degradation: the effect at its worst degree."""
    columns = [*(one.name for one in DEGRADATIONS), "fps"]
    by_place = {(one.metric, one.degradation): one for one in findings if one.fps == fps}
    metrics = list(dict.fromkeys(one.metric for one in findings))
    rows = []
    for metric in metrics:
        own = [by_place.get((metric, column)) for column in columns]
        clean = next(one.clean for one in own if one is not None)
        rows.append([metric, number(clean), *(cell(one) for one in own)])
    return f"{table(['metric', 'untouched', *columns], rows)}\n\n{LEGEND}"


def by_rate(findings: Sequence[Finding]) -> str:
    """For every metric that sees both streams, by frame rate: the effects of an exchange and of movements."""
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
    head = ["metric", "fps", "untouched", *(f"-{ms:g} / +{ms:g} ms" for ms in shown), "swap", "shift in order"]
    return table(head, rows)


def offset_error_table(estimates: Sequence[OffsetErrors]) -> str:
    """Errors of the signed offsets."""
    rows = [
        [one.metric, one.world, f"{one.fps:g}", number(one.bias), number(one.spread), f"{one.near:.2f}", f"{one.defined:.2f}"]
        for one in estimates
    ]
    return table(["metric", "world", "fps", "bias, ms", "spread, ms", "within 100 ms", "defined"], rows)


def cell(one: Finding | None) -> str:
    """An effect with its mark."""
    if one is None or math.isnan(one.worst.effect):
        return "-"
    return f"{signed(one.worst.effect)}{MARKS[one.verdict]}"


def signed(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+.2f}" if abs(value) < 9.95 else f"{value:+.0f}"


def number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns are even, words to the left and numbers to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    words = [not any(row[i][:1].isdigit() or row[i][:1] in "+-·" for row in rows) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        return "| " + " | ".join(c.ljust(w) if word else c.rjust(w) for c, w, word in zip(row, widths, words, strict=True)) + " |"

    rule = "|" + "|".join("-" * (w + 1) + ("-" if word else ":") for w, word in zip(widths, words, strict=True)) + "|"
    return "\n".join([line(head), rule, *(line(row) for row in rows)])
