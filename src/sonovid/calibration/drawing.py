"""Figures of a calibration: values by audio shift, and a table of all effects."""

import math
from collections.abc import Sequence
from pathlib import Path

from sonovid.calibration.degradations import DEGRADATIONS
from sonovid.calibration.findings import Finding
from sonovid.calibration.tables import MARKS, signed
from sonovid.metrics.base import UnavailableError

COLOURS = ("#d95f02", "#1b9e77", "#3b528b", "#e7298a", "#66a61e", "#000000")


def import_pyplot():
    """Import matplotlib for drawing to files.

    Raises:
        UnavailableError: it is not installed.
    """
    try:
        import matplotlib
        from matplotlib import pyplot
    except ImportError as error:
        raise UnavailableError(f"matplotlib cannot be imported ({error}): pip install 'sonovid[eval]'") from None
    pyplot.switch_backend("agg")
    # Text stays text, which keeps the files small and readable.
    matplotlib.rcParams.update({"svg.fonttype": "none", "font.size": 8, "svg.hashsalt": "sonovid"})
    return pyplot


def plot_shift_response(findings: Sequence[Finding], path: Path) -> Path:
    """Plot each metric by audio shift, a line per frame rate; dashed: with another clip's audio."""
    pyplot = import_pyplot()
    # Metrics of audio alone do not depend on the shift.
    both = {one.metric for one in findings if one.degradation in ("blur", "fps")}
    moved = [one for one in findings if one.degradation == "shift" and one.metric in both]
    exchanged = {(one.metric, one.fps): one.worst.value for one in findings if one.degradation == "swap"}
    metrics = list(dict.fromkeys(one.metric for one in moved))
    rates = sorted({one.fps for one in moved})
    wide = min(4, len(metrics))
    tall = math.ceil(len(metrics) / wide)
    figure, axes = pyplot.subplots(tall, wide, figsize=(2.6 * wide, 1.9 * tall), squeeze=False, layout="constrained")
    for place in axes.flat[len(metrics) :]:
        place.axis("off")
    for place, metric in zip(axes.flat, metrics, strict=False):
        for one in moved:
            if one.metric != metric:
                continue
            shade = COLOURS[rates.index(one.fps) % len(COLOURS)]
            points = sorted([(0.0, one.clean), *((level.degree, level.value) for level in one.levels)])
            place.plot(*zip(*points, strict=True), color=shade, marker=".", linewidth=1.2)
            if (metric, one.fps) in exchanged:
                place.axhline(exchanged[metric, one.fps], color=shade, linestyle="--", linewidth=0.7)
        place.set_title(metric, fontsize=8)
        place.grid(alpha=0.3)
    lines = [pyplot.Line2D([], [], color=COLOURS[i % len(COLOURS)], marker=".") for i in range(len(rates))]
    figure.legend(lines, [f"{rate:g} fps" for rate in rates], loc="outside upper center", ncols=len(rates))
    figure.supxlabel("delay of the audio, ms")
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)
    return path


def plot_effects(findings: Sequence[Finding], fps: float, path: Path) -> Path:
    """Plot a table of metrics by degradations with the effect at the worst degree in each cell."""
    pyplot = import_pyplot()
    columns = [*(one.name for one in DEGRADATIONS), "fps"]
    own = {(one.metric, one.degradation): one for one in findings if one.fps == fps}
    metrics = list(dict.fromkeys(metric for metric, _ in own))
    figure, axes = pyplot.subplots(figsize=(1 + 0.8 * len(columns), 0.8 + 0.22 * len(metrics)), layout="constrained")
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(metrics) - 0.5, -0.5)
    for y, metric in enumerate(metrics):
        for x, column in enumerate(columns):
            one = own.get((metric, column))
            if one is None or math.isnan(one.worst.effect):
                continue
            size = min(abs(one.worst.effect), 3) / 3 if one.responds else 0
            colour = (0.84, 0.19, 0.15) if one.verdict == "reversed" else (0.13, 0.4, 0.67)
            axes.add_patch(pyplot.Rectangle((x - 0.5, y - 0.5), 1, 1, color=(*colour, 0.75 * size), linewidth=0))
            axes.text(x, y, signed(one.worst.effect) + MARKS[one.verdict], ha="center", va="center", fontsize=7)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(metrics)), metrics)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)
    return path
