"""SVG trained from its recipes: first the bases, then jointly, then sampled."""

import json
import os
from dataclasses import replace
from fractions import Fraction

import pytest
import released_components
import torch
from safetensors.torch import load_file, save_file
from small_files import film, text

from sonovid import recipes
from sonovid.core.av import AV, Task
from sonovid.core.condition import Condition
from sonovid.core.geometry import Geometry
from sonovid.data import clips
from sonovid.data.manifest import read
from sonovid.diffusion.objective import total_loss
from sonovid.metrics.alignment import agreement, sound_onsets
from sonovid.models.svg import SVG
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes.components import load_audio_codec, load_video_codec
from sonovid.recipes.configs import CodecConfig
from sonovid.recipes.svg.base_models import load_trained_bases
from sonovid.recipes.svg.train import build_network, build_objective, load_codecs, load_text_encoder
from sonovid.training import logs

GEOMETRY = Geometry(4, Fraction(8), 32, 32, 16000)


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    out = tmp_path_factory.mktemp("bases")
    recipes.run("svg.tiny", {"out": str(out), "stage": "bases", "self_conditioning": "0"})
    return out


@pytest.fixture(scope="module", params=["cmc_pe", "cross_attention"])
def joined(request, bases, tmp_path_factory):
    out = tmp_path_factory.mktemp(request.param)
    recipes.run("svg.tiny", {"out": str(out), "network.begun": str(bases / "model"), "variant": request.param})
    return out


def test_bases_train_in_the_first_stage_and_are_frozen_in_the_second(bases, joined):
    fresh = build_network(*components_of("svg.tiny", {"out": "x"}))
    first, second = (SoundingVideoPipeline.from_pretrained(run / "model").denoiser for run in (bases, joined))
    weights = dict(second.named_parameters())
    for name, p in first.named_parameters():
        if name.startswith("unets.") and "motion" not in name:
            assert torch.equal(p, weights[name]), name
    start = dict(fresh.named_parameters())
    assert not torch.equal(start["unets.video.conv_in.weight"], weights["unets.video.conv_in.weight"])
    assert not torch.equal(start["unets.audio.conv_in.weight"], weights["unets.audio.conv_in.weight"])
    assert any(p.abs().sum() > 0 for name, p in weights.items() if name.startswith("joins.") and "proj_out" in name)


def test_the_frozen_u_nets_are_stored_once(joined):
    """The exported model links the run's file of frozen weights."""
    (frozen,) = joined.glob("frozen-*.safetensors")
    shards = sorted((joined / "model" / "denoiser").glob("*.safetensors"))
    assert len(shards) == 2
    assert os.path.samefile(frozen, shards[0])
    assert not any(name.startswith("unets.") and "motion" not in name for name in load_file(shards[1]))


def components_of(name, values):
    recipe = recipes.get(name, values)
    codecs = CodecConfig()
    return recipe, AV(load_video_codec(codecs), load_audio_codec(codecs)), load_text_encoder(recipe.codecs)


def test_the_saved_pipeline_samples_all_tasks(joined):
    pipe = SoundingVideoPipeline.from_pretrained(joined / "model")
    pipe.set_progress_bar_config(disable=True)
    assert isinstance(pipe.denoiser, SVG)
    assert (pipe.config.predict, pipe.config.system, pipe.options["gamma"]) == ("eps", "svg", 1.5)
    true = clips.load_clip(clips.Window(read("scenes:bounces:1:seed=3")[0]), GEOMETRY)
    both = pipe("a ball", generator=0).clips[0]
    other = pipe("a ball", generator=0, gamma=1.0).clips[0]
    assert (both.frames != other.frames).any()
    for clip in (both, pipe("a ball", video=true, generator=0).clips[0], pipe("a ball", audio=true, generator=0).clips[0]):
        assert clip.geometry == GEOMETRY
        assert 0 <= agreement([(sound_onsets(clip.waveform[0], 16000).tolist(), true.events)]).f1 <= 1
    names = {path.name for path in (joined / "samples" / "step-000002").iterdir()}
    assert {"0-true.mp4", "0-text_to_both.mp4", "0-video_to_audio.mp4", "0-audio_to_video.mp4"} <= names
    (held_out,) = logs.read_log(joined / "log.jsonl", "validation")
    assert {"true/loss/video", "shuffled/loss/video"} <= held_out.keys()


