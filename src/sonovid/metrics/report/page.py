"""A self-contained HTML report: tables, plots, and the best and the worst clips to play."""

import base64
import os
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import numpy as np

import sonovid
from sonovid import media
from sonovid.media import MediaError, preview
from sonovid.metrics.report import cells, drawing
from sonovid.metrics.results import Evaluation, Result, oriented_value
from sonovid.metrics.sets import Item, MediaSet, pair_by_name

# Media types that browsers play.
KINDS = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".webm": "video/webm",
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
}
# The most bytes of one clip, and of all clips, that are embedded; other clips are linked.
CLIP, ALL = 2 << 20, 40 << 20
SECONDS, SHOWN = 10, 3
# Width of a clip's preview, about its display width, so that its labels are readable.
PICTURE = 400
STYLE = """
body{font:15px/1.45 system-ui,sans-serif;color:#28282e;margin:2em auto;max-width:76em;padding:0 1em}
h1{font-size:1.5em} h2{font-size:1.2em;margin-top:2em} h3{font-size:1em;margin:1.4em 0 .3em}
table{border-collapse:collapse;font-variant-numeric:tabular-nums} .wide{overflow-x:auto}
th,td{padding:.2em .7em;text-align:right;border-bottom:1px solid #e4e4ea;white-space:nowrap}
th:first-child,td:first-child{text-align:left}
.note{color:#7a5c00} .dim{color:#70707a} svg text{font:12px system-ui,sans-serif}
ul.note,details ul{padding-left:1.2em} ul.note li,details li{margin:.2em 0} summary{cursor:pointer}
details li{overflow-wrap:anywhere}
svg{max-width:100%;height:auto} .plots{display:flex;flex-wrap:wrap;align-items:flex-start;gap:1em}
.clips{display:grid;grid-template-columns:repeat(auto-fill,minmax(20em,1fr));gap:1em}
.clip{border:1px solid #e4e4ea;border-radius:6px;padding:.6em} .clip video,.clip img,.clip audio{width:100%}
.clip video{max-height:14em;background:#000;image-rendering:pixelated}
"""


def page(
    evaluations: Sequence[Evaluation],
    *,
    sets: "Sequence[MediaSet] | None" = None,
    reference: "MediaSet | None" = None,
    compared: "Compared | None" = None,
    page_path: "str | os.PathLike | None" = None,
) -> str:
    """Render the report of some systems.

    Args:
        evaluations: one per system.
        sets: the systems' clips; None: show no clips.
        reference: the reference clips.
        compared: the comparison of the systems, if there are several.
        page_path: where the page will be saved, for links to clips that are too large to embed.
    """
    title = escape("Measured: " + ", ".join(one.title for one in evaluations))
    body = [f"<h1>{title}</h1>", _systems(evaluations, compared)]
    for one in evaluations:
        body.append(_table(one))
    if sets is not None:
        clips = ClipGallery(Path(page_path).absolute().parent if page_path is not None else Path.cwd())
        body += [_extremes(one, own, reference, clips) for one, own in zip(evaluations, sets, strict=True)]
    body.append(_plots(evaluations))
    body.append(_record(evaluations))
    body.append(f'<p class="dim">sonovid {sonovid.__version__}</p>')
    return document(title, body)


def document(title: str, body: Sequence[str]) -> str:
    """A complete HTML document. The title must be escaped."""
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title><style>{STYLE}</style>'
    )
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(body)}</body></html>\n"


def _systems(evaluations: Sequence[Evaluation], compared: "Compared | None") -> str:
    """The table of several systems; "" for a single one."""
    if compared is None:
        return ""
    side = cells.comparison_table(evaluations, compared)
    legend = f'<p class="dim">{escape(cells.COMPARISON_LEGEND)}</p>'
    return f"<h2>Systems</h2>{grid([side.header, *side.rows])}{legend}{notes([*side.notes, *cells.difference_lines(compared)])}"


