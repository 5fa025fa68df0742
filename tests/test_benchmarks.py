"""Benchmarks: every one imports, is listed, and is called in the pages by the name that it has."""

import importlib
import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "benchmarks" / "README.md"]


@pytest.fixture(scope="module")
def known():
    sys.path.insert(0, str(ROOT))
    yield importlib.import_module("benchmarks.__main__").benchmarks()
    sys.path.remove(str(ROOT))


def test_every_benchmark_imports(known):
    assert len(known) > 25
    for name in known:
        assert callable(importlib.import_module(f"benchmarks.{name}").main), name


def test_the_pages_name_benchmarks_that_exist(known):
    called = {(page.name, name) for page in PAGES for name in re.findall(r"python -m benchmarks ([\w.]+)", page.read_text())}
    assert len(called) > 10
    assert not [(page, name) for page, name in called if name not in known]


def test_without_a_name_all_are_listed_and_a_wrong_name_is_an_error(known, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "benchmarks"), run_name="__main__")
    assert ended.value.code == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in known)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "packaged.nothing"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "benchmarks"), run_name="__main__")
    assert ended.value.code == 2
    assert "packaged.held_out" in capsys.readouterr().err


def test_tables_of_the_pages_are_those_of_the_figures(known):
    tables = importlib.import_module("benchmarks.tables")
    counts = [path.read_text().count("<!-- table: ") for path in tables.PAGES]
    assert counts == [2, 1, 1, 1]
    for path in tables.PAGES:
        page = path.read_text()
        assert tables.rendered(page) == page
        start = page.index("<!-- table: ")
        changed = page[:start] + re.sub(r"\d\.\d\d", "9.99", page[start:], count=1)
        assert changed != page
        assert tables.rendered(changed) == page
