"""Every command in the documents is one that the command line takes, and Python code in them names what exists."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

from sonovid import recipes
from sonovid.cli import build_parser

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


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


def named(code: str) -> list[tuple[str, str]]:
    """Pairs of module and name that Python code imports from this package, or takes from a module that it imported so."""
    found, modules = [], {}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sonovid":
            found += [(node.module, alias.name) for alias in node.names]
            modules |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            found.append((modules[node.value.id], node.attr))
    return found


PYTHON = [
    (path.relative_to(ROOT), index, code)
    for path in DOCUMENTS
    for index, code in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(), flags=re.DOTALL))
]


@pytest.mark.filterwarnings("error::DeprecationWarning:sonovid")
@pytest.mark.parametrize(("path", "index", "code"), PYTHON, ids=[f"{path}:{index}" for path, index, _ in PYTHON])
def test_python_code_names_what_exists(path, index, code):
    for module, name in named(code):
        try:
            thing = importlib.import_module(module)
        except ModuleNotFoundError:
            # The name of a class or a function, such as a class whose method is called.
            parent, _, last = module.rpartition(".")
            thing = getattr(importlib.import_module(parent), last)
        assert hasattr(thing, name) or importlib.util.find_spec(f"{module}.{name}"), f"{module} has no {name}"
