"""sonovid caption with a tiny random model: written and existing captions, unreadable clips."""

import shutil
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from sonovid import media
from sonovid.cli import main
from sonovid.cli.caption import sample_frames
from sonovid.core.clip import Clip
from sonovid.data import manifest

sys.path.append(str(Path(__file__).parents[1] / "curation"))
from test_captioning import asked


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return asked(tmp_path_factory.mktemp("captioner"))


def stairs(count=8):
    """Frames each brighter than the one before."""
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None] * 30, (count, 32, 32, 3)).copy()


@pytest.fixture
def clips(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / "clips"
    (folder / "more").mkdir(parents=True)
    media.write(folder / "a.mp4", Clip(stairs(), None, fps=Fraction(8)))
    for name in ("b.mp4", "more/c.mp4"):
        shutil.copy(folder / "a.mp4", folder / name)
    return folder


def test_frames_lie_in_the_middle_of_equal_parts(clips):
    assert [round(float(frame.mean()) / 30) for frame in sample_frames(str(clips / "a.mp4"), 4)] == [1, 3, 5, 7]
    assert len(sample_frames(str(clips / "a.mp4"), 1)) == 1


def test_captions_lie_beside_clips_and_what_is_there_stays(clips, model, tmp_path, capsys, monkeypatch):
    (clips / "b.txt").write_text("mine\n")
    listed = tmp_path / "all.jsonl"
    line = ["caption", str(clips), "--model", str(model), "--prompt", "what is it", "--tokens", "4", "--manifest"]
    assert main([*line, str(listed)]) == 0
    assert "2 captions written, 1 kept, 0 failed" in capsys.readouterr().out
    assert (clips / "b.txt").read_text() == "mine\n"
    said = (clips / "a.txt").read_text().strip()
    assert said == (clips / "more" / "c.txt").read_text().strip() != ""
    entries = manifest.read(listed)
    assert [(Path(e.path).relative_to(clips).as_posix(), e.caption) for e in entries] == [
        ("a.mp4", said), ("b.mp4", "mine"), ("more/c.mp4", said),
    ]  # fmt: skip
    assert {entry.caption for entry in manifest.read(clips)} == {said, "mine"}
    # Nothing is left to do: the model is not even looked for.
    assert main(["caption", str(clips), "--model", str(tmp_path / "none"), "--manifest", str(tmp_path / "all.csv")]) == 0
    assert [entry.caption for entry in manifest.read(tmp_path / "all.csv")] == [said, "mine", said]
    assert main([*line, str(listed), "--overwrite"]) == 0
    assert (clips / "b.txt").read_text().strip() == said


def test_a_broken_clip_is_passed_over_and_bad_input_is_one_line(clips, model, tmp_path, capsys, caplog):
    (clips / "b.mp4").write_bytes(b"no film")
    assert main(["caption", str(clips), "--model", str(model), "--prompt", "what is it", "--tokens", "4"]) == 0
    assert "2 captions written, 0 kept, 1 failed" in capsys.readouterr().out
    assert "b.mp4" in caplog.text
    assert not (clips / "b.txt").exists()

    def fails(said, *words):
        assert main(["caption", *words]) == 2
        line = capsys.readouterr().err
        assert said in line
        assert line.count("\n") == 1

    fails("no such folder", str(tmp_path / "none"), "--model", str(model))
    fails("cannot load an image-text model", str(clips), "--model", str(tmp_path / "none"))
    fails("a manifest is .jsonl or .csv", str(clips), "--model", str(model), "--manifest", str(tmp_path / "a.txt"))
    shutil.copy(clips / "a.mp4", clips / "a.mov")
    fails("two clips would share", str(clips), "--model", str(model))


def test_clips_of_a_dataset_are_captioned_into_a_manifest(model, tmp_path, monkeypatch, capsys):
    """Two stretches of one recording, whose twin with the sound as recorded is no clip of the set."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("x_denoised_thumb.mp4", "x_mic_thumb.mp4"):
        media.write(tmp_path / name, Clip(stairs(), None, fps=Fraction(8)))
    (tmp_path / "train.txt").write_text("x\n")
    source, listed = f"greatest-hits:{tmp_path}:seconds=0.5", tmp_path / "train.jsonl"
    line = ["caption", source, "--prompt", "what is it", "--tokens", "4", "--model"]
    assert main([*line, str(model)]) == 2
    assert "--manifest FILE is needed" in capsys.readouterr().err
    assert main([*line, str(model), "--manifest", str(listed)]) == 0
    entries = manifest.read(listed)
    assert [(Path(entry.path).name, entry.start, entry.seconds) for entry in entries] == [
        ("x_denoised_thumb.mp4", 0.0, 0.5), ("x_denoised_thumb.mp4", 0.5, 0.5),
    ]  # fmt: skip
    assert all(entry.caption for entry in entries)
    assert not list(tmp_path.glob("x_*.txt"))
    # What stands there is kept, and the model not looked for.
    assert main([*line, str(tmp_path / "none"), "--manifest", str(listed)]) == 0
    assert "0 captions written, 2 kept" in capsys.readouterr().out
    assert manifest.read(listed) == entries
    frames = sample_frames(str(tmp_path / "x_denoised_thumb.mp4"), 2, 0.5, 0.5)
    assert [round(float(frame.mean()) / 30) for frame in frames] == [5, 7]
