"""The web page of a study: page.html filled with the questions, the orders and the clips. It makes no network requests."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sonovid.metrics.rating.questions import Questionnaire

TEMPLATE = Path(__file__).with_name("page.html")
ANSWERS = "sonovid-ratings/1"
KINDS = {".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm"}


def render(
    study: str, form: Questionnaire, raters: Mapping[str, Sequence[str]], clips: Mapping[str, Path], *, embed: bool = False
) -> str:
    """Render the page, which does not reveal the system of a clip.

    Args:
        study: the study's id.
        form: the questions.
        raters: the order of clips for each rater.
        clips: files by blind name.
        embed: embed the clips in the page instead of linking to clips/ beside it.
    """
    facts: dict[str, Any] = {
        "format": ANSWERS,
        "study": study,
        "scale": {"low": form.low, "high": form.high, "ends": list(form.ends)},
        "questions": [asdict(question) for question in form.questions],
        "raters": {rater: list(order) for rater, order in raters.items()},
        "clips": {
            name: {"type": KINDS[path.suffix], "src": None if embed else f"clips/{path.name}"} for name, path in clips.items()
        },
    }
    data = [
        f'<script type="application/octet-stream" id="clip-{name}">{base64.b64encode(path.read_bytes()).decode()}</script>'
        for name, path in clips.items()
        if embed
    ]
    # "</script>" in a text would close the script element.
    written = json.dumps(facts).replace("<", "\\u003c")
    return TEMPLATE.read_text(encoding="utf-8").replace("@STUDY@", written).replace("@CLIPS@", "\n".join(data))
