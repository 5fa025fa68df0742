"""The benchmark table in the terminal, as Markdown, as JSON, and as an HTML page with the clips of all systems."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

import sonovid
from sonovid.benchmark.held_out import TASKS, HeldOut
from sonovid.benchmark.scoring import Pair, Score, Scores, System
from sonovid.metrics.report import markdown, page, terminal
from sonovid.metrics.report.cells import DIRECTIONS, MARKS, number
from sonovid.metrics.sets import SUFFIXES

FORMAT = 1
LEGEND = (
    "* best; ≈ not significantly different from the best at 5 % (paired permutation test or bootstrap of paired draws; Holm's "
    "correction over all pairs of systems and all rows). In brackets: 95 % interval over clips. Floor: another scene of the same "
    "world in place of the generated stream, shuffled partners, or two halves of the reference. Ceiling: the true clips. "
    "↓ lower is better, ↑ higher."
)
# The number of scenes whose clips the page shows.
SHOWN = 6


def rows(scores: Scores) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows: a row for each number of each task, then the info of the systems."""
    titles = list(scores.info)
    header = ("task", "measure", *titles, "floor", "ceiling", "clips")
    found: list[tuple[str, ...]] = []
    for task, measure in dict.fromkeys((one.task, one.measure) for one in scores.scores):
        own = {title: scores.of(task, measure, title) for title in titles}
        marks = scores.marks(task, measure)
        first = next(one for one in own.values() if one is not None)
        cells = [_cell(one, marks.get(title, "")) for title, one in own.items()]
        clips = sorted({one.clips for one in own.values() if one is not None})
        counted = str(clips[0]) if len(clips) == 1 else f"{clips[0]} to {clips[-1]}"
        name = f"{measure} {DIRECTIONS[first.better]}"
        found.append((task.replace("_", " "), name, *cells, number(first.floor), number(first.ceiling), counted))
    for fact in dict.fromkeys(name for info in scores.info.values() for name in info):
        words = [_fact(info.get(fact)) for info in scores.info.values()]
        found.append(("", fact.replace("_", " "), *words, "", "", ""))
    return header, found


def _cell(one: Score | None, mark: str) -> str:
    if one is None:
        return ""
    about = "" if math.isnan(one.low) else f" ({number(one.low)} to {number(one.high)})"
    return f"{number(one.value)}{about}{f' {MARKS[mark]}' if mark else ''}"


def _fact(value: Any) -> str:
    return number(value) if isinstance(value, float) else "" if value is None else str(value)


def write_terminal(scores: Scores, console: Any = None) -> None:
    """Print the table in the terminal.

    Raises:
        UnavailableError: rich is not installed.
    """
    header, found = rows(scores)
    terminal.write_grid(header, found, [*_notes(scores), LEGEND], console)


def to_markdown(scores: Scores) -> str:
    """The table with notes, as Markdown."""
    header, found = rows(scores)
    return markdown.grid(header, found, _notes(scores), LEGEND)


def to_json(scores: Scores) -> str:
    """Everything as JSON text; undefined numbers are null."""
    held_out = json.loads(scores.held_out.to_json())
    found = {
        "format": FORMAT,
        "held_out": held_out,
        "systems": {title: dict(info) for title, info in scores.info.items()},
        "scores": [_plain(asdict(one)) for one in scores.scores],
        "pairs": [_plain(asdict(one)) for one in scores.pairs],
        "notes": list(scores.notes),
    }
    return json.dumps(found, indent=1, allow_nan=False) + "\n"


def from_json(text: str, where: str = "results") -> Scores:
    """The results that `to_json` wrote.

    Raises:
        ValueError: not such text; `where` is named.
    """
    try:
        content = json.loads(text)
        scores = tuple(Score(**_with_nan(one, ("value", "low", "high"))) for one in content["scores"])
        pairs = tuple(Pair(**_with_nan(one, ("p", "adjusted"))) for one in content["pairs"])
        held_out = HeldOut.from_settings(content["held_out"])
        return Scores(scores, pairs, tuple(content["notes"]), dict(content["systems"]), held_out)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{where}: expected results.json of sonovid benchmark: {error}") from None


def _with_nan(values: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The values with NaN where an undefined number was written as null."""
    return {key: float("nan") if one is None and key in names else one for key, one in values.items()}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(one, float) and not math.isfinite(one) else one for key, one in values.items()}


def to_html(scores: Scores, systems: Sequence[System], reference: "str | Path", page_path: "str | Path") -> str:
    """An HTML page with the table, and for some scenes the clips of all systems beside the true one.

    Args:
        scores: the results.
        systems: the folders of the systems' clips.
        reference: the folder of the true clips.
        page_path: where the page will be saved, for links to clips that are too large to embed.
    """
    header, found = rows(scores)
    title = escape(f"{len(scores.info)} systems on {scores.held_out.count} held-out scenes")
    clips = page.ClipGallery(Path(page_path).absolute().parent)
    body = [f"<h1>{title}</h1>", page.grid([header, *found]), f'<p class="dim">{escape(LEGEND)}</p>', page.notes(_notes(scores))]
    for name in TASKS:
        generated = {one.title: _by_name(one.folder / name) for one in systems}
        if any(generated.values()):
            body.append(f"<h2>{escape(name.replace('_', ' '))}</h2>")
            body += [
                _scene(scores, index, generated, Path(reference), clips) for index in range(min(SHOWN, scores.held_out.count))
            ]
    return page.document(title, [*body, f'<p class="dim">sonovid {sonovid.__version__}</p>'])


def _by_name(folder: Path) -> dict[str, Path]:
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    return {path.stem: path for path in inside if path.suffix.lower() in SUFFIXES}


def _scene(scores: Scores, index: int, generated: Mapping[str, Mapping[str, Path]], reference: Path, clips: "page.Clips") -> str:
    """One scene: its prompt, the true clip, and the clip of each system."""
    scene = scores.held_out.scenes[index]
    parts = [f"<h3>{escape(scene.name)}</h3><div>{escape(scene.caption)}</div>", '<div class="clips">']
    for title, files in (("true", _by_name(reference)), *generated.items()):
        if scene.name in files:
            parts.append(clips.show_file(files[scene.name], title))
    return "".join([*parts, "</div>"])


def _notes(scores: Scores) -> list[str]:
    return list(scores.notes)
