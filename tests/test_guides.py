"""The pages for users run from top to bottom as they are printed, with tiny packaged models, clips and trainings."""

import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from printed_pages import ROOT, packaged_models, run_page
from sonovid import media
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.data import clips

# Pages, and the beginnings of their commands that need what a test does not have.
PAGES = {
    "README.md": (),
    "docs/getting-started.md": (),
    "docs/guides/text-to-video.md": (),
    "docs/guides/video-to-audio.md": (),
    "docs/guides/audio-to-video.md": (),
    "docs/guides/continuation.md": (),
    "docs/guides/train.md": (),
    "docs/guides/evaluate.md": (),
    "docs/guides/compare.md": ("sonovid benchmark",),
    "docs/datasets.md": (),
    "docs/training.md": (),
    "docs/metrics.md": (),
}
# Pages with commands of released models, of paper sizes, of servers, or with placeholders. tests/test_documents.py parses
# these, and tests/cli runs the benchmark.
NOT_RUN = {
    "scaling.md",
    "benchmark.md",
    "api.md",
    "app.md",
    "cli.md",
    "foreign.md",
    "provenance.md",
    "rating.md",
    "results.md",
    "uniform.md",
    "calibration.md",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with the files that the pages name."""
    root = tmp_path_factory.mktemp("files")
    clips.write_scenes(root / "clips", "hits", 4, 0, Geometry(16, Fraction(8), 32, 32, 16000), quiet=True)
    names = [f"{index:04d}.mp4" for index in range(4)]
    for name, path in zip(names, sorted((root / "clips").glob("*.mp4")), strict=True):
        for suffix in (".mp4", ".txt", ".json"):
            path.with_suffix(suffix).replace(root / "clips" / Path(name).with_suffix(suffix))
    for folder in ("held-out", "reference", "generated", "ours", "theirs", "baseline", "out/ours", "out/theirs"):
        shutil.copytree(root / "clips", root / folder)
    shutil.copytree(root / "clips", root / "clips" / "test")
    shutil.copy(root / "clips" / "0000.mp4", root / "clip.mp4")
    sound = media.read(root / "clip.mp4").waveform
    frames = np.random.default_rng(0).integers(0, 256, (17 * 8, 16, 16, 3), dtype=np.uint8)
    media.write(root / "film.mp4", Clip(frames, np.tile(sound, 9)[:, : 17 * 16000], fps=Fraction(8), sample_rate=16000))
    for name in ("hits.wav", "sounds/a.wav", "sounds/b.wav", *(f"generated_wav/{Path(name).stem}.wav" for name in names)):
        (root / name).parent.mkdir(exist_ok=True)
        media.write(root / name, Clip(None, sound, fps=Fraction(8), sample_rate=16000))
    rows = [f'{{"path": "held-out/{name}", "caption": "a stick hits a drum"}}\n' for name in names]
    (root / "test.jsonl").write_text("".join(rows))
    (root / "prompts.jsonl").write_text('{"prompt": "a ball"}\n{"prompt": "a stick", "seed": 3}\n')
    return root


@pytest.fixture
def workplace(files, tiny_folder, tmp_path, monkeypatch):
    """A working folder with these files, and tiny packaged models."""
    packaged_models(tmp_path / "weights", tiny_folder, monkeypatch)
    monkeypatch.setenv("SONOVID_CACHE", str(tmp_path / "cache"))
    shutil.copytree(files, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")


@pytest.mark.parametrize(("page", "skipped"), PAGES.items(), ids=PAGES)
def test_a_page_runs_as_printed(page, skipped, workplace):
    run_page(ROOT / page, skipped)


def test_every_page_with_commands_is_run_or_named():
    pages = [path for path in (ROOT / "docs").glob("*.md") if "\n    sonovid " in path.read_text()]
    run = {Path(page).name for page in PAGES}
    assert {path.name for path in pages} <= run | NOT_RUN
    assert {path.name for path in (ROOT / "docs" / "guides").glob("*.md")} <= run
