"""The report of a rating study as terminal text, Markdown, JSON and an HTML page with box plots."""

from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from typing import Any

import sonovid
from sonovid.metrics.rating.analysis import Comparison, Opinion, Result

OVER = {"ratings": "pairs: a rater's marks of one item", "raters": "pairs: each rater's means"}
# Dimensions of the plot in pixels: panel gap, margins, height, space for labels, and width per system.
PANEL, LEFT, TOP, HEIGHT, BELOW, STEP = 40, 46, 34, 200, 90, 58
STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:60rem;margin:1rem auto;padding:0 1rem;color-scheme:light dark}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{border-bottom:1px solid #8886;padding:.25rem .7rem;text-align:right}"
    "td:first-child,th:first-child{text-align:left}td:nth-child(2),th:nth-child(2){text-align:left}"
    "figure{margin:1rem 0;overflow-x:auto}svg{background:#fff}"
)


def tables(result: Result) -> list[tuple[str, list[str], list[list[str]]]]:
    """The tables of the report: title, header and rows."""
    titles = {question.key: question.title for question in result.study.form.questions}
    share = f"{100 * result.level:g} %"
    found = [
        (
            f"Mean opinion scores ({result.study.form.low} to {result.study.form.high}), {share} intervals over raters",
            ["question", "system", "MOS", "t interval", "bootstrap", "median", "quartiles", "ratings", "raters"],
            [[titles[opinion.question], *_opinion_cells(opinion)] for opinion in result.opinions],
        )
    ]
    for over, how in OVER.items():
        rows = [[titles[pair.question], *_pair_cells(pair)] for pair in result.comparisons if pair.over == over]
        if rows:
            head = ["question", "systems", "difference", "pairs", "differ", "W", "p", "p (Holm)", "effect"]
            found.append((f"Wilcoxon signed rank, zeros by {result.zero_method}, {how}", head, rows))
    return found


def notes(result: Result) -> list[str]:
    """The notes of the report."""
    unfinished = [rater for rater in result.raters if not rater.finished]
    unplayable = sum(rater.unplayable for rater in result.raters)
    shown = ", ".join(f"{rater.rater} ({rater.rated + rater.unplayable} of {rater.clips})" for rater in unfinished)
    study = result.study
    lines = [
        f"Study {study.study}: {study.task}, questions {study.questions} ({study.form.source}), {len(study.systems)} systems, "
        f"{len(study.clips)} clips, {len(result.raters)} of {len(study.raters)} raters.",
        f"Raters who did not finish: {len(unfinished)}" + (f", counted as far as they got: rater {shown}." if shown else "."),
        "Ratings of one rater are not independent: intervals are over raters, and tests over raters are the conservative ones.",
        "effect: matched-pairs rank-biserial correlation, from -1 to 1, above 0 where the first system is rated higher.",
        "p (Holm): corrected for all comparisons in its table.",
    ]
    if unplayable:
        lines.insert(2, f"Clips that raters could not play: {unplayable}; they have no ratings.")
    if len(result.raters) < 2:
        lines.append("Only one rater: no intervals and no tests over raters.")
    if not study.paired:
        lines.append("Systems were drawn independently, so that only raters' means are paired.")
    return lines