def _table(evaluation: Evaluation) -> str:
    """One system's table with legend and notes, and a collapsed list of skipped metrics."""
    found = cells.table(evaluation)
    parts = [f"<h2>{escape(found.title)}</h2>{grid([cells.HEADER, *found.rows])}", f'<p class="dim">{escape(cells.LEGEND)}</p>']
    parts.append(notes([*(f"[{i}] {note}" for i, note in enumerate(found.notes, 1)), *found.warnings]))
    if found.skipped:
        lines = "".join(f"<li><b>{escape(names)}</b>: {escape(why)}</li>" for names, why in found.skipped)
        count = len(evaluation.skipped)
        parts.append(
            f'<details class="dim"><summary>{count} metric{"s were" if count > 1 else " was"} skipped, and why</summary>'
            f"<ul>{lines}</ul></details>"
        )
    return "".join(parts)


def notes(lines: Sequence[str]) -> str:
    """A list of notes; "" if there are none."""
    return '<ul class="note">' + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>" if lines else ""


def grid(rows: Sequence[Sequence[str]]) -> str:
    """An HTML table; the first row is the header."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    lines = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows[1:])
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(f"<tr>{line}</tr>" for line in lines)}</table></div>'


def _plots(evaluations: Sequence[Evaluation]) -> str:
    """Plots of all metrics that vary between clips or systems, collapsed by family; the first family is open."""
    families: dict[str, list[Result]] = {}
    for result in {r.name: r for one in reversed(evaluations) for r in one.results}.values():
        families.setdefault(result.family, []).append(result)
    order = list(dict.fromkeys(r.family for one in evaluations for r in one.results))
    parts = ["<h2>Distributions</h2>"]
    shown = 0
    for family in order:
        plots = [plot for result in sorted(families[family], key=lambda r: r.name) if (plot := _plot(evaluations, result))]
        if plots:
            opened = "" if shown else " open"
            parts.append(f"<details{opened}><summary>{escape(family)} ({len(plots)})</summary>{''.join(plots)}</details>")
            shown += 1
    return "".join(parts) if shown else ""


def _plot(evaluations: Sequence[Evaluation], result: Result) -> str:
    """The plots of one metric; "" if there is only one distinct value."""
    own = [r for one in evaluations for r in one.results if r.name == result.name]
    values = (
        {r.value for r in own} | {v for r in own for v in r.clips.values()} | {r.floor for r in own} | {r.ceiling for r in own}
    )
    if len({v for v in values if v is not None and np.isfinite(v)}) < 2:
        return ""
    plots = drawing.forest_plot(evaluations, result.name) + drawing.spread(evaluations, result.name)
    return f'<h3>{escape(result.name)}</h3><div class="dim">{escape(result.what)}</div><div class="plots">{plots}</div>'


def _extremes(evaluation: Evaluation, own: MediaSet, reference: "MediaSet | None", clips: "Clips") -> str:
    """The best and the worst clips of a system by the most discriminative metric of single clips."""
    result = most_discriminative(evaluation)
    if result is None:
        return ""
    items = {item.name: item for item in own.items}
    partners = {a.name: b for a, b in pair_by_name(own, reference)} if reference else {}
    order = sorted((n for n in result.clips if n in items and np.isfinite(result.clips[n])), key=lambda n: _worth(result, n))
    parts = [
        f"<h2>{escape(evaluation.title)}: clips by {escape(result.name)}</h2>",
        f'<div class="dim">{escape(result.what)}; the metric of single clips furthest above its random baseline</div>',
    ]
    unit = f" {result.unit}" if result.unit else ""
    worst = order[:SHOWN]
    for word, names in (("worst", worst), ("best", [name for name in order[::-1][:SHOWN] if name not in worst])):
        if names:
            shown = (clips.show(items[name], partners.get(name), cells.number(result.clips[name]) + unit) for name in names)
            parts.append(f'<h3>{word}</h3><div class="clips">{"".join(shown)}</div>')
    return "".join(parts)


def most_discriminative(evaluation: Evaluation) -> Result | None:
    """The metric of single clips that is furthest above its floor, in standard deviations.

    Signed metrics (an offset) do not rank clips and are excluded. Metrics with warnings are used only if there is no other.
    """
    scored = [r for r in evaluation.results if r.clips and r.better in ("higher", "lower")]

    def separation(result: Result) -> float:
        if result.floor is None or not result.std > 0:
            return 0.0
        return (oriented_value(result.value, result.better) - oriented_value(result.floor, result.better)) / result.std

    reliable = [r for r in scored if not r.warnings]
    return max(reliable or scored, key=separation, default=None)


def _worth(result: Result, name: str) -> tuple[float, str]:
    return oriented_value(result.clips[name], result.better), name


class ClipGallery:
    """Renders clips as HTML, embedding files up to a total size."""

    def __init__(self, folder: Path):
        self.folder, self.left = folder, ALL

    def show(self, item: Item, partner: Item | None, value: str) -> str:
        """A player for a clip, a preview of its frames and spectrogram, and the same for its partner in the reference."""
        parts = [f'<div class="clip"><b>{escape(item.name)}</b> {escape(value)}']
        parts.append(f"<div>{escape(item.caption)}</div>" if item.caption else "")
        parts.append(self._item(item))
        if partner is not None:
            parts.append(f'<div class="dim">in the reference</div>{self._item(partner)}')
        return "".join([*parts, "</div>"])

    def _item(self, item: Item) -> str:
        return self._player(Path(item.path), item.info.has_video) + self._picture(item.path, item.info.size)

    def show_file(self, path: Path, title: str) -> str:
        """A player for a file with a title and a preview; a link if the file cannot be read."""
        try:
            info = media.probe(path)
        except MediaError:
            return f'<div class="clip"><b>{escape(title)}</b>{self._player(path, False)}</div>'
        shown = self._player(path, info.has_video) + self._picture(str(path), info.size)
        return f'<div class="clip"><b>{escape(title)}</b>{shown}</div>'

    def _player(self, path: Path, has_video: bool) -> str:
        kind = KINDS.get(path.suffix.lower())
        source = self._source(path, kind)
        if kind is None:
            return f'<p><a href="{source}">{escape(path.name)}</a></p>'
        tag = "video" if has_video else "audio"
        return f'<{tag} controls loop preload="metadata" src="{source}"></{tag}>'

    def _source(self, path: Path, kind: str | None) -> str:
        size = path.stat().st_size
        if kind is not None and size <= min(CLIP, self.left):
            self.left -= size
            return _data(kind, path.read_bytes())
        return escape(link(os.path.relpath(path.absolute(), self.folder)))

    def _picture(self, path: str, size: tuple[int, int] | None) -> str:
        if size is None:
            wide = None
        else:
            scale = min(1.0, 160 / min(size))
            wide = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        try:
            clip = media.read(path, size=wide, mono=True, seconds=SECONDS)
            held = BytesIO()
            preview.preview(clip, width=PICTURE).save(held, "PNG", optimize=True)
        except MediaError:
            return ""
        return f'<img alt="frames above the spectrogram" src="{_data("image/png", held.getvalue())}">'


def link(relative: str) -> str:
    """A relative path as a URL: quoted and prefixed with "./", so that no name is taken for a scheme (`javascript:...`)."""
    return "./" + quote(Path(relative).as_posix())


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _record(evaluations: Sequence[Evaluation]) -> str:
    """The records of the numbers, collapsed."""
    parts = ["<h2>Record</h2>"]
    for one in evaluations:
        common = "".join(f"<li>{escape(key)}: {escape(_words(value))}</li>" for key, value in one.record.items())
        own = "".join(f"<li>{escape(r.name)}: {escape(_words(r.record))}</li>" for r in one.results)
        parts.append(f"<details><summary>{escape(one.title)}</summary><ul>{common}</ul><ul>{own}</ul></details>")
    return "".join(parts)


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {_words(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value)) or "none"
    return str(value)
