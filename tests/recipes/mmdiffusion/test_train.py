"""MM-Diffusion trained from its recipe, its pipeline, and the published settings."""

import json

import pytest
import torch

from sonovid import recipes
from sonovid.data import clips
from sonovid.data.manifest import read
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes.configs import TINY_GEOMETRY
from sonovid.recipes.mmdiffusion.train import SCHEDULE
from sonovid.training import logs


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    recipes.run("mmdiffusion.tiny", {"out": str(out)})
    return out


def test_the_saved_pipeline_samples_all_tasks(trained):
    pipe = SoundingVideoPipeline.from_pretrained(trained / "model")
    pipe.set_progress_bar_config(disable=True)
    assert (pipe.accepts_text, pipe.config.conditioning, pipe.config.predict, pipe.config.system) == (
        False, "replaced", "eps", "mmdiffusion",
    )  # fmt: skip
    true = clips.load_clip(clips.Window(read("scenes:bounces:1:seed=3")[0]), TINY_GEOMETRY)
    for inputs in ({}, {"video": true, "reconstruction_scale": 0.1}, {"audio": true}):
        clip = pipe(generator=0, **inputs).clips[0]
        assert clip.geometry == TINY_GEOMETRY
        assert clip.waveform.shape[1] == TINY_GEOMETRY.num_samples
    # Shifts of attention follow from the timesteps, so a seed gives the same clip again.
    one, again = (pipe(generator=5).clips[0] for _ in range(2))
    assert (one.frames == again.frames).all()
    assert (one.waveform == again.waveform).all()


def test_both_losses_are_logged_and_samples_are_written(trained):
    line = logs.read_log(trained / "log.jsonl")[-1]
    assert {"loss/video", "loss/audio"} <= line.keys()
    names = {path.name for path in (trained / "samples" / "step-000004").iterdir()}
    assert {"0-true.mp4", "0-both.mp4", "0-video_to_audio.mp4", "0-audio_to_video.mp4"} <= names
    assert json.loads((trained / "model" / "recipe.json").read_text())["name"] == "mmdiffusion.tiny"


def test_the_published_settings():
    recipe = recipes.get("mmdiffusion.paper")
    assert (recipe.geometry.num_samples, recipe.training.global_batch, recipe.training.learning_rate) == (25600, 128, 1e-4)
    alpha, sigma = SCHEDULE.coefficients(torch.tensor([1 / 1000, 1.0], dtype=torch.float64))
    assert float(sigma[0] ** 2) == pytest.approx(1e-4)
    # The product of 1 - beta over 1000 betas from 1e-4 to 0.02.
    assert float(alpha[1] ** 2) == pytest.approx(4.0358e-5, rel=1e-3)
