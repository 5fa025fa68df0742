"""The documentation site: it builds without a warning, links lead somewhere, and its pages load nothing from another host."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs")
pytest.importorskip("material")
pytest.importorskip("mkdocstrings")
pytest.importorskip("latex2mathml")

ROOT = Path(__file__).parents[1]
LOADED = re.compile(r"<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=\"(https?:)?//|<link\b[^>]*\bhref=\"(https?:)?//")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site. A broken link, an anchor that is missing or a page that the navigation lacks is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_site_has_pages_of_all_kinds(site):
    for page in (
        "index",
        "guides/train",
        "systems/svg",
        "reference/pipelines",
        "examples/add_codec",
        "contributing",
        "benchmarks",
    ):
        assert (site / f"{page}.html").is_file()
    reference = (site / "reference" / "pipelines.html").read_text()
    assert "SoundingVideoPipeline" in reference
    assert "from_pretrained" in reference


def test_formulas_are_mathml(site):
    page = (site / "metrics.html").read_text()
    assert "<math" in page
    assert r"\overline" not in page


def test_pages_load_nothing_from_another_host(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 40
    assert not [str(page.relative_to(site)) for page in pages if LOADED.search(page.read_text())]