def test_the_objective_has_the_paper_s_values():
    regress = build_objective(recipes.get("svg.paper").regression)
    assert (regress.times, regress.predict, regress.self_conditioning) == ("independent", "eps", 0.5)
    end = regress.schedule.map(lambda one: float(one.coefficients(torch.ones(1))[0].square()))
    assert end.video == pytest.approx(0.00158, rel=0.01)
    assert end.audio == pytest.approx(0.000142, rel=0.01)


def test_streams_are_clean_as_often_as_configured():
    regression = recipes.get("svg.scenes").regression
    x0 = AV(torch.zeros(400, 1, 1, 1, 1), torch.zeros(400, 1, 1, 1))
    for scored, expected in (("both", (0.2, 0.2)), ("audio", (0.4, 0.0))):
        regress = build_objective(replace(regression, given=0.4, scored=scored))
        drawn = regress.draw(x0, torch.Generator().manual_seed(0))
        # The audio half has no video loss. Clean streams are those at time zero.
        clean = [float((t == 0).float().mean()) for t in drawn.times]
        assert clean == pytest.approx(expected, abs=0.06)
        assert not (drawn.generated.audio & (drawn.times.audio == 0)).any()
    assert build_objective(replace(regression, given=0.0)).tasks == {Task.JOINT: 1.0}


def test_the_audio_half_of_the_objective_trains_what_the_audio_loss_reaches():
    recipe, codecs, text = components_of("svg.tiny", {"out": "x"})
    model = build_network(recipe, codecs, text)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.startswith("joins") and "proj_out" in name:
                p.normal_(0, 0.1)
    words = ["a ball", "rain"]
    embedded, mask = text(words)
    on = torch.ones(2, dtype=torch.bool)
    x0 = codecs.map(
        lambda codec: torch.randn(2, *codec.latent_shape(recipe.geometry), generator=torch.Generator().manual_seed(0))
    )
    batch = {"x0": x0, "condition": Condition(embedded, mask, AV(on, on), text.pooled(words))}
    found, moved = [], []
    for scored in ("both", "audio"):
        regress = build_objective(replace(recipe.regression, scored=scored, self_conditioning=1.0))
        model.zero_grad(set_to_none=True)
        losses = regress(model, batch, torch.Generator().manual_seed(1))
        total_loss(losses).backward()
        found.append(losses)
        grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
        moved.append({name.split(".")[0] + "." + name.split(".")[1] for name in grads})
    assert torch.equal(found[0].losses["audio"], found[1].losses["audio"])
    assert found[1].losses["video"].isnan().all()
    assert moved[0] == {"unets.video", "connectors.video", "connectors.audio", "joins.video", "joins.audio"}
    assert moved[1] == {"connectors.video", "joins.audio"}


def test_base_models_of_another_system_are_rejected(tmp_path):
    with pytest.raises(ValueError, match="its network is a UniForm; expected an SVG"):
        load_trained_bases("uniform")


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory):
    return released_components.write(tmp_path_factory.mktemp("pipelines"))


def paper_values(root, **changed):
    """Values that replace the repositories of the published recipe by these folders, and its clips by a few small ones."""
    values = {
        "codecs.video": root / "sd",
        "codecs.audio": root / "audioldm",
        "codecs.words": root / "clip",
        "codecs.vector": root / "clap",
        "codecs.places": 8,
        "network.video": root / "sd",
        "network.adapter": root / "adapter",
        "network.audio": root / "audioldm",
        "network.context_channels": 32,
        "network.mults": "1,2",
        "geometry.num_frames": 8,
        "geometry.height": 16,
        "geometry.width": 16,
        "data.path": "scenes:bounces:8:seed=0",
        "data.held_out": 0.3,
        "data.workers": 0,
        "sampling.steps": 2,
        "sampling.validation_clips": 1,
        "training.steps": 2,
        "training.batch_size": 2,
        "training.validate_every": 2,
        "training.validate_size": 2,
        "training.checkpoint_every": 2,
    }
    return {key: str(value) for key, value in (values | changed).items()}


def greatest_hits(folder):
    """Two recordings of Greatest Hits as they are downloaded, and SVG's captions of their sections of 4 s."""
    for name in ("2015-03-28", "2015-03-29"):
        film(folder / "vis-data-256" / f"{name}_denoised_thumb.mp4", 4)
        text(folder / "vis-data-256" / f"{name}_times.txt", "0.5 rock hit static\n3.9 rock hit static\n")
    text(folder / "vis-data-256" / "train.txt", "2015-03-28\n2015-03-29\n")
    captions = [f'./crop/2015-03-{day}_denoised_thumb-000.mp4,"A person hits a rock, on day {day}."\n' for day in (28, 29)]
    text(folder / "flist_train.txt", "".join(captions))
    return folder


