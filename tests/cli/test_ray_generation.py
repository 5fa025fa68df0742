"""Many inputs with Ray: the files of a single process, a lost worker, errors in one line."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from sonovid import media
from sonovid.cli import batch, generate, main
from sonovid.pipelines.loading import INDEX


@pytest.fixture
def call(tiny_folder, tmp_path, monkeypatch, capsys):
    """Run `sonovid generate --from list.jsonl`; returns exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    rows = [{"prompt": f"a hit {i}", "name": str(i)} for i in range(5)] + [{"video": "no.mp4"}]
    Path("list.jsonl").write_text("\n".join(map(json.dumps, rows)))

    def run(*words):
        options = ["--model", str(tiny_folder), "--steps", "1", "--dtype", "float32", *words]
        status = main(["generate", "--from", "list.jsonl", *options])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def write_and_die_once(args, pipe, item, path, clip):
    """Write a clip; the first worker that writes the clip "3" is killed after it."""
    generate_write(args, pipe, item, path, clip)
    flag = path.parent.parent / "died"
    if item.name == "3.mp4" and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)


generate_write = generate.write_batch_item


@pytest.mark.usefixtures("ray_cluster")
def test_ray_writes_the_files_of_a_single_process_though_a_worker_is_killed(call, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "MAX_GROUP", 2)
    assert call("-o", "one")[0] == 2
    monkeypatch.setattr(generate, "write_batch_item", write_and_die_once)
    status, out, err = call("-o", str(tmp_path / "several"), "--ray")
    assert (status, (tmp_path / "died").exists()) == (2, True)
    assert "5 clips generated, 0 existed already, 1 failed" in out
    assert "sonovid: 00005.mp4: no.mp4: no such file" in err
    for name in (f"{i}.mp4" for i in range(5)):
        ours, theirs = (media.read(tmp_path / folder / name) for folder in ("one", "several"))
        assert np.array_equal(ours.frames, theirs.frames)
        assert np.array_equal(ours.waveform, theirs.waveform)
    assert (tmp_path / "one/manifest.jsonl").read_text() == (tmp_path / "several/manifest.jsonl").read_text()


@pytest.mark.usefixtures("ray_cluster")
def test_a_model_that_cannot_be_loaded_is_said_in_one_line(call, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / INDEX).write_text("{}")
    status, _, err = call("-o", "made", "--ray", "--model", "broken")
    assert status == 2
    assert "model broken" in err
    assert err.count("\n") == 1


def test_without_ray_it_is_said(call, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    status, _, err = call("-o", "made", "--ray")
    assert status == 2
    assert "pip install 'sonovid[ray]'" in err


def test_a_single_input_is_refused(capsys):
    assert main(["generate", "a hit", "--ray"]) == 2
    assert "--ray: for many inputs" in capsys.readouterr().err
