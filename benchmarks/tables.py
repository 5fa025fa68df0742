"""The tables of the project's pages that are made from figures in JSON.

python -m benchmarks tables            writes them into the pages
python -m benchmarks tables --check    fails if a page differs from the figures
"""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sonovid.benchmark import report

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent
PAGES = (
    FOLDER / "README.md",
    ROOT / "README.md",
    ROOT / "docs" / "results.md",
    ROOT / "src" / "sonovid" / "weights" / "packaged" / "README.md",
)
# Rows of the summary of `sonovid benchmark`: task and measure, and what a reader is told.
SUMMARY = {
    ("video_to_audio", "onsets_f1"): "sound for a video: onsets against true events",
    ("audio_to_video", "events_read_f1"): "video for a sound: events read from the frames against true events",
    ("joint", "onsets_events_read_f1"): "both from text: onsets against events read from the frames",
    ("video_to_audio", "sync_scenes"): "synchrony (`sync_scenes`), sound for a video",
    ("audio_to_video", "sync_scenes"): "synchrony, video for a sound",
    ("joint", "sync_scenes"): "synchrony, both from text",
    ("joint", "text_world"): "text followed: world",
    ("joint", "text_material"): "material",
    ("joint", "text_colour"): "colour",
    ("joint", "text_number"): "number of sounds",
    ("joint", "ball_whole"): "ball in one piece, share of frames",
    ("joint", "stick_whole"): "stick in one piece, share of frames",
}
BLOCK = re.compile(r"(<!-- table: (\S+) (\S+) -->\n).*?(\n<!-- end of table -->)", re.DOTALL)


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return (
        "\n".join("| " + " | ".join(cells).strip() + " |" for cells in lines).replace("| --- ", "|---").replace("|--- |", "|---|")
    )


def events(figures: dict[str, Any]) -> str:
    """F1 of events by world, from `packaged.held_out`. Rows that are neither floor nor ceiling are the model's, in bold."""
    rows = []
    for name, values in figures["figures"].items():
        if "both" in values:
            own = not re.search("floor|ceiling", name)
            rows.append([f"**{name}**" if own else name, *(f"{values[world]:.2f}" for world in ("both", "bounces", "hits"))])
    return markdown(["", "both worlds", "bounces", "hits"], rows)


def prompts(figures: dict[str, Any]) -> str:
    """Shares of clips that follow their prompt, from `packaged.held_out`."""
    names = ("world", "material", "colour")
    found = {name.split(", ", 1)[1]: v for name, v in figures["figures"].items() if name.startswith("text followed")}
    return markdown(["", *names], [[source, *(f"{values[name]:.2f}" for name in names)] for source, values in found.items()])


def summary(figures: dict[str, Any]) -> str:
    """The main rows of the results of `sonovid benchmark` with one system."""
    scores = {(one["task"], one["measure"]): one for one in figures["scores"]}

    def cell(value: float | None) -> str:
        return "" if value is None else f"{value:.2f}"

    rows = []
    for key, title in SUMMARY.items():
        one = scores[key]
        value = f"**{one['value']:.2f}** [{one['low']:.2f}, {one['high']:.2f}]"
        rows.append([title, value, cell(one["floor"]), cell(one["ceiling"])])
    return markdown(["", "generated", "floor", "ceiling"], rows)


def whole(figures: dict[str, Any]) -> str:
    """All results of `sonovid benchmark`, as its Markdown table."""
    return report.to_markdown(report.from_json(json.dumps(figures))).strip()


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {"events": events, "prompts": prompts, "summary": summary, "whole": whole}


def rendered(page: str) -> str:
    """The page with every marked table made anew: `<!-- table: FILE NAME -->` to `<!-- end of table -->`."""
    return BLOCK.sub(lambda m: f"{m[1]}\n{TABLES[m[3]](json.loads((FOLDER / m[2]).read_text()))}\n{m[4]}", page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    for path in PAGES:
        page = path.read_text()
        if options.check and rendered(page) != page:
            raise SystemExit(f"{path.relative_to(ROOT)} differs from the figures: run python -m benchmarks tables")
        path.write_text(rendered(page))


if __name__ == "__main__":
    main()
