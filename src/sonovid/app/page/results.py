"""The results tab: tables of files that `sonovid evaluate --json`, `compare --json` or `sonovid benchmark` wrote."""

import json
from html import escape
from pathlib import Path

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
    if (benchmark := render_benchmark(path)) is not None:
        return benchmark
    return "".join(render_evaluation(one) for one in load_results(path))


def render_benchmark(path: Path) -> str | None:
    """The table of a file that `sonovid benchmark` wrote, as HTML; None for another file.

    Raises:
        ValueError: a damaged file of this kind.
    """
    text = path.read_text(encoding="utf-8")
    try:
        content = json.loads(text)
    except ValueError:
        return None
    if not isinstance(content, dict) or "held_out" not in content:
        return None
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
    text = path.read_text(encoding="utf-8")
    try:
        content = json.loads(text)
    except ValueError:
        raise ValueError(f"{path}: not JSON; expected what sonovid evaluate --json or compare --json wrote") from None
    if not isinstance(content, dict) or not isinstance(content.get("systems"), list):
        return [Evaluation.from_json(text, str(path))]
    return [Evaluation.from_json(json.dumps({"format": content.get("format"), **one}), str(path)) for one in content["systems"]]
