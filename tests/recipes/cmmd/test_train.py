"""CMMD trained from its recipe with tiny components."""

import json
from fractions import Fraction

import numpy as np
import pytest
import torch

from sonovid import recipes
from sonovid.core.av import AV
from sonovid.core.geometry import Geometry
from sonovid.data import clips
from sonovid.data.manifest import read
from sonovid.diffusion.contrastive import ContrastiveObjective
from sonovid.diffusion.objective import MultiTaskObjective
from sonovid.diffusion.schedule import Cosine
from sonovid.metrics.alignment import agreement, sound_onsets
from sonovid.models.cmmd import unet as sizes
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes.cmmd.crops import add_margin, find_window
from sonovid.recipes.cmmd.train import build_audio_codec, build_network, build_objective, load_video_codec
from sonovid.training import logs

GEOMETRY = Geometry(6, Fraction(10), 32, 32, 16000)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    recipes.run("cmmd.tiny", {"out": str(out), "steps": "2"})
    return out


def test_the_saved_pipeline_samples_all_tasks(trained):
    pipe = SoundingVideoPipeline.from_pretrained(trained / "model")
    pipe.set_progress_bar_config(disable=True)
    assert (pipe.accepts_text, pipe.config.conditioning, pipe.config.predict, pipe.config.system) == (
        False, "replaced", "v", "cmmd",
    )  # fmt: skip
    true = clips.load_clip(clips.Window(read("scenes:bounces:1:seed=3")[0]), GEOMETRY)
    both = pipe(generator=0).clips[0]
    sound = pipe(video=true, generator=0, reconstruction_scale=0.1).clips[0]
    pictures = pipe(audio=true, generator=0).clips[0]
    for clip in (both, sound, pictures):
        assert clip.geometry == GEOMETRY
        assert clip.waveform.shape[1] == GEOMETRY.num_samples
        score = agreement([(sound_onsets(clip.waveform[0], 16000).tolist(), true.events)])
        assert 0 <= score.f1 <= 1
        assert score.true == len(true.events)
    assert json.loads((trained / "model" / "recipe.json").read_text())["name"] == "cmmd.tiny"


def test_a_run_logs_the_loss_terms_and_writes_samples(trained):
    (line,) = logs.read_log(trained / "log.jsonl")
    assert {"loss/video", "loss/audio", "loss/negative_video", "loss/negative_audio"} <= line.keys()
    (held_out,) = logs.read_log(trained / "log.jsonl", "validation")
    assert {"true/loss/video", "shuffled/loss/video", "loss/negative_audio"} <= held_out.keys()
    names = {path.name for path in (trained / "samples" / "step-000002").iterdir()}
    assert {"0-true.mp4", "0-both.mp4", "0-video_to_audio.mp4", "0-audio_to_video.mp4"} <= names


def test_the_contrastive_training_resumes_from_a_plain_checkpoint(trained, tmp_path):
    """The published way: nCMMD first, then CMMD from one of its checkpoints, in a folder of its own, on the same latents."""
    shared = {"data.cache": str(trained / "latents"), "validation_clips": "1"}
    recipes.run("cmmd.tiny", {"out": str(tmp_path / "plain"), "steps": "2", "eta": "0", **shared})
    (line,) = logs.read_log(tmp_path / "plain" / "log.jsonl")
    assert not [name for name in line if "negative" in name]
    checkpoint = tmp_path / "plain" / "checkpoint-000002"
    recipes.run("cmmd.tiny", {"out": str(tmp_path / "branch"), "steps": "3", "resume": str(checkpoint), **shared})
    (line,) = logs.read_log(tmp_path / "branch" / "log.jsonl")
    assert line["step"] == 3
    assert "loss/negative_audio" in line


def test_mel_latents_are_whitened_by_the_training_clips(trained):
    """At one time both streams must have the same noise in relation to the data, as both are at that time."""
    codec = SoundingVideoPipeline.from_pretrained(trained / "model").audio_codec
    names = read(recipes.get("cmmd.tiny").data.path)
    crop = add_margin(GEOMETRY, 4)
    waves = [clips.load_clip(clips.Window(entry), crop).waveform[0] for entry in names[:9]]
    final = codec.whiten(codec.encode(torch.from_numpy(np.stack(waves))))
    assert float(final.std()) == pytest.approx(1, abs=0.1)
    assert float(final.mean()) == pytest.approx(0, abs=0.15)


