"""Every command in the documents is one that the command line takes, and Python code in them names what exists."""

import ast
import importlib
import inspect
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from sonovid import SoundingVideoPipeline, recipes
from sonovid.cli import build_parser
from sonovid.pipelines.request import Request

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


def calls(code: str) -> list[tuple[object, ast.Call]]:
    """Calls in Python code of what it imports from this package, and of a pipeline under its usual name."""
    found: list[tuple[object, ast.Call]] = []
    known = {"pipe": SoundingVideoPipeline.__call__}
    modules: dict[str, object] = {}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sonovid":
            for alias in node.names:
                home = importlib.import_module(node.module)
                thing = getattr(home, alias.name, None) or importlib.import_module(f"{node.module}.{alias.name}")
                modules[alias.asname or alias.name] = thing
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in known:
            found.append((known[name], node))
        elif isinstance(node.func, ast.Name) and node.func.id in modules:
            found.append((modules[node.func.id], node))
        elif isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) and node.func.value.id in modules:
            found.append((getattr(modules[node.func.value.id], node.func.attr), node))
    return found


def unknown_arguments(target: object, node: ast.Call) -> list[str]:
    """The keyword arguments of a call that its function does not have."""
    parameters = dict(inspect.signature(target).parameters)  # type: ignore[arg-type]
    if target is SoundingVideoPipeline.__call__:
        # Its further arguments are the fields of a request.
        parameters = parameters | dict(inspect.signature(Request).parameters)
    elif any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return []
    return [keyword.arg for keyword in node.keywords if keyword.arg and keyword.arg not in parameters]


def test_an_argument_that_does_not_exist_is_seen():
    code = "from sonovid import media\nmedia.write('a.mp4', clip, loudnes=3)\npipe('a', second=3)\n"
    assert [unknown_arguments(*call) for call in calls(code)] == [["loudnes"], ["second"]]


@pytest.mark.parametrize(("path", "index", "code"), PYTHON, ids=[f"{path}:{index}" for path, index, _ in PYTHON])
def test_python_code_calls_with_arguments_that_exist(path, index, code):
    for target, node in calls(code):
        if path.name == "foreign.md" and target is SoundingVideoPipeline.__call__:
            # A pipeline of diffusers, to which it passes further arguments.
            continue
        assert not unknown_arguments(target, node), f"line {node.lineno}: {ast.unparse(node.func)}"


def test_every_extra_that_is_named_exists():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    sources = [*DOCUMENTS, *(ROOT / "src").rglob("*.py")]
    named = {
        word for path in sources for group in re.findall(r"sonovid\[([\w,]+)\]", path.read_text()) for word in group.split(",")
    }
    assert {"eval", "speech"} <= named
    assert named <= set(extras), f"no such extra: {sorted(named - set(extras))}"
