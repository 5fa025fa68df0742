"""sonovid cache: clips are encoded before a training, which reuses them, and unused latents are removed."""

import json
from fractions import Fraction

import pytest

from sonovid.cli import main
from sonovid.core.geometry import Geometry
from sonovid.data import clips

GEOMETRY = Geometry(4, Fraction(8), 16, 16, 16000)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Four clips of half a second, in the folder where commands run."""
    monkeypatch.chdir(tmp_path)
    clips.write_scenes(tmp_path / "clips", "hits", 4, 0, GEOMETRY, quiet=True)
    return tmp_path


def test_clips_are_cached_once_added_alone_and_pruned(folder, capsys):
    call = ["cache", "codec.mel.tiny", "data=clips", "out=run"]
    assert main(call) == 0
    assert "4 clips cached, 4 of them encoded now" in capsys.readouterr().out
    assert not (folder / "run" / "model").exists(), "nothing is trained"
    clips.write_scenes(folder / "clips", "hits", 5, 0, GEOMETRY, quiet=True)
    assert main(call) == 0
    assert "5 clips cached, 1 of them encoded now" in capsys.readouterr().out
    for path in (folder / "clips").glob("*2.*"):
        path.unlink()
    earlier = folder / "run" / "latents" / "train-0123456789ab"
    earlier.mkdir()
    (earlier / "cache.json").write_text(json.dumps({"key": "another"}))
    (folder / "run" / "latents" / "store-of-another-codec").mkdir()
    assert main([*call, "--prune"]) == 0
    said = capsys.readouterr().out
    assert "4 clips cached, 0 of them encoded now" in said
    assert "2 clips and probes removed" in said
    assert "cache of an earlier version removed" in said
    assert "store-of-another-codec: 0 B, of another codec or geometry" in said
    assert not earlier.exists()
    assert main(["train", "codec.mel.tiny", "data=clips", "out=run", "steps=1", "validate_every=1"]) == 0
    assert (folder / "run" / "model").is_dir()


def test_what_is_wrong_is_said_as_training_says_it(folder, capsys):
    assert main(["cache", "codec.mel.tiny", "data=nowhere", "out=run"]) == 2
    assert "data=nowhere: no such folder" in capsys.readouterr().err
    assert main(["cache", "codec.mel.tiny", "data=clips"]) == 2
    assert "out=FOLDER is needed" in capsys.readouterr().err
