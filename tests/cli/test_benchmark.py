"""sonovid benchmark: export, scoring and its reports."""

import json
import shutil

import pytest

from sonovid.benchmark import generation
from sonovid.benchmark.reader import EventReader, save
from sonovid.cli import main

pytest.importorskip("rich")


def test_export_and_score(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SONOVID_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "bench"
    same = ["--workers", "0"]
    save(EventReader({"world": ["bounces", "hits"], "material": ["wood"], "colour": ["red"]}), tmp_path / "r.safetensors", {})
    read = ["--reader", str(tmp_path / "r.safetensors")]
    assert main(["benchmark", "export", str(out), "--clips", "6", "--quiet", *same]) == 0
    assert main(["benchmark", "score", str(out), *same]) == 2
    assert "no clips of a system in it" in capsys.readouterr().err
    (out / "mine" / "joint").mkdir(parents=True)
    for path in (out / "reference").glob("*.mkv"):
        shutil.copy(path, out / "mine" / "joint" / path.name)
    (out / "mine" / "system.json").write_text(json.dumps({"parameters": 6_500_000, "seconds_per_clip": 1.6}))
    assert main(["benchmark", "score", str(out), "--resamples", "5", *read, *same]) == 0
    shown = capsys.readouterr().out
    assert "onsets_events_read_f1 ↑" in shown
    assert "seconds per clip" in shown
    held = json.loads((out / "results.json").read_text())
    assert held["systems"] == {"mine": {"parameters": 6_500_000, "seconds_per_clip": 1.6}}
    assert "| joint |" in (out / "results.md").read_text()
    assert (out / "results.html").read_text().startswith("<!doctype html>")
    for words, says in (
        (["--tasks", "words"], "--tasks words: expected video_to_audio"),
        (["--systems", "theirs=nowhere"], "no such folder"),
    ):
        assert main(["benchmark", "score", str(out), *words, *read, *same]) == 2
        assert says in capsys.readouterr().err
    (out / "mine" / "system.json").write_text("[1]")
    assert main(["benchmark", "score", str(out), *same]) == 2
    assert "expected an object" in capsys.readouterr().err


@pytest.mark.usefixtures("ray_cluster")
def test_ray_generates_the_clips_and_facts_of_a_single_process(tmp_path, tiny_folder, monkeypatch, capsys):
    monkeypatch.setattr(generation, "GROUP", 2)
    monkeypatch.setenv("SONOVID_CACHE", str(tmp_path / "cache"))
    options = ["--steps", "1", "--dtype", "float32"]
    for name, words in (("one", []), ("several", ["--ray"])):
        out = str(tmp_path / name)
        assert main(["benchmark", "export", out, "--clips", "4", "--quiet", "--workers", "0"]) == 0
        systems = ["--systems", f"tiny={tiny_folder}"]
        assert main(["benchmark", "generate", out, *systems, *options, *words]) == 0
        assert "12 clips generated" in capsys.readouterr().out
        assert main(["benchmark", "generate", out, *systems, *options, *words]) == 0
        assert "0 clips generated" in capsys.readouterr().out
    one, several = tmp_path / "one" / "tiny", tmp_path / "several" / "tiny"
    names = sorted(path.relative_to(one) for path in one.rglob("*.mp4"))
    assert names == sorted(path.relative_to(several) for path in several.rglob("*.mp4"))
    for name in names:
        assert (one / name).read_bytes() == (several / name).read_bytes(), name
    facts = [json.loads((folder / "system.json").read_text()) for folder in (one, several)]
    assert facts[0].keys() == facts[1].keys()
    assert [facts[0][key] == facts[1][key] for key in ("parameters", "evaluations")] == [True, True]


@pytest.mark.usefixtures("ray_cluster")
def test_a_model_that_a_worker_cannot_load_is_said_in_one_line(tmp_path, capsys):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model_index.json").write_text("{}")
    assert main(["benchmark", "export", str(tmp_path / "out"), "--clips", "4", "--quiet", "--workers", "0"]) == 0
    capsys.readouterr()
    words = ["benchmark", "generate", str(tmp_path / "out"), "--systems", str(tmp_path / "broken"), "--ray"]
    assert main(words) == 2
    captured = capsys.readouterr().err
    assert "broken" in captured
    assert captured.count("\n") == 1
