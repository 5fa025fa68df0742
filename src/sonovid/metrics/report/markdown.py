"""Reports as Markdown."""

from collections.abc import Sequence

from sonovid.metrics.report.cells import COMPARISON_LEGEND, HEADER, LEGEND, Table


def markdown(tables: Sequence[Table]) -> str:
    """All tables with their notes, and one legend."""
    parts = []
    for found in tables:
        lines = [f"### {escaped(found.title)}", "", _row(HEADER), _row(["---"] + ["---:"] * (len(HEADER) - 1))]
        lines += [_row(row) for row in found.rows]
        about = [f"- [{place}] {escaped(note)}" for place, note in enumerate(found.notes, 1)]
        about += [f"- {escaped(line)}" for line in found.warnings]
        about += [f"- skipped {escaped(names)}: {escaped(reason)}" for names, reason in found.skipped]
        parts.append("\n".join([*lines, "", *about]).rstrip() + "\n")
    return "\n".join([*parts, LEGEND, ""])


def comparison(header: Sequence[str], rows: Sequence[Sequence[str]], lines: Sequence[str]) -> str:
    """The table of several systems with notes."""
    return grid(header, rows, lines, COMPARISON_LEGEND)


def grid(header: Sequence[str], rows: Sequence[Sequence[str]], lines: Sequence[str], legend: str) -> str:
    """A table with notes and a legend."""
    table = [_row(header), _row(["---"] + ["---:"] * (len(header) - 1)), *map(_row, rows)]
    return "\n".join([*table, "", *(f"- {escaped(line)}" for line in lines), "", escaped(legend), ""])


def escaped(text: str) -> str:
    """Escape Markdown syntax."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(escaped(cell) for cell in cells) + " |"
