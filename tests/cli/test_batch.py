"""Many inputs: folders, patterns and lists; existing clips and unreadable files."""

import json
from fractions import Fraction

import numpy as np
import pytest

from sonovid import media
from sonovid.cli import batch, main
from sonovid.core.clip import Clip


@pytest.fixture
def films(tmp_path):
    """A folder of three videos, one of them broken, and a text file."""
    folder = tmp_path / "films"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.mp4", "c.mov"):
        frames = np.repeat(np.repeat(rng.integers(0, 256, (8, 4, 4, 3), dtype=np.uint8), 4, 1), 4, 2)
        sound = rng.normal(0, 0.1, (1, 8000)).astype(np.float32)
        media.write(folder / name, Clip(frames, sound, fps=Fraction(8), sample_rate=8000))
    (folder / "b.mp4").write_bytes(b"no film at all")
    (folder / "notes.txt").write_text("not a film")
    return folder


@pytest.fixture
def sonovid(tiny_folder, tmp_path, capsys, monkeypatch):
    """Run `sonovid generate` in an empty folder; returns exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        options = ["--model", str(tiny_folder), "--steps", "1", "--dtype", "float32"]
        status = main(["generate", *map(str, words), *options])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.mark.parametrize("given", ["{}", "{}/*.m*"])
def test_a_folder_goes_on_past_what_is_broken_and_is_resumed(sonovid, films, tmp_path, given):
    status, out, err = sonovid("--video", given.format(films), "-o", "made")
    assert status == 2
    assert "2 clips generated, 0 existed already, 1 failed" in out
    assert err.count("b.mp4") >= 2
    assert "1 of 3 clips failed" in err
    made = tmp_path / "made"
    assert sorted(one.name for one in made.iterdir()) == ["a.mp4", "c.mov", "manifest.jsonl"]
    assert media.read(made / "a.mp4").waveform.shape == (1, 8000)
    before = (made / "a.mp4").stat().st_mtime_ns
    (made / "c.mov").unlink()
    assert "1 clips generated, 1 existed already, 1 failed" in sonovid("--video", given.format(films), "-o", "made")[1]
    assert (made / "a.mp4").stat().st_mtime_ns == before
    rows = [json.loads(line) for line in (made / "manifest.jsonl").read_text().splitlines()]
    assert [(row["path"], row["seed"]) for row in rows] == [("a.mp4", 0), ("c.mov", 2)]


def test_a_resumed_clip_is_that_of_its_own_seed(sonovid, films, tmp_path):
    (films / "b.mp4").unlink()
    assert sonovid("--video", films, "-o", "all", "--seed", 5, "--exact")[0] == 0
    (tmp_path / "all" / "a.mp4").rename(tmp_path / "kept.mp4")
    assert sonovid("--video", films, "-o", "all", "--seed", 5, "--exact")[0] == 0
    again, kept = (media.read(tmp_path / name).waveform for name in ("all/a.mp4", "kept.mp4"))
    assert np.array_equal(again, kept)


def test_a_list_of_prompts_and_clips(sonovid, films, tmp_path):
    rows = [
        {"caption": "a hit", "name": "first"},
        {"prompt": "rain", "seed": 7, "negative": "wind"},
        {"path": "films/a.mp4", "caption": "a splash"},
    ]
    (tmp_path / "list.jsonl").write_text("\ufeff" + "\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert sonovid("--from", "list.jsonl", "-o", "made")[0] == 0
    notes = [json.loads(line) for line in (tmp_path / "made" / "manifest.jsonl").read_text().splitlines()]
    assert [(row["path"], row["caption"], row["seed"]) for row in notes] == [
        ("first.mp4", "a hit", 0),
        ("00001.mp4", "rain", 7),
        ("a.mp4", "a splash", 2),
    ]
    _, _, err = sonovid("--from", "list.jsonl", "-o", "sounds", "--task", "video-to-audio")
    assert "line 1: --task video-to-audio needs a path" in err
    (tmp_path / "list.jsonl").write_text(json.dumps(rows[2]))
    assert sonovid("--from", "list.jsonl", "-o", "sounds", "--task", "video-to-audio")[0] == 0
    given, made = (media.read(tmp_path / name) for name in ("films/a.mp4", "sounds/a.mp4"))
    assert np.array_equal(given.frames, made.frames)
    assert not np.array_equal(given.waveform, made.waveform)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--from", "list.txt"], "expected a .jsonl or .csv"),
        (["--from", "list.jsonl"], "no such file"),
        (["--video", "films", "-o", "film.mp4"], "several clips are written into a folder"),
        (["--video", "films", "--count", "2", "-o", "made"], "--count 2"),
        (["--video", "films", "--preview", "a.png", "-o", "made"], "--preview"),
        (["--video", "nowhere/*.mp4", "-o", "made"], "no inputs found there"),
        (["--video", "films", "--audio", "films", "-o", "made"], "both given"),
    ],
)
def test_what_cannot_be_is_said_before_any_work(sonovid, films, words, says):
    status, _, err = sonovid(*words)
    assert status == 2
    assert says in err
    assert err.count("\n") == 1


def test_two_inputs_of_one_name_are_refused(sonovid, tmp_path):
    (tmp_path / "list.csv").write_text("prompt,name\na hit,x\nrain,x\n")
    assert "such as x.mp4" in sonovid("--from", "list.csv", "-o", "made")[2]


def test_items_of_one_task_run_together(monkeypatch):
    monkeypatch.setattr(batch, "MAX_GROUP", 2)
    items = [batch.BatchItem(str(i), i, video="v" if 1 <= i < 4 else None) for i in range(5)]
    assert [[one.seed for one in group] for group in batch.group_by_task(items)] == [[0], [1, 2], [3], [4]]
