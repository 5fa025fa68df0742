"""Undefined names, which ruff and mypy pass here: shape strings such as Float[Tensor, "b c"] look undefined to both."""

import io
import json
import shutil
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUFF = shutil.which("ruff", path=str(Path(sys.executable).parent)) or shutil.which("ruff")


def undefined_names(folder: Path) -> list[str]:
    """Undefined names outside of strings, as file:line: name."""
    command = [RUFF, "check", "--isolated", "--select", "F821", "--output-format", "json", "--exit-zero", str(folder)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    wrong = []
    for one in found:
        text = Path(one["filename"]).read_text()
        place = (one["location"]["row"], one["location"]["column"] - 1)
        strings = (t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type == tokenize.STRING)
        if not any(token.start <= place < token.end for token in strings):
            wrong.append(f"{one['filename']}:{place[0]}: {one['message']}")
    return wrong


@pytest.mark.skipif(RUFF is None, reason="ruff is not installed")
def test_every_name_is_defined():
    assert [line for folder in ("src", "tests", "benchmarks", "scripts") for line in undefined_names(ROOT / folder)] == []


@pytest.mark.skipif(RUFF is None, reason="ruff is not installed")
def test_an_undefined_name_is_seen_and_a_shape_is_none(tmp_path):
    (tmp_path / "one.py").write_text('def f(x: Float[Tensor, "b c"]) -> int:\n    return missing(x)\n')
    assert [line.split(": ", 1)[1] for line in undefined_names(tmp_path)] == [
        "Undefined name `Float`", "Undefined name `Tensor`", "Undefined name `missing`",
    ]  # fmt: skip
