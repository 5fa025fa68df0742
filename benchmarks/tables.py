"""The tables of benchmarks/README.md that are made from figures in JSON.

python -m benchmarks tables            writes them into the page
python -m benchmarks tables --check    fails if the page differs from the figures
"""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PAGE = FOLDER / "README.md"
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


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {"events": events, "prompts": prompts}


def rendered(page: str) -> str:
    """The page with every marked table made anew: `<!-- table: FILE NAME -->` to `<!-- end of table -->`."""
    return BLOCK.sub(lambda m: m[1] + TABLES[m[3]](json.loads((FOLDER / m[2]).read_text())) + m[4], page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    page = PAGE.read_text()
    if options.check and rendered(page) != page:
        raise SystemExit(f"{PAGE.name} differs from the figures: run python -m benchmarks tables")
    PAGE.write_text(rendered(page))


if __name__ == "__main__":
    main()
