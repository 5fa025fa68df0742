"""The curves of a model that has learnt nothing, as figures, JSON and a picture."""

import json

from PIL import Image

from sonovid.cli import main
from sonovid.pipeline import SoundingVideoPipeline


def test_curves_are_measured_and_a_gamma_is_chosen(tiny_pipeline, tmp_path, capsys):
    tiny_pipeline.save_pretrained(tmp_path / "model")
    files = ["--json", str(tmp_path / "a.json"), "--figure", str(tmp_path / "a.png")]
    options = ["--data", "scenes:bounces:3:seed=1", "--clips", "2", "--draws", "6", "--gamma", "2"]
    assert main(["timesteps", str(tmp_path / "model"), *options, *files]) == 0
    said = capsys.readouterr().out
    assert said.count("curves are") == 3
    assert "<- the nearest" in said
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["samples"] == 12
    assert set(found["curves"]) == {"video", "audio"}
    assert found["curves"]["video"]["loss"][0] == 1.0
    assert min(found["gaps"], key=found["gaps"].get) == str(found["gamma"])
    assert Image.open(tmp_path / "a.png").width > 900


def test_a_gamma_becomes_the_models_own(tiny_pipeline, tmp_path, capsys):
    tiny_pipeline.save_pretrained(tmp_path / "model")
    files = ["--save", "--json", str(tmp_path / "a.json")]
    options = ["--data", "scenes:bounces:1:seed=1", "--draws", "6"]
    assert main(["timesteps", str(tmp_path / "model"), *options, *files]) == 0
    assert "samples with gamma" in capsys.readouterr().out
    again = SoundingVideoPipeline.from_pretrained(tmp_path / "model")
    assert again.options["gamma"] == round(json.loads((tmp_path / "a.json").read_text())["gamma"], 3)
    assert {**again.options, "gamma": 1.0} == {**tiny_pipeline.options, "gamma": 1.0}
    assert main(["timesteps", *options, "--save"]) == 2
    assert "copy it first" in capsys.readouterr().err


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
