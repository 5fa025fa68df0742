"""UniForm trained from its recipe: the whole way on tiny parts, and what is refused."""

import json
from fractions import Fraction

import pytest
import torch

from sonovid import recipes
from sonovid.av import Task
from sonovid.data import clips, latents
from sonovid.denoisers import uniform as sizes
from sonovid.geometry import Geometry
from sonovid.pipeline import SoundingVideoPipeline
from sonovid.recipes import latent_training, parts, uniform_training
from sonovid.training import logs

GEOMETRY = Geometry(4, Fraction(8), 32, 32, 16000)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    recipes.run("uniform.tiny", {"out": str(out), "data": "scenes:bounces+hits:12:seed=0", "steps": "2"})
    return out


def test_a_run_leaves_a_pipeline_that_loads_and_generates(trained):
    pipe = SoundingVideoPipeline.from_pretrained(trained / "model")
    pipe.set_progress_bar_config(disable=True)
    clip = pipe("a ball bounces", generator=0, num_inference_steps=2).clips[0]
    assert clip.geometry == GEOMETRY
    assert clip.waveform.shape[1] == GEOMETRY.num_samples
    assert json.loads((trained / "model" / "recipe.json").read_text())["name"] == "uniform.tiny"


def test_a_run_leaves_losses_by_stream_and_pairs_and_samples(trained):
    (line,) = logs.read(trained / "log.jsonl")
    assert {"loss/video", "loss/audio", "grad_norm", "rate", "clips_per_second"} <= line.keys()
    (held_out,) = logs.read(trained / "log.jsonl", "validation")
    assert {"true/loss/video", "shuffled/loss/video", "loss/audio"} <= held_out.keys()
    names = {path.name for path in (trained / "samples" / "step-000002").iterdir()}
    assert {"0-true.mp4", "0-text_to_both.mp4", "0-video_to_audio.mp4", "0-audio_to_video.mp4"} <= names


def test_latents_of_the_saved_pipeline_are_white_where_it_was_trained(trained):
    pipe = SoundingVideoPipeline.from_pretrained(trained / "model")
    (folder,) = (trained / "latents").glob("train-*")
    batch = latent_training.batches(latents.open_latents(folder), pipe.codec, pipe.text_encoder)
    x0 = batch(range(len(latents.open_latents(folder))))["x0"]
    for x in x0:
        flat = x.movedim(1, 0).flatten(1)
        torch.testing.assert_close(flat.mean(1), torch.zeros(len(flat)), atol=2e-2, rtol=0)
        torch.testing.assert_close(flat.std(1), torch.ones(len(flat)), atol=3e-2, rtol=0)


def test_a_finished_run_is_resumed_without_encoding_anew(trained):
    (folder,) = (trained / "latents").glob("train-*")
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.suffix == ".safetensors"}
    options = {"out": str(trained), "data": "scenes:bounces+hits:12:seed=0", "steps": "3", "resume": "latest"}
    recipes.run("uniform.tiny", options)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.suffix == ".safetensors"} == before
    assert json.loads((trained / "model" / "recipe.json").read_text())["steps_trained"] == 3


def test_a_folder_of_files_is_trained_on(tmp_path):
    clips.write_scenes(tmp_path / "clips", "hits", 5, 0, GEOMETRY, quiet=True)
    out = tmp_path / "run"
    recipes.run("uniform.tiny", {"data": str(tmp_path / "clips"), "out": str(out), "steps": "1"})
    rows = [json.loads(line) for path in (out / "latents").glob("*/index.jsonl") for line in path.read_text().splitlines()]
    assert len(rows) == 5
    assert all(row["caption"] for row in rows)


def test_the_published_network_is_that_of_the_denoiser():
    recipe, wanted = recipes.get("uniform.paper"), sizes.paper()
    own = {key: getattr(recipe.network, key) for key in ("layout", "depth", "width", "heads", "patch_size", "learn_variance")}
    assert own == {key: wanted[key] for key in own}
    assert recipe.codecs.text_width == wanted["text_width"]
    assert recipe.geometry.fps == wanted["fps"]


def test_the_objective_follows_the_recipe():
    regress = uniform_training.objective(recipes.get("uniform.paper").regression)
    assert (regress.predict, regress.text_dropout, regress.bound) == ("eps", 0.5, 1.0)
    assert len(set(regress.tasks.values())) == 1
    u = torch.linspace(0.01, 0.99, 99)
    noisy = uniform_training.objective(recipes.get("uniform.scenes").regression)
    assert (noisy.law_for[Task.AUDIO_TO_VIDEO].video(u) > noisy.law.video(u)).all()
    assert (noisy.law.video(u) > noisy.law.audio(u)).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"codecs.video": ""}, "codecs.video is empty"),
        ({"codecs.video": "/no/such/folder"}, "no such folder"),
        ({"geometry.width": "36"}, "multiples of 8"),
        ({"geometry.num_frames": "3"}, "expected|multiple|whole"),
        ({"held_out": "1.5"}, "held-out share"),
        ({"joint": "0", "video_to_audio": "0", "audio_to_video": "0"}, "tasks="),
    ],
)
def test_what_does_not_fit_is_said(tmp_path, options, said):
    with pytest.raises(ValueError, match=said):
        recipes.run("uniform.tiny", {"out": str(tmp_path), **options})


def test_codecs_of_a_model_folder_and_parts_of_their_own_are_taken(trained, tmp_path):
    chosen = recipes.get("uniform.tiny", {"codecs.video": str(trained / "model"), "codecs.audio": str(trained / "model")}).codecs
    assert parts.video_codec(chosen).config.widths == [16, 16]
    assert parts.audio_codec(chosen).log_mel.hop == 250
    for name, options in (("mel", {}), ("vocoder", {"through": str(tmp_path / "mel" / "model")})):
        recipes.run(f"codec.{name}.tiny", {"out": str(tmp_path / name), "steps": "1", **options})
    pair = {"codecs.audio": str(tmp_path / "mel" / "model"), "codecs.vocoder": str(tmp_path / "vocoder" / "model")}
    joined = parts.audio_codec(recipes.get("uniform.tiny", pair).codecs)
    whole = {"codecs.audio": str(tmp_path / "vocoder" / "model" / "audio_codec")}
    saved = parts.audio_codec(recipes.get("uniform.tiny", whole).codecs)
    wave = 0.1 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(joined.encode(wave), saved.encode(wave))
    with pytest.raises(ValueError, match="name a vocoder"):
        parts.audio_codec(recipes.get("uniform.tiny", {"codecs.audio": str(tmp_path / "mel" / "model")}).codecs)
