"""sonovid benchmark: export, scoring and its reports."""

import json
import shutil

import pytest

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
