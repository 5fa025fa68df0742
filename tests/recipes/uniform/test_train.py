"""UniForm trained from its recipe with tiny components."""

import json
from fractions import Fraction

import pytest
import torch
from safetensors.torch import load_file

from sonovid import media, recipes
from sonovid.cli import main
from sonovid.codecs.open_sora import OpenSoraVideo
from sonovid.core.av import Task
from sonovid.core.geometry import Geometry
from sonovid.data import clips, shards
from sonovid.models.uniform import transformer as sizes
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes import latent_data
from sonovid.recipes.components import load_audio_codec, load_video_codec
from sonovid.recipes.uniform.train import build_objective
from sonovid.training import logs

GEOMETRY = Geometry(4, Fraction(8), 32, 32, 16000)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    recipes.run("uniform.tiny", {"out": str(out), "data": "scenes:bounces+hits:12:seed=0", "steps": "2"})
    return out


def test_the_saved_pipeline_loads_and_generates(trained):
    pipe = SoundingVideoPipeline.from_pretrained(trained / "model")
    pipe.set_progress_bar_config(disable=True)
    clip = pipe("a ball bounces", generator=0, num_inference_steps=2).clips[0]
    assert clip.geometry == GEOMETRY
    assert clip.waveform.shape[1] == GEOMETRY.num_samples
    assert json.loads((trained / "model" / "recipe.json").read_text())["name"] == "uniform.tiny"


def test_a_run_logs_losses_by_stream_and_writes_samples(trained):
    (line,) = logs.read_log(trained / "log.jsonl")
    assert {"loss/video", "loss/audio", "grad_norm", "rate", "clips_per_second"} <= line.keys()
    (held_out,) = logs.read_log(trained / "log.jsonl", "validation")
    assert {"true/loss/video", "shuffled/loss/video", "loss/audio"} <= held_out.keys()
    names = {path.name for path in (trained / "samples" / "step-000002").iterdir()}
    assert {"0-true.mp4", "0-text_to_both.mp4", "0-video_to_audio.mp4", "0-audio_to_video.mp4"} <= names


def test_the_saved_codecs_whiten_the_training_latents(trained):
    pipe = SoundingVideoPipeline.from_pretrained(trained / "model")
    options = {"out": str(trained), "data": "scenes:bounces+hits:12:seed=0"}
    data = latent_data.prepare_latents(recipes.get("uniform.tiny", options), pipe.codec, pipe.text_encoder)
    assert len(list((trained / "latents").glob("store-*"))) == 1, "the saved codecs are those that the cache is of"
    x0 = data.batches(data.training)(range(len(data.training)))["x0"]
    for x in x0:
        flat = x.movedim(1, 0).flatten(1)
        torch.testing.assert_close(flat.mean(1), torch.zeros(len(flat)), atol=2e-2, rtol=0)
        torch.testing.assert_close(flat.std(1), torch.ones(len(flat)), atol=3e-2, rtol=0)


def test_a_resumed_run_does_not_encode_again(trained):
    (folder,) = (trained / "latents").glob("store-*")
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert before
    options = {"out": str(trained), "data": "scenes:bounces+hits:12:seed=0", "steps": "3", "resume": "latest"}
    recipes.run("uniform.tiny", options)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert json.loads((trained / "model" / "recipe.json").read_text())["steps_trained"] == 3


def test_training_on_a_folder_of_files(tmp_path):
    clips.write_scenes(tmp_path / "clips", "hits", 5, 0, GEOMETRY, quiet=True)
    out = tmp_path / "run"
    recipes.run("uniform.tiny", {"data": str(tmp_path / "clips"), "out": str(out), "steps": "1"})
    rows = [row.info for path in (out / "latents").glob("*/*.tar") for row in shards.read(path).rows]
    assert len(rows) == 5
    assert all(row["caption"] for row in rows)


def test_the_published_recipe_has_the_network_s_published_size():
    recipe, wanted = recipes.get("uniform.paper"), sizes.paper()
    own = {key: getattr(recipe.network, key) for key in ("layout", "depth", "width", "heads", "patch_size", "learn_variance")}
    assert own == {key: wanted[key] for key in own}
    assert recipe.codecs.text_width == wanted["text_width"]
    assert recipe.geometry.fps == wanted["fps"]


