"""Model folders of diffusers that are damaged, incomplete, unsupported, or too new."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from sonovid.core.av import Task
from sonovid.pipelines.foreign import diffusers_loading, find_family, is_foreign_model
from sonovid.pipelines.foreign.families import check_version
from sonovid.pipelines.pipeline import SoundingVideoPipeline


@pytest.fixture
def copied(foreign_folder, tmp_path):
    return lambda name: shutil.copytree(foreign_folder(name), tmp_path / name)


def test_a_missing_tensor_is_an_error(copied):
    """diffusers draws it at random, and warns."""
    folder = copied("ltx2")
    path = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    del weights["proj_out.weight"]
    save_file(weights, path)
    with pytest.raises(ValueError, match=r"transformer lacks 1 tensors, the first of them proj_out\.weight"):
        SoundingVideoPipeline.from_pretrained(folder)


@pytest.mark.parametrize("name", ["ltx2", "minimax_h3"])
def test_damaged_folders_are_one_line_errors(copied, name):
    folder = copied(name)
    path = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"diffusion_pytorch_model\.safetensors is damaged") as caught:
        SoundingVideoPipeline.from_pretrained(folder)
    assert "\n" not in str(caught.value)
    shutil.rmtree(folder / "transformer")
    with pytest.raises(ValueError, match="the folder transformer is missing"):
        SoundingVideoPipeline.from_pretrained(folder)


@pytest.mark.parametrize("name", ["ltx2", "minimax_h3"])
def test_nothing_but_known_libraries_and_safetensors(copied, name):
    folder = copied(name)
    index = next(folder.glob("*model_index.json"))
    entries = json.loads(index.read_text())
    index.write_text(json.dumps({**entries, "vae": ["evil", "Code"]}))
    with pytest.raises(ValueError, match=r"vae is evil\.Code; only components of diffusers and transformers are loaded"):
        SoundingVideoPipeline.from_pretrained(folder)
    index.write_text(json.dumps(entries))
    (folder / "vae" / "more.bin").write_bytes(b"")
    with pytest.raises(ValueError, match="is a pickle"):
        SoundingVideoPipeline.from_pretrained(folder)


def test_a_modular_index_cannot_point_elsewhere(copied):
    """The components are those of the folder, whatever repository its index names for them."""
    folder = copied("minimax_h3")
    index = folder / "modular_model_index.json"
    entries = json.loads(index.read_text())
    entries["vae"][2]["pretrained_model_name_or_path"] = "somebody/else"
    index.write_text(json.dumps(entries))
    assert SoundingVideoPipeline.from_pretrained(folder).vae is not None


def test_components_cannot_be_replaced(foreign_folder):
    with pytest.raises(TypeError, match="vae"):
        SoundingVideoPipeline.from_pretrained(foreign_folder("ltx2"), vae=None)


def test_a_checkpoint_without_audio_is_refused(copied):
    folder = copied("cosmos3")
    index = folder / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "sound_tokenizer": [None, None]}))
    with pytest.raises(ValueError, match="this Cosmos 3 checkpoint generates no audio"):
        SoundingVideoPipeline.from_pretrained(folder)


def test_an_older_diffusers_is_refused_with_the_needed_version(monkeypatch):
    monkeypatch.setattr(diffusers_loading, "diffusers_version", lambda: "0.39.0")
    ltx2 = find_family({"_class_name": "LTX2Pipeline"})
    check_version(ltx2, Task.VIDEO_TO_AUDIO)
    with pytest.raises(ValueError, match=r"video for an audio needs diffusers>=0\.41, and 0\.39\.0 is installed: pip install"):
        check_version(ltx2, Task.AUDIO_TO_VIDEO)
    with pytest.raises(ValueError, match=r"Kandinsky 6: video and audio from text needs diffusers>=0\.42"):
        check_version(find_family({"_class_name": "Kandinsky6TI2VAPipeline"}), Task.JOINT)
    assert diffusers_loading.dtype_option(torch.float16) == {"torch_dtype": torch.float16}


def test_other_pipelines_are_refused():
    assert not is_foreign_model({"_class_name": "StableDiffusionPipeline"})
    assert not is_foreign_model({})
    with pytest.raises(ValueError, match="LTX2HDRPipeline: not a supported joint audio-video pipeline"):
        find_family({"_class_name": "LTX2HDRPipeline"})
