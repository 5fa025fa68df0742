"""Packaged models: names, and components that several of them share."""

import json
import shutil

import pytest
import torch

from sonovid import SoundingVideoPipeline
from sonovid.cli import info
from sonovid.pipelines import packaged
from sonovid.pipelines.light import LightPipeline


@pytest.fixture
def weights(tiny_folder, tmp_path, monkeypatch):
    """Two packaged models, of which "second" has the denoiser alone and shares the codecs of "first"."""
    folder = tmp_path / "weights"
    for name in ("first", "second"):
        shutil.copytree(tiny_folder, folder / name)
    index = json.loads((folder / "second" / "model_index.json").read_text())
    shared = dict.fromkeys(("video_codec", "audio_codec"), "first")
    (folder / "second" / "model_index.json").write_text(json.dumps({**index, "shared": shared}))
    for name in shared:
        shutil.rmtree(folder / "second" / name)
    monkeypatch.setattr(packaged, "FOLDER", folder)
    monkeypatch.setattr(packaged, "NAMES", ("first", "second"))
    return folder


def state(pipe, name):
    return getattr(pipe, name).state_dict()


@pytest.mark.parametrize("kind", [SoundingVideoPipeline, LightPipeline])
def test_a_shared_component_is_loaded_from_the_model_that_holds_it(weights, kind):
    first, second = (kind.from_pretrained(name) for name in ("first", "second"))
    for name in ("video_codec", "audio_codec"):
        own = state(second, name)
        assert all(torch.equal(value, own[key]) for key, value in state(first, name).items())
    assert second("a ball", generator=0, num_inference_steps=1).clips[0].frames is not None


def test_a_saved_model_is_complete(weights, tmp_path):
    SoundingVideoPipeline.from_pretrained("second").save_pretrained(tmp_path / "saved")
    assert "shared" not in json.loads((tmp_path / "saved" / "model_index.json").read_text())
    assert (tmp_path / "saved" / "video_codec").is_dir()
    assert SoundingVideoPipeline.from_pretrained(tmp_path / "saved").geometry.width == 16


def test_info_counts_shared_components(weights):
    described = [info.describe_model(name) for name in ("first", "second")]
    assert described[0]["video_codec"] == described[1]["video_codec"]


def test_a_folder_outside_the_package_cannot_share(weights, tmp_path):
    outside = tmp_path / "outside"
    shutil.copytree(weights / "second", outside)
    with pytest.raises(ValueError, match="the folder video_codec is missing"):
        SoundingVideoPipeline.from_pretrained(outside)


@pytest.mark.parametrize("source", ["nowhere", "../first", "/", None])
def test_only_packaged_models_can_be_shared_from(weights, source):
    path = weights / "second" / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "shared": {"video_codec": source, "audio_codec": "first"}}))
    with pytest.raises(ValueError, match="the folder video_codec is missing"):
        SoundingVideoPipeline.from_pretrained("second")