def test_the_objective_follows_the_recipe():
    regress = build_objective(recipes.get("uniform.paper").regression)
    assert (regress.predict, regress.text_dropout, regress.vlb_weight) == ("eps", 0.5, 1.0)
    assert len(set(regress.tasks.values())) == 1
    u = torch.linspace(0.01, 0.99, 99)
    noisy = build_objective(recipes.get("uniform.scenes").regression)
    assert (noisy.task_time_distributions[Task.AUDIO_TO_VIDEO].video(u) > noisy.time_distribution.video(u)).all()
    assert (noisy.time_distribution.video(u) > noisy.time_distribution.audio(u)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codecs.video": ""}, r"codecs.video is empty: name a codec whose latent frames divide the audio's 8 steps, such as"),
        ({"codecs.video": "/no/such/folder"}, "no such folder"),
        ({"geometry.width": "36"}, "multiples of 8"),
        ({"geometry.num_frames": "3"}, "expected|multiple|whole"),
        ({"held_out": "1.5"}, "held-out share"),
        ({"joint": "0", "video_to_audio": "0", "audio_to_video": "0"}, "tasks="),
    ],
)
def test_invalid_values_are_rejected(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        recipes.run("uniform.tiny", {"out": str(tmp_path), **options})


def test_codecs_load_from_a_model_folder_and_from_separate_parts(trained, tmp_path):
    chosen = recipes.get("uniform.tiny", {"codecs.video": str(trained / "model"), "codecs.audio": str(trained / "model")}).codecs
    assert load_video_codec(chosen).config.widths == [16, 16]
    assert load_audio_codec(chosen).log_mel.hop == 250
    for name, options in (("mel", {}), ("vocoder", {"through": str(tmp_path / "mel" / "model")})):
        recipes.run(f"codec.{name}.tiny", {"out": str(tmp_path / name), "steps": "1", **options})
    pair = {"codecs.audio": str(tmp_path / "mel" / "model"), "codecs.vocoder": str(tmp_path / "vocoder" / "model")}
    joined = load_audio_codec(recipes.get("uniform.tiny", pair).codecs)
    whole = {"codecs.audio": str(tmp_path / "vocoder" / "model" / "audio_codec")}
    saved = load_audio_codec(recipes.get("uniform.tiny", whole).codecs)
    wave = 0.1 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(joined.encode(wave), saved.encode(wave))
    with pytest.raises(ValueError, match="name a vocoder"):
        load_audio_codec(recipes.get("uniform.tiny", {"codecs.audio": str(tmp_path / "mel" / "model")}).codecs)


def test_the_published_recipe_trains_on_released_layouts_and_generates(tmp_path, monkeypatch, capsys):
    """Every component is a tiny folder in its released layout; only sizes and steps differ from the recipe."""
    from released_layouts import audioldm, open_sora, pixart
    from test_text import tiny

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    open_sora(tmp_path / "open_sora")
    audioldm(tmp_path / "audioldm")
    tiny("t5", tmp_path / "t5")
    pixart(tmp_path / "pixart", width=32, heads=2, layers=1, words=16)
    assert main(["scenes", str(tmp_path / "clips"), "--world", "bounces", "--count", "3", "--seed", "0"]) == 0
    values = {
        "data": "clips", "data.held_out": 0.3, "data.workers": 0, "out": "run",
        "codecs.video": "open_sora", "codecs.audio": "audioldm", "codecs.text": "t5", "codecs.text_width": 16,
        "network.pixart": "pixart", "network.depth": 1, "network.width": 32, "network.heads": 2,
        # Half of the frames' side is 32 rows, which times 4 channels are the sound's 8 x 16.
        "geometry.num_frames": 17, "geometry.height": 64, "geometry.width": 64,
        "training.steps": 2, "training.batch_size": 2, "training.validate_every": 2, "training.validate_size": 1,
        "sampling.validation_clips": 1, "sampling.steps": 2,
    }  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["train", "uniform.paper", *(f"{key}={value}" for key, value in values.items())]) == 0
    assert main(["generate", "a red ball", "--model", "run/model", "--steps", "2", "-o", "out.mp4"]) == 0
    info = media.probe(tmp_path / "out.mp4")
    assert (info.size, info.fps, info.duration) == ((64, 64), 17, 1)
    pipe = SoundingVideoPipeline.from_pretrained(tmp_path / "run" / "model")
    assert isinstance(pipe.video_codec, OpenSoraVideo)
    assert pipe.denoiser.config.layout == "columns"


def test_the_columns_layout_trains_from_the_command_line(tmp_path):
    out = tmp_path / "run"
    clips_of = ["data=scenes:bounces:8:seed=0", "steps=2", "validate_every=2", "checkpoint_every=2"]
    assert main(["train", "uniform.tiny.columns", f"out={out}", *clips_of]) == 0
    assert (
        main(["generate", "a ball", "--model", str(out / "model"), "--steps", "2", "-o", str(tmp_path / "a.mp4"), "--quiet"]) == 0
    )
    assert media.probe(tmp_path / "a.mp4").size == (16, 16)
    with pytest.raises(ValueError, match="and whose channels times rows are 16, such as hpcai-tech/OpenSora-VAE"):
        recipes.run("uniform.tiny.columns", {"out": str(out), "codecs.video": ""})


def test_a_resumed_lora_training_equals_the_uninterrupted_one(trained, tmp_path, caplog):
    pytest.importorskip("peft", reason="LoRA layers are those of peft, which is not installed")
    values = {"data": "scenes:bounces+hits:12:seed=0", "data.cache": str(trained / "latents"), "validation_clips": "0"}
    values |= {"init": str(trained / "model"), "lora_rank": "2", "lora_layers": "qkv,out", "steps": "3", "checkpoint_every": "2"}
    values |= {"learning_rate": "0.02"}
    whole = recipes.run("uniform.tiny", {"out": str(tmp_path / "whole"), **values})
    checkpoint = tmp_path / "whole" / "checkpoint-000002"
    resumed = recipes.run("uniform.tiny", {"out": str(tmp_path / "resumed"), "resume": str(checkpoint), **values})
    first, ours, theirs = (
        load_file(folder / "denoiser" / "diffusion_pytorch_model.safetensors") for folder in (trained / "model", whole, resumed)
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    changed = {name for name in ours if not torch.equal(ours[name], first[name])}
    assert changed
    assert all(name.endswith(("qkv.weight", "out.weight")) for name in changed)
    # The frozen weights lie beside the checkpoint; a resumed run does not read `init`.
    assert "frozen weights" not in caplog.text
