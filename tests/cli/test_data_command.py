"""sonovid data check and split."""

import json
import shutil
from fractions import Fraction

import numpy as np
import pytest

from sonovid import media
from sonovid.cli import main
from sonovid.core.clip import Clip

FPS = Fraction(10)


def shots(*colours, seed):
    """A film of two seconds of each colour, with squares that move and noise, both drawn from a seed."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 40, len(colours) * 20)
    frames = np.zeros((20 * len(colours), 48, 64, 3), np.uint8)
    for i, frame in enumerate(frames):
        frame[:] = colours[i // 20]
        frame[rows[i] : rows[i] + 8, i % 50 : i % 50 + 8] = 255 - np.array(colours[i // 20])
    sound = rng.normal(0, 0.1, 32000 * len(colours)).astype(np.float32)
    return Clip(frames, sound[None], FPS)


@pytest.fixture
def films(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "films" / "deep").mkdir(parents=True)
    media.write(tmp_path / "films" / "one.mp4", shots((200, 30, 30), (30, 60, 200), seed=1))
    media.write(tmp_path / "films" / "deep" / "two.mkv", shots((230, 230, 230), (20, 20, 200), seed=2))
    (tmp_path / "films" / "broken.mp4").write_bytes(b"no film")
    return tmp_path


def test_films_are_split_and_what_is_done_is_kept(films, capsys):
    pytest.importorskip("scenedetect")
    assert main(["data", "split", "films", "clips"]) == 0
    said = capsys.readouterr().out
    assert "4 clips written, 0 existed already, from 3 videos; 1 videos could not be read" in said
    assert "skipped: films/broken.mp4" in said
    names = sorted(path.relative_to(films / "clips").as_posix() for path in (films / "clips").rglob("*.mp4"))
    assert names == ["deep/two-00000000.mp4", "deep/two-00002000.mp4", "one-00000000.mp4", "one-00002000.mp4"]
    (films / "clips" / "one-00000000.mp4").unlink()
    assert main(["data", "split", "films", "clips"]) == 0
    assert "1 clips written, 3 existed already" in capsys.readouterr().out
    assert main(["data", "split", "films/one.mp4", "short", "--least", "9", "--most", "20"]) == 2
    assert "no clip was written; the shortest is 9 s" in capsys.readouterr().err


def test_clips_are_checked_and_nothing_is_changed(films, capsys):
    shutil.copy(films / "films" / "one.mp4", films / "films" / "same.mp4")
    before = {path: path.stat().st_mtime_ns for path in (films / "films").rglob("*")}
    assert main(["data", "check", "films", "--report", "report.json", "--captions", "--workers", "0"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("4 clips, 0 without a fault")
    assert "same.mp4 (of one.mp4)" in said
    assert {path: path.stat().st_mtime_ns for path in (films / "films").rglob("*")} == before
    report = json.loads((films / "report.json").read_text())
    assert {row["name"]: row.get("copy_of") for row in report["clips"]}["same.mp4"] == "one.mp4"
    assert main(["data", "check", "films", "--report", "report.json"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["data", "check", "films", "--strict", "--workers", "0"]) == 2


def test_what_was_there_before_is_under_the_same_roof(capsys):
    for name in ("caption", "filter"):
        with pytest.raises(SystemExit):
            main(["data", name, "--help"])
        assert f"sonovid data {name}" in capsys.readouterr().out
