"""Every command that the documents print is one that the command line takes, and every recipe's key there exists."""

import re
import shlex
from pathlib import Path

import pytest

from sonovid import recipes
from sonovid.cli import build_parser

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(text: str) -> list[list[str]]:
    """The words after `sonovid` of all commands in code blocks, indented or fenced; remarks beside them are cut."""
    found, fenced, waiting = [], False, ""
    for line in text.splitlines():
        if line.strip().startswith("```"):
            fenced = not fenced
            continue
        if not (fenced or line.startswith("    ") or waiting):
            continue
        # A remark stands behind two spaces or more, with or without a number sign.
        piece = re.split(r"(?<=\S)\s{2,}", waiting + line.strip())[0]
        if piece.endswith("\\"):
            waiting = piece[:-1].rstrip() + " "
            continue
        waiting = ""
        said = re.search(r"(?:^|\s)(?:sonovid|-m sonovid\.cli)\s+(.*)$", piece)
        if said and "…" not in piece and re.match(r"(sonovid|torchrun|accelerate)\b", piece):
            found.append(shlex.split(said[1], comments=True))
    return found


PRINTED = [(path.relative_to(ROOT), words) for path in DOCUMENTS for words in commands(path.read_text())]


def test_commands_are_found_in_blocks_of_both_kinds_and_over_lines():
    text = "sonovid no\n\n    sonovid info a.mp4   what it holds\n```\nsonovid train x \\\n    a=1  # b\n```\n"
    assert commands(text) == [["info", "a.mp4"], ["train", "x", "a=1"]]
    assert len(PRINTED) > 50


@pytest.mark.parametrize(("path", "words"), PRINTED, ids=[f"{path}:{' '.join(words)[:60]}" for path, words in PRINTED])
def test_a_printed_command_is_taken(path, words):
    if not words:
        return
    args = build_parser().parse_args(words)
    if words[0] == "train":
        assert recipes.get(args.recipe, args.values).out or "out=" not in " ".join(words)