def test_the_published_recipe_trains_on_released_layouts(pipelines, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    out, data = tmp_path / "run", f"greatest-hits:{greatest_hits(tmp_path / 'hits')}"
    values = paper_values(pipelines, **{"data.path": data})
    training = recipes.get("svg.paper", {"out": str(out), **values}).training
    assert (training.precision, training.gradient_checkpointing, training.global_batch) == ("bf16", True, 16)
    recipes.run("svg.paper", {"out": str(out), **values})
    captions = {path.read_text().strip() for path in (out / "samples").rglob("*.txt")}
    assert captions <= {f"A person hits a rock, on day {day}." for day in (28, 29)}
    assert captions
    pipe = SoundingVideoPipeline.from_pretrained(out / "model")
    weights = dict(pipe.denoiser.named_parameters())
    # Frozen weights equal those of the folders; the CMC-PE blocks and motion layers have changed.
    for name, folder in (("video", "sd"), ("audio", "audioldm")):
        for key, value in load_file(pipelines / folder / "unet" / "diffusion_pytorch_model.safetensors").items():
            assert torch.equal(weights[f"unets.{name}.{key}"], value), key
    moved = load_file(pipelines / "adapter" / "diffusion_pytorch_model.safetensors")
    assert any("motion" in key for key in moved)
    assert any(not torch.equal(weights[f"unets.video.{key}"], value) for key, value in moved.items())
    assert any(p.abs().sum() > 0 for name, p in weights.items() if name.startswith("joins.") and "proj_out" in name)
    pipe.set_progress_bar_config(disable=True)
    clip = pipe("a red ball", generator=0, num_inference_steps=2).clips[0]
    assert clip.frames.shape == (8, 16, 16, 3)


def test_base_models_that_do_not_fit_are_rejected(pipelines, tmp_path):
    def fails(message, **changed):
        recipe = recipes.get("svg.paper", {"out": "x", **paper_values(pipelines, **changed)})
        codecs, text = load_codecs(recipe.codecs), load_text_encoder(recipe.codecs)
        with pytest.raises(ValueError, match=message) as raised:
            build_network(recipe, codecs, text)
        assert "\n" not in str(raised.value)

    fails("for blocks of .64, 32, 32. channels, .* have .64, 32.", **{"network.adapter": pipelines / "other_adapter"})
    fails("holds a UNet2DConditionModel, expected a UNetMotionModel", **{"network.adapter": ""})
    fails("holds a UNet2DConditionModel, expected a MotionAdapter", **{"network.adapter": pipelines / "sd" / "unet"})
    fails("name AudioLDM's folder", **{"network.audio": ""})
    fails("holds no network of diffusers", **{"network.audio": pipelines / "clip"})
    fails("no UNet2DConditionModel there", **{"network.audio": tmp_path})
    fails("takes no text vector", **{"network.audio": pipelines / "sd"})
    fails("40 frames; the motion layers take up to 32", **{"geometry.num_frames": 40})
    fails("50 mel frames .* needs multiples of 4; change geometry.num_frames, now 4", **{"geometry.num_frames": 4})
    for change, message in (("missing", "1 weights are missing, such as conv_in.bias"), ("surplus", "1 weights are unexpected")):
        folder = tmp_path / change / "unet"
        folder.mkdir(parents=True)
        source = pipelines / "audioldm" / "unet"
        (folder / "config.json").write_text(json.dumps(json.loads((source / "config.json").read_text())))
        weights = load_file(source / "diffusion_pytorch_model.safetensors")
        if change == "missing":
            weights.pop("conv_in.bias")
        else:
            weights["more"] = torch.zeros(1)
        save_file(weights, folder / "diffusion_pytorch_model.safetensors", {"format": "pt"})
        fails(message, **{"network.audio": tmp_path / change})


def test_an_invalid_gamma_is_rejected_before_training(tmp_path):
    with pytest.raises(ValueError, match=r"sampling\.gamma=0\.0: expected a number above zero"):
        recipes.run("svg.tiny", {"out": str(tmp_path / "run"), "sampling.gamma": "0"})
    assert not (tmp_path / "run" / "latents").exists()
