"""The results tab: tables of files that `sonovid evaluate --json` or `sonovid compare --json` wrote."""

import json
from pathlib import Path

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
    return "".join(render_evaluation(one) for one in load_results(path))


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
