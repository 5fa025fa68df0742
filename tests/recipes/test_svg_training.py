"""SVG trained from its recipe: the bases, then what joins them, then every task sampled and scored."""

from fractions import Fraction

import pytest
import torch

from sonovid import recipes
from sonovid.data import clips
from sonovid.data.manifest import read
from sonovid.denoisers.svg import SVG
from sonovid.geometry import Geometry
from sonovid.metrics.alignment import agreement, sound_onsets
from sonovid.pipeline import SoundingVideoPipeline
from sonovid.recipes import svg_training
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


def test_bases_change_in_their_stage_and_stay_in_the_next(bases, joined):
    fresh = svg_training.network(*parts_of("svg.tiny", {"out": "x"}))
    first, second = (SoundingVideoPipeline.from_pretrained(run / "model").denoiser for run in (bases, joined))
    weights = dict(second.named_parameters())
    for name, p in first.named_parameters():
        if name.startswith("unets.") and "motion" not in name:
            assert torch.equal(p, weights[name]), name
    start = dict(fresh.named_parameters())
    assert not torch.equal(start["unets.video.conv_in.weight"], weights["unets.video.conv_in.weight"])
    assert not torch.equal(start["unets.audio.conv_in.weight"], weights["unets.audio.conv_in.weight"])
    assert any(p.abs().sum() > 0 for name, p in weights.items() if name.startswith("joins.") and "proj_out" in name)


def parts_of(name, values):
    from sonovid.av import AV
    from sonovid.recipes import parts, uniform

    recipe = recipes.get(name, values)
    own = uniform.Codecs()
    return recipe, AV(parts.video_codec(own), parts.audio_codec(own)), svg_training.text_encoder(recipe.codecs)


def test_a_run_leaves_a_pipeline_whose_tasks_are_sampled_and_scored(joined):
    pipe = SoundingVideoPipeline.from_pretrained(joined / "model")
    pipe.set_progress_bar_config(disable=True)
    assert isinstance(pipe.denoiser, SVG)
    assert (pipe.config.predict, pipe.config.system, pipe.options["gamma"]) == ("eps", "svg", 1.5)
    true = clips.load(clips.Window(read("scenes:bounces:1:seed=3")[0]), GEOMETRY)
    both = pipe("a ball", generator=0).clips[0]
    other = pipe("a ball", generator=0, gamma=1.0).clips[0]
    assert (both.frames != other.frames).any()
    for clip in (both, pipe("a ball", video=true, generator=0).clips[0], pipe("a ball", audio=true, generator=0).clips[0]):
        assert clip.geometry == GEOMETRY
        assert 0 <= agreement([(sound_onsets(clip.waveform[0], 16000).tolist(), true.events)]).f1 <= 1
    names = {path.name for path in (joined / "samples" / "step-000002").iterdir()}
    assert {"0-true.mp4", "0-text_to_both.mp4", "0-video_to_audio.mp4", "0-audio_to_video.mp4"} <= names
    (held_out,) = logs.read(joined / "log.jsonl", "validation")
    assert {"true/loss/video", "shuffled/loss/video"} <= held_out.keys()


def test_the_objective_is_the_papers():
    regress = svg_training.objective(recipes.get("svg.paper").regression)
    assert (regress.times, regress.predict, regress.self_conditioning) == ("independent", "eps", 0.5)
    end = regress.schedule.map(lambda one: float(one.coefficients(torch.ones(1))[0].square()))
    assert end.video == pytest.approx(0.00158, rel=0.01)
    assert end.audio == pytest.approx(0.000142, rel=0.01)


def test_a_begun_model_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match="its network is a UniForm; expected an SVG"):
        svg_training.begun("shipped")
