"""The results tab: tables of files that `sonovid evaluate --json`, `compare --json` or `sonovid benchmark` wrote."""

import json
from html import escape
from pathlib import Path
from typing import Any

from sonovid.app.page import rendering
from sonovid.app.page.measure import render_evaluation
from sonovid.metrics.results import Evaluation

NOTHING = """<p class="sv-empty">This server has no results to show. Evaluate a system and pass its results to the server:<br>
<code>sonovid evaluate GENERATED REFERENCE --json table.json; sonovid app --table table.json</code></p>"""


def render_results(path: Path | None) -> str:
    """The tables of a file as HTML.

    Raises:
        ValueError: not such a file.
    """
    if path is None:
        return NOTHING
    text, content = _read(path)
    if isinstance(content, dict) and "held_out" in content:
        return _render_benchmark(text, path)
    return "".join(render_evaluation(one) for one in _to_evaluations(text, content, path))


def _read(path: Path) -> tuple[str, Any]:
    """The text of a file, and what it holds as JSON."""
    text = path.read_text(encoding="utf-8")
    try:
        return text, json.loads(text)
    except ValueError:
        raise ValueError(f"{path}: not JSON; expected what sonovid evaluate --json or compare --json wrote") from None


def _render_benchmark(text: str, path: Path) -> str:
    """The table of a file that `sonovid benchmark` wrote, as HTML."""
    from sonovid.benchmark import report

    scores = report.from_json(text, str(path))
    header, rows = report.rows(scores)
    title = f"{', '.join(scores.info)}: {scores.held_out.count} held-out scenes of {', '.join(scores.held_out.worlds)}"
    notes = "".join(f"<li>{escape(note)}</li>" for note in scores.notes)
    return (
        f"<h3>{escape(title)}</h3>{rendering.render_table(header, rows)}"
        f'<div class="sv-notes"><p>{escape(report.LEGEND)}</p><ul>{notes}</ul></div>'
    )


def load_results(path: Path) -> list[Evaluation]:
    """The evaluations of a file, one per system.

    Raises:
        ValueError: not such a file.
    """
    return _to_evaluations(*_read(path), path)


def _to_evaluations(text: str, content: Any, path: Path) -> list[Evaluation]:
    if not isinstance(content, dict) or not isinstance(content.get("systems"), list):
        return [Evaluation.from_json(text, str(path))]
    return [Evaluation.from_json(json.dumps({"format": content.get("format"), **one}), str(path)) for one in content["systems"]]
