"""sonovid import mm-diffusion: a checkpoint of random tensors in the released layout."""

import json
import pickle

import pytest
import torch
from released_mmdiffusion import checkpoint

from sonovid.cli import main

# The published levels at half the width.
SIZE = {"width": 64, "multipliers": (1, 2, 3, 4), "blocks": 2, "windows": (0, 1, 4, 8)}


def test_a_released_file_becomes_a_model_folder(tmp_path, capsys):
    torch.save(checkpoint(**SIZE), tmp_path / "landscape.pt")
    assert main(["import", "mm-diffusion", str(tmp_path / "landscape.pt"), str(tmp_path / "model")]) == 0
    assert "sonovid generate --video clip.mp4" in capsys.readouterr().out
    index = json.loads((tmp_path / "model" / "model_index.json").read_text())
    assert index["geometry"] == {"fps": "10", "height": 64, "num_frames": 16, "sample_rate": 16000, "width": 64}
    assert (index["system"], index["predict"], index["conditioning"]) == ("mmdiffusion", "eps", "replaced")
    assert not list((tmp_path / "model").rglob("*.pt"))
    assert main(["info", str(tmp_path / "model")]) == 0
    assert "64x64" in capsys.readouterr().out


class Code:
    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ({"a": torch.zeros(1)}, "not the weights of a base model"),
        ([torch.zeros(1)], "does not hold a dictionary of tensors"),
        ({"time_embed.0.weight": torch.zeros(64, 64)}, "lacks"),
        (Code(), "holds more than tensors"),
    ],
)
def test_other_files_are_refused_in_one_line(content, word, tmp_path, capsys):
    torch.save(content, tmp_path / "file.pt", pickle_module=pickle)
    assert main(["import", "mm-diffusion", str(tmp_path / "file.pt"), str(tmp_path / "model")]) == 2
    captured = capsys.readouterr()
    assert word in captured.err
    assert captured.err.count("\n") == 1
    assert "run" not in captured.out
    assert not (tmp_path / "model").exists()


def test_a_missing_file_is_said(tmp_path, capsys):
    assert main(["import", "mm-diffusion", str(tmp_path / "none.pt"), str(tmp_path / "model")]) == 2
    assert "no such file" in capsys.readouterr().err