def test_mel_latents_are_scaled_to_a_range_that_the_recipe_names():
    recipe = recipes.get("cmmd.paper", {"codecs.low": "-11.5", "codecs.high": "0.5"})
    codec = build_audio_codec(recipe.codecs, 16000)
    assert codec.latent_shape(recipe.geometry) == (1, 112, 80)
    wave = torch.cat([torch.zeros(1, 8192), torch.sin(torch.arange(8192.0))[None]], 1)
    final = codec.whiten(codec.encode(wave))
    assert final.min() == pytest.approx(-1, abs=0.01)
    assert 0.3 < final.max() < 1.3


def test_the_published_recipes_have_the_paper_s_values():
    plain, contrastive = recipes.get("cmmd.paper"), recipes.get("cmmd.paper.contrastive")
    wanted = sizes.paper()
    own = {key: getattr(plain.network, key) for key in wanted.keys() - {"video", "audio"}}
    assert own == {key: wanted[key] for key in own}
    assert (plain.training.steps, plain.training.batch_size, plain.training.learning_rate) == (700_000, 8, 1e-4)
    assert (contrastive.training.steps, contrastive.training.batch_size, contrastive.contrast.eta) == (700_000, 2, 5e-5)
    codecs = AV(load_video_codec(recipes.get("cmmd.scenes").codecs), build_audio_codec(plain.codecs, 16000))
    window = find_window(plain.geometry, plain.contrast.margin, codecs)
    assert (window.start, window.length) == (AV(4, 25), AV(18, 112))
    objective = build_objective(plain.regression, plain.contrast, window)
    assert isinstance(objective, MultiTaskObjective)
    assert (objective.predict, objective.schedule) == ("v", AV(Cosine(0.008), Cosine(0.008)))
    assert torch.equal(objective.time_distribution.video(torch.tensor([0.0004, 1.0])), torch.tensor([0.001, 1.0]))
    contrast = build_objective(contrastive.regression, contrastive.contrast, window)
    assert isinstance(contrast, ContrastiveObjective)
    assert (contrast.kinds, contrast.shift_seconds, contrast.count) == ({"shift": 1.0}, (0.2, 0.4), 1)


@pytest.mark.parametrize("name", ["cmmd.scenes", "cmmd.tiny"])
def test_small_networks_fit_their_latents_and_stay_small(name):
    recipe = recipes.get(name)
    codecs = AV(load_video_codec(recipe.codecs), build_audio_codec(recipe.codecs, recipe.geometry.sample_rate))
    model = build_network(recipe, codecs).eval()
    # The file of the weights stays below 30 MB.
    assert 4 * model.num_parameters() < 30e6
    # A narrower network cannot represent v, see `ObjectiveConfig`.
    assert name == "cmmd.tiny" or min(recipe.network.audio_widths) >= recipe.codecs.mel.bins
    x = codecs.map(lambda codec: torch.randn(1, *codec.latent_shape(recipe.geometry)))
    with torch.no_grad():
        assert model(x, AV(torch.ones(1), torch.ones(1))).prediction.map(lambda y: y.shape) == x.map(lambda y: y.shape)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codecs.video": "/no/such/folder"}, "no such folder"),
        ({"codecs.vocoder": "/no/such/folder"}, "no such folder"),
        ({"codecs.vocoder": "."}, "no vocoder there"),
        ({"geometry.width": "36"}, "multiples of 8"),
        ({"contrast.most": "0.6"}, "a shift of up to 0.6 s is 6 latent steps of video, but the crop has 4 before"),
        ({"batch_size": "1"}, "batch of 1"),
        ({"codecs.low": "-11.5"}, "both ends"),
        ({"codecs.low": "0.5", "codecs.high": "-11.5"}, "lower end first"),
    ],
)
def test_invalid_values_are_rejected(trained, tmp_path, options, message):
    shared = {"data.cache": str(trained / "latents")}
    with pytest.raises(ValueError, match=message):
        recipes.run("cmmd.tiny", {"out": str(tmp_path), **shared, **options})
