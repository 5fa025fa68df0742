"""SVG plots of results: forest plots with floor and ceiling, and histograms of the values of single clips."""

from collections.abc import Sequence
from html import escape

import numpy as np

from sonovid.metrics.report.cells import number
from sonovid.metrics.results import Evaluation, Result

# Colours for colour-blind readers (Okabe & Ito 2008).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
FAINT, INK = "#9a9aa3", "#28282e"
WIDTH, LEFT, RIGHT, ROW = 560, 150, 26, 26
# The distance of two vertical lines below which their labels would overlap.
NEAR = 50


def forest_plot(evaluations: Sequence[Evaluation], name: str) -> str:
    """A row per system with its value and interval; floor and ceiling as vertical lines."""
    found = [
        (i, one.title, r) for i, one in enumerate(evaluations) for r in one.results if r.name == name and np.isfinite(r.value)
    ]
    if not found:
        return ""
    first = found[0][2]
    marks = [v for v in (first.floor, first.ceiling) if v is not None and np.isfinite(v)]
    ends = [v for _, _, r in found for v in (r.low, r.high, r.value) if np.isfinite(v)] + marks
    low, high = min(ends), max(ends)
    margin = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    scale = _Scale(low - margin, high + margin)
    height = ROW * len(found) + 34
    parts = []
    words = [(v, word) for v, word in ((first.floor, "floor"), (first.ceiling, "ceiling")) if v is not None and np.isfinite(v)]
    places = [scale(value) for value, _ in words]
    anchors = ["middle"] * len(places)
    if len(places) == 2 and abs(places[0] - places[1]) < NEAR:
        anchors = ["end", "start"] if places[0] <= places[1] else ["start", "end"]
    for x, anchor, (_, word) in zip(places, anchors, words, strict=True):
        parts.append(f'<line x1="{x:.1f}" y1="14" x2="{x:.1f}" y2="{height - 20}" stroke="{FAINT}" stroke-dasharray="3 3"/>')
        parts.append(_text(x, 11, word, anchor, FAINT))
    for place, (i, title, result) in enumerate(found):
        y = 14 + ROW * (place + 0.5)
        colour = COLOURS[i % len(COLOURS)]
        parts.append(_text(LEFT - 10, y + 4, title, "end", INK))
        if np.isfinite(result.low):
            x1, x2 = scale(result.low), scale(result.high)
            parts.append(f'<line x1="{x1:.1f}" y1="{y}" x2="{x2:.1f}" y2="{y}" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<circle cx="{scale(result.value):.1f}" cy="{y}" r="5" fill="{colour}"/>')
    return _svg(height, [*parts, *_axis(scale, height)], f"{name} of {len(found)} systems")


def spread(evaluations: Sequence[Evaluation], name: str) -> str:
    """Histograms of the values of single clips: of each system, of shuffled partners, of the reference; "" if there are none."""
    rows: list[tuple[str, str, np.ndarray]] = []
    first: Result | None = None
    for i, one in enumerate(evaluations):
        for result in one.results:
            if result.name == name and result.clips:
                first = first or result
                rows.append((one.title, COLOURS[i % len(COLOURS)], np.array(list(result.clips.values()), float)))
    if first is None:
        return ""
    rows.append(("shuffled", FAINT, np.array(first.shuffled, float)))
    rows.append(("reference", INK, np.array(list(first.reference_clips.values()), float)))
    kept = [(title, colour, values[np.isfinite(values)]) for title, colour, values in rows]
    kept = [(title, colour, values) for title, colour, values in kept if len(values) > 1]
    if not kept:
        return ""
    every = np.concatenate([values for _, _, values in kept])
    low, high = float(every.min()), float(every.max())
    scale = _Scale(low, high if high > low else low + 1)
    tall = 44
    height = tall * len(kept) + 24
    parts = []
    for place, (title, colour, values) in enumerate(kept):
        base = tall * (place + 1)
        counts, edges = np.histogram(values, bins=28, range=(scale.low, scale.high))
        parts.append(_text(LEFT - 10, base - 6, title, "end", INK))
        for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
            if count:
                size = (tall - 8) * count / counts.max()
                x, wide = scale(float(left)), scale(float(right)) - scale(float(left)) - 0.8
                parts.append(f'<rect x="{x:.1f}" y="{base - size:.1f}" width="{wide:.1f}" height="{size:.1f}" fill="{colour}"/>')
        x = scale(float(values.mean()))
        parts.append(f'<line x1="{x:.1f}" y1="{base - tall + 6}" x2="{x:.1f}" y2="{base}" stroke="{INK}" stroke-width="1.5"/>')
    return _svg(height, [*parts, *_axis(scale, height)], f"{name} of single clips")


class _Scale:
    """Maps values to horizontal positions."""

    def __init__(self, low: float | int, high: float | int):
        self.low, self.high = low, high

    def __call__(self, value: float | int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - self.low) / (self.high - self.low)


def _axis(scale: _Scale, height: int) -> list[str]:
    rough = (scale.high - scale.low) / 4
    size = 10.0 ** np.floor(np.log10(rough))
    step = size * min((1, 2, 5, 10), key=lambda m: abs(m * size - rough))
    ticks = np.arange(np.ceil(scale.low / step), np.floor(scale.high / step) + 1) * step
    base = height - 18
    parts = [f'<line x1="{LEFT}" y1="{base}" x2="{WIDTH - RIGHT}" y2="{base}" stroke="{FAINT}"/>']
    return parts + [_text(scale(float(tick)), base + 14, number(round(float(tick), 10)), "middle", FAINT) for tick in ticks]


def _text(x: float | int, y: float | int, words: str, anchor: str, colour: str) -> str:
    short = words if len(words) <= 24 else words[:22] + "…"
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(short)}</text>'


def _svg(height: int, parts: Sequence[str], title: str) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" aria-label="{escape(title)}">'
    return head + "".join(parts) + "</svg>"
