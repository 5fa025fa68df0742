"""The scripts that train, at tiny sizes."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parent.parent / "scripts"


def run(script, *arguments):
    command = [sys.executable, str(SCRIPTS / script), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_a_training_on_an_accelerator_leaves_files_that_become_a_model(tmp_path):
    values = ["steps=2", "batch_size=4", "log_every=1", "data.workers=0"]
    printed = run("train_on_accelerator.py", "train", "--recipe", "uniform.tiny", tmp_path, *values)
    assert "24 clips rendered and encoded" in printed
    assert "2 steps in" in printed
    assert {path.name for path in (tmp_path / "files").iterdir()} == {
        "config.json", "diffusion_pytorch_model.safetensors", "log.jsonl", "recipe.json"
    }  # fmt: skip
    base, model = tmp_path / "run" / "model", tmp_path / "joined"
    run("train_on_accelerator.py", "join", "--base", base, tmp_path / "files", model)
    index, original = (json.loads((folder / "model_index.json").read_text()) for folder in (model, base))
    assert index["denoiser"] == original["denoiser"]
