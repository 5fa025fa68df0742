"""sonovid info of clips, manifests and training runs."""

import json
from fractions import Fraction

import pytest

from sonovid.cli import dataset_info, main
from sonovid.core.geometry import Geometry
from sonovid.data import clips

GEOMETRY = Geometry(4, Fraction(8), 16, 16, 16000)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clips.write_scenes(tmp_path / "clips", "hits", 3, 0, GEOMETRY, quiet=True)
    next((tmp_path / "clips").glob("*1.txt")).write_text("")
    (tmp_path / "clips" / "broken.mp4").write_bytes(b"no film")
    return tmp_path


def told(capsys, what):
    assert main(["info", str(what)]) == 0
    return dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())


def test_a_folder_of_clips_and_its_manifest(folder, capsys):
    facts = {name.strip(): value.strip() for name, value in told(capsys, "clips").items()}
    assert facts["clips"] == "4"
    assert facts["captions"] == "2 of 4"
    assert facts["files"] == "4, 2.0 s"
    assert facts["pictures"] == "16x16 at 8 per second"
    assert facts["sound"] == "16000 Hz"
    assert facts["unreadable"] == "1"
    facts = {name.strip(): value.strip() for name, value in told(capsys, "clips/manifest.jsonl").items()}
    with_events = sum(bool(json.loads(line)["events"]) for line in (folder / "clips" / "manifest.jsonl").read_text().splitlines())
    assert (facts["clips"], facts["captions"], facts["events"]) == ("3", "3 of 3", f"in {with_events}")


def test_a_run(folder, capsys):
    run = folder / "run"
    (run / "checkpoint-000002").mkdir(parents=True)
    recipe = {"name": "uniform.tiny", "data": {"path": "clips"}, "training": {"steps": 4}}
    (run / "recipe.json").write_text(json.dumps(recipe))
    rows = [{"kind": "train", "step": 2, "loss/video": 0.5, "loss_at/video/0.5": 1, "minutes": 1.5}]
    rows.append({"kind": "validation", "step": 2, "loss/video": 0.25})
    (run / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run / "clips.txt").write_text("a\nb\n")
    (run / "codecs.json").write_text(json.dumps({"psnr": 17.8, "distance": 12.0, "onsets": 0.31, "clips": 8}))
    facts = {name.strip(): value.strip() for name, value in told(capsys, run).items()}
    assert facts["recipe"] == "uniform.tiny"
    assert (facts["steps"], facts["losses"], facts["held-out losses"]) == ("2 of 4", "video 0.5", "video 0.25")
    assert (facts["checkpoints"], facts["model"], facts["clips"]) == ("checkpoint-000002", "none yet", "2")
    assert facts["codecs"] == "pictures 17.8 dB, sounds 12.0 dB off, onsets F1 0.31"


def test_models_and_empty_folders_are_none_of_these(folder):
    for name in ("empty", "pipeline", "network"):
        (folder / name).mkdir()
    (folder / "pipeline" / "model_index.json").write_text("{}")
    (folder / "network" / "config.json").write_text("{}")
    assert [dataset_info.describe_source(name) for name in ("empty", "pipeline", "network", "OWNER/NAME")] == [None] * 4