def text(result: Result) -> str:
    """The report for a terminal."""
    lines = []
    for title, head, rows in tables(result):
        widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
        lines += [title, ""]
        for row in [head, *rows]:
            cells = [cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
            lines.append("  " + "  ".join(cells).rstrip())
        lines.append("")
    return "\n".join(lines + notes(result))


def markdown(result: Result) -> str:
    """The report as Markdown."""
    lines = ["# Rating study", ""]
    for title, head, rows in tables(result):
        lines += [f"## {title}", "", _row(head), _row(["---", "---", *["---:"] * (len(head) - 2)]), *map(_row, rows), ""]
    return "\n".join(lines + [f"- {note}" for note in notes(result)]) + "\n"


def record(result: Result) -> dict[str, Any]:
    """The report as plain values for JSON: all numbers, unrounded, and their settings. Blind names stay in the key."""
    study = result.study
    return {
        "format": "sonovid-rating-report/1",
        "sonovid": sonovid.__version__,
        "study": study.study,
        "task": study.task,
        "questions": study.questions,
        "scale": [study.form.low, study.form.high],
        "systems": list(study.systems),
        "clips": len(study.clips),
        "raters": [{**asdict(rater), "finished": rater.finished} for rater in result.raters],
        "level": result.level,
        "seed": result.seed,
        "zero_method": result.zero_method,
        "correction": "Holm, over all comparisons with the same kind of pairs",
        "opinions": [
            {
                **{key: getattr(found, key) for key in ("system", "question", "mean", "ratings", "raters")},
                "t": None if found.t is None else [found.t.low, found.t.high],
                "bootstrap": None if found.bootstrap is None else [found.bootstrap.low, found.bootstrap.high],
                "box": found.box._asdict(),
            }
            for found in result.opinions
        ],
        "comparisons": [asdict(pair) for pair in result.comparisons],
    }


def html(result: Result) -> str:
    """The report as a self-contained HTML page."""
    parts = [f"<figure>{box_plots(result)}<figcaption>Bar: median. Box: quartiles. Whiskers: smallest and largest rating. "]
    parts.append("Diamond: mean opinion score with its bootstrap interval over raters.</figcaption></figure>")
    for title, head, rows in tables(result):
        cells = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        names = "".join(f"<th scope=col>{escape(name)}</th>" for name in head)
        parts.append(f"<h2>{escape(title)}</h2><table><thead><tr>{names}</tr></thead><tbody>{cells}</tbody></table>")
    parts.append("<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes(result)) + "</ul>")
    meta = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{meta}<title>Rating study</title></head><body><h1>Rating study</h1>\n' + (
        "\n".join(parts) + "\n</body></html>\n"
    )


def box_plots(result: Result) -> str:
    """SVG box plots of all ratings, one panel per question (CMMD's Fig. 6)."""
    form, systems = result.study.form, result.study.systems
    width = LEFT + len(form.questions) * (len(systems) * STEP + PANEL) + STEP
    height = TOP + HEIGHT + BELOW

    def y(value: float | int) -> float:
        return TOP + HEIGHT * (1 - (value - form.low) / (form.high - form.low))

    drawn = []
    for mark in range(form.low, form.high + 1):
        drawn.append(f'<line x1="{LEFT}" x2="{width}" y1="{y(mark):.1f}" y2="{y(mark):.1f}" stroke="#ddd"/>')
        drawn.append(f'<text x="{LEFT - 8}" y="{y(mark) + 4:.1f}" text-anchor="end">{mark}</text>')
    for panel, question in enumerate(form.questions):
        left = LEFT + panel * (len(systems) * STEP + PANEL) + PANEL / 2
        middle = left + len(systems) * STEP / 2
        drawn.append(f'<text x="{middle:.1f}" y="16" text-anchor="middle" font-weight="600">{escape(question.title)}</text>')
        for found in (opinion for opinion in result.opinions if opinion.question == question.key):
            drawn.append(_box(found, left + (systems.index(found.system) + 0.5) * STEP, y))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="Box plots of the ratings, numbers in the table below" '
        f'width="{width:g}" height="{height}" viewBox="0 0 {width:g} {height}" font-family="sans-serif" font-size="12">'
        + "".join(drawn)
        + "</svg>"
    )


def _box(found: Opinion, x: float, y: Any) -> str:
    box, half = found.box, 14
    top, bottom = y(box.third_quarter), y(box.first_quarter)
    parts = [
        f'<line x1="{x}" x2="{x}" y1="{y(box.low):.1f}" y2="{y(box.high):.1f}" stroke="#444"/>',
        *(f'<line x1="{x - 6}" x2="{x + 6}" y1="{y(v):.1f}" y2="{y(v):.1f}" stroke="#444"/>' for v in (box.low, box.high)),
        f'<rect x="{x - half}" width="{2 * half}" y="{top:.1f}" height="{bottom - top:.1f}" fill="#bcd4f0" stroke="#444"/>',
        f'<line x1="{x - half}" x2="{x + half}" y1="{y(box.median):.1f}" y2="{y(box.median):.1f}" stroke="#000" stroke-width="3"/>',  # noqa: E501
    ]
    if found.bootstrap is not None:
        low, high = y(found.bootstrap.low), y(found.bootstrap.high)
        parts.append(f'<line x1="{x + 20}" x2="{x + 20}" y1="{low:.1f}" y2="{high:.1f}" stroke="#b3420b" stroke-width="2"/>')
    m = y(found.mean)
    parts.append(f'<path d="M{x + 20} {m - 5:.1f}l5 5l-5 5l-5 -5z" fill="#b3420b"/>')
    label = f'<text transform="translate({x} {TOP + HEIGHT + 14}) rotate(30)">{escape(found.system[:18])}</text>'
    return "".join(parts) + label


def _opinion_cells(found: Opinion) -> list[str]:
    intervals = ["" if i is None else f"{i.low:.2f} to {i.high:.2f}" for i in (found.t, found.bootstrap)]
    quartiles = f"{found.box.first_quarter:g} to {found.box.third_quarter:g}"
    return [
        found.system, f"{found.mean:.2f}", *intervals, f"{found.box.median:g}", quartiles, str(found.ratings), str(found.raters)
    ]  # fmt: skip


def _pair_cells(pair: Comparison) -> list[str]:
    start = [f"{pair.first} / {pair.second}", f"{pair.difference:+.2f}" if pair.pairs else "", str(pair.pairs)]
    if pair.p is None or pair.statistic is None or pair.effect is None or pair.p_holm is None:
        return [*start, "", "", "too few", "", ""]
    return [*start, str(pair.nonzero), f"{pair.statistic:g}", _p(pair.p), _p(pair.p_holm), f"{pair.effect:+.2f}"]


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
