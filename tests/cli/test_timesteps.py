"""sonovid timesteps: the curves as numbers, JSON and an image."""

import json

import numpy as np
import pytest
from PIL import Image

from sonovid.cli import main, timesteps
from sonovid.core.av import AV
from sonovid.pipelines.pipeline import SoundingVideoPipeline


@pytest.fixture
def learnt(tiny_pipeline, tmp_path, monkeypatch):
    """A pipeline whose losses fall with the time, those of sound later: what a model that has learnt its noise shows."""

    def measured(model, data, clips, draws, seed):
        rng = np.random.default_rng(seed)
        times = (np.arange(draws) + rng.random((clips, draws))) / draws
        loud = np.exp(0.1 * rng.standard_normal((clips, 1)))
        return AV(*((times.ravel(), (loud * np.exp(-4 * times ** (2 * power))).ravel()) for power in (1.3**-0.5, 1.3**0.5)))

    monkeypatch.setattr(timesteps, "collect_losses", measured)
    tiny_pipeline.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_model_that_has_learnt_nothing_is_given_no_gamma(tiny_pipeline, tmp_path, capsys):
    """Its curves are measured and drawn all the same."""
    tiny_pipeline.save_pretrained(tmp_path / "model")
    files = ["--json", str(tmp_path / "a.json"), "--figure", str(tmp_path / "a.png")]
    options = ["--data", "scenes:bounces:3:seed=1", "--clips", "2", "--draws", "6", "--gamma", "2"]
    assert main(["timesteps", str(tmp_path / "model"), *options, *files]) == 0
    said = capsys.readouterr().out
    assert said.count("curves are") == 2
    assert "no gamma can be chosen" in said
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["samples"] == 12
    assert set(found["curves"]) == {"video", "audio"}
    assert found["curves"]["video"]["loss"][0] == 1.0
    assert (found["gamma"], found["interval"]) == (None, None)
    assert Image.open(tmp_path / "a.png").width > 600
    assert main(["timesteps", str(tmp_path / "model"), *options, "--save"]) == 2
    assert "timesteps --save: no gamma can be chosen" in capsys.readouterr().err
    assert SoundingVideoPipeline.from_pretrained(tmp_path / "model").options["gamma"] == 1.0
    assert main(["timesteps", *options, "--save"]) == 2
    assert "copy it first" in capsys.readouterr().err


def test_a_gamma_becomes_the_models_own_with_its_interval_said(learnt, tmp_path, capsys):
    assert main(["timesteps", str(learnt), "--clips", "20", "--save", "--json", str(tmp_path / "a.json")]) == 0
    said = capsys.readouterr().out
    assert "samples with gamma" in said
    assert "<- closest; 95 % [1." in said
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["interval"][0] <= found["gamma"] <= found["interval"][1]
    assert found["gamma"] == pytest.approx(1.3, rel=0.05)
    assert min(found["gaps"], key=found["gaps"].get) == str(found["gamma"])
    assert SoundingVideoPipeline.from_pretrained(learnt).options["gamma"] == round(found["gamma"], 3)


def test_the_same_seed_gives_the_same_curves(tiny_pipeline, tmp_path, capsys):
    tiny_pipeline.save_pretrained(tmp_path / "model")
    options = ["--data", "scenes:bounces:1:seed=1", "--draws", "4"]
    said = []
    for seed in ("0", "0", "1"):
        assert main(["timesteps", str(tmp_path / "model"), *options, "--seed", seed]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] != said[2]


def test_nonsense_is_refused_in_one_line(tmp_path, capsys):
    for options in (["--draws", "0"], ["--gamma", "-1"]):
        assert main(["timesteps", *options]) == 2
        assert capsys.readouterr().err.count("\n") == 1
