"""Model folders: malicious and broken ones are refused, and only files that the index names are downloaded."""

import json
import pickle
import shutil
from fnmatch import fnmatch
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sonovid import SoundingVideoPipeline
from sonovid.pipelines import loading
from sonovid.pipelines.light import LightPipeline

RAN = "ran.txt"


def code(folder):
    """Python that leaves a trace of having been run."""
    return f"open({str(folder.parent / RAN)!r}, 'w').close()\n"


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def index(folder, **changes):
    edit(folder / "model_index.json", **changes)


class Bomb:
    """A pickle that runs code when it is read."""

    def __init__(self, folder):
        self.source = code(folder)

    def __reduce__(self):
        return (exec, (self.source,))


def pickled(folder):
    (folder / "denoiser" / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps(Bomb(folder)))


def pickled_elsewhere(folder):
    (folder / "audio_codec" / "vocoder" / "STATE.PKL").write_bytes(pickle.dumps(Bomb(folder)))


def pickled_behind_a_link(folder):
    away = folder.parent / "away"
    away.mkdir()
    (away / "weights.pt").write_bytes(pickle.dumps(Bomb(folder)))
    (folder / "extra").symlink_to(away, target_is_directory=True)


def python_beside(folder):
    (folder / "pipeline.py").write_text(code(folder))


def python_in_a_component(folder):
    (folder / "text_encoder" / "modeling_words.py").write_text(code(folder))


def shared_object(folder):
    (folder / "denoiser" / "kernel.so").write_bytes(b"\x7fELF")


def builtin(folder):
    index(folder, denoiser=["builtins", "exec"])


def system(folder):
    index(folder, text_encoder=["os", "system"])


def pipeline_of_diffusers(folder):
    index(folder, text_encoder=["diffusers", "DiffusionPipeline"])


def model_of_transformers(folder):
    index(folder, text_encoder=["transformers", "AutoModel"])
    edit(folder / "text_encoder" / "config.json", auto_map={"AutoModel": "modeling_words.Words"}, model_type="words")


def other_part_of_the_package(folder):
    index(folder, denoiser=["sonovid.cli", "Parser"])


def imported_by_a_module(folder):
    index(folder, denoiser=["sonovid.models.uniform.transformer", "Model"])


def function_of_a_module(folder):
    index(folder, denoiser=["sonovid.models.uniform.transformer", "tiny"])


def path_for_a_module(folder):
    index(folder, denoiser=["sonovid.models..uniform", "UniForm"])


def not_a_pair(folder):
    index(folder, denoiser={"library": "sonovid"})


def a_list(folder):
    (folder / "model_index.json").write_text("[]")


def nested_too_deep(folder):
    (folder / "model_index.json").write_text("[" * 100_000)


def endless(folder):
    (folder / "model_index.json").write_text("{}" + " " * loading.MAX_INDEX_BYTES)


def not_text(folder):
    (folder / "model_index.json").write_bytes(b"\xff\xfe\x00\xd8")


def part_of_a_codec(folder):
    edit(folder / "audio_codec" / "config.json", vocoder="AutoModel")


def config_nested_too_deep(folder):
    (folder / "video_codec" / "config.json").write_text("[" * 100_000)


def config_of_another_class(folder):
    edit(folder / "video_codec" / "config.json", _class_name="DiffusionPipeline")


def released_codec_that_is_a_pipeline(folder):
    index(folder, video_codec=["sonovid.codecs.pretrained", "PretrainedVideo"])
    edit(folder / "video_codec" / "config.json", _class_name="ConsistencyModelPipeline")


def words_with_code(folder):
    index(folder, text_encoder=["sonovid.codecs.text", "PretrainedText"])
    settings = {"auto_map": {"AutoConfig": "words.Config"}, "model_type": "words"}
    (folder / "text_encoder" / "config.json").write_text(json.dumps(settings))


def header_that_lies(folder):
    path = next((folder / "denoiser").glob("*.safetensors"))
    path.write_bytes((2**62).to_bytes(8, "little") + path.read_bytes()[8:])


def tensors_of_another_network(folder):
    path = next((folder / "denoiser").glob("*.safetensors"))
    save_file({f"other.{name}": value for name, value in load_file(path).items()}, path, {"format": "pt"})


HOSTILE = {
    pickled: "is a pickle",
    pickled_elsewhere: "is a pickle",
    pickled_behind_a_link: "is a pickle",
    python_beside: "pipeline.py is code",
    python_in_a_component: "modeling_words.py is code",
    shared_object: "kernel.so is code",
    builtin: "comes from 'builtins'",
    system: "comes from 'os'",
    pipeline_of_diffusers: "comes from 'diffusers'",
    model_of_transformers: "comes from 'transformers'",
    other_part_of_the_package: "comes from 'sonovid.cli'",
    imported_by_a_module: "does not have",
    function_of_a_module: "does not have",
    path_for_a_module: "comes from",
    not_a_pair: "expected .module, class.",
    a_list: "no table",
    nested_too_deep: "cannot be read",
    endless: "bytes",
    not_text: "cannot be read",
    part_of_a_codec: "AutoModel",
    config_nested_too_deep: "is not JSON",
    config_of_another_class: "DiffusionPipeline",
    released_codec_that_is_a_pipeline: "not an autoencoder",
    words_with_code: "cannot be loaded",
    header_that_lies: "damaged",
    tensors_of_another_network: "lacks the tensor",
}


@pytest.mark.parametrize("spoil", HOSTILE, ids=lambda spoil: spoil.__name__)
def test_a_hostile_folder_is_refused_and_nothing_in_it_is_run(tiny_folder, tmp_path, monkeypatch, spoil):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked whether code of the folder may be run"))
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    spoil(folder)
    for kind in (SoundingVideoPipeline, LightPipeline):
        with pytest.raises(ValueError, match=HOSTILE[spoil]) as caught:
            kind.from_pretrained(folder)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / RAN).exists()


def test_a_folder_that_links_into_itself_is_walked_once(tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    (folder / "again").symlink_to(folder, target_is_directory=True)
    assert len(list(loading.list_files(folder))) == len(list(loading.list_files(tiny_folder)))
    assert LightPipeline.from_pretrained(folder).geometry.num_frames == 8


@pytest.mark.parametrize("option", [{"use_safetensors": False}, {"trust_remote_code": True}])
def test_options_that_run_code_are_refused(tiny_folder, option):
    with pytest.raises(ValueError, match="never run"):
        SoundingVideoPipeline.from_pretrained(tiny_folder, **option)


def test_no_call_for_an_automatic_class_leaves_remote_code_open():
    import ast

    import sonovid

    open_calls = []
    for path in Path(sonovid.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "from_pretrained":
                named = ast.unparse(node.func.value)
                if "Auto" in named.split(".")[-1][:4] and "Autoencoder" not in named:
                    said = [k for k in node.keywords if k.arg == "trust_remote_code" and ast.unparse(k.value) == "False"]
                    open_calls += [] if said else [f"{path.name}:{node.lineno}"]
    assert not open_calls


# --- what is fetched of a repository of the Hub ---------------------------------------------------------------------------

FILES = {
    "model_index.json": json.dumps({"_class_name": "LTX2Pipeline", "vae": ["diffusers", "V"], "transformer": ["diffusers", "T"]}),
    "README.md": "",
    "ltx-2-19b-dev.safetensors": "the same weights once more",
    "vae/config.json": "{}",
    "vae/diffusion_pytorch_model.safetensors": "",
    "transformer/config.json": "{}",
    "transformer/diffusion_pytorch_model-00001-of-00002.safetensors": "",
    "transformer/diffusion_pytorch_model.safetensors.index.json": "{}",
    "transformer/code.py": "",
    "latent_upsampler/diffusion_pytorch_model.safetensors": "",
    "tokenizer/chat_template.jinja": "",
}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A stand-in for the Hub's download, which keeps to the patterns it is given. The test may change the repository's files."""
    import huggingface_hub

    files = dict(FILES)

    def snapshot_download(name, allow_patterns):
        for file, text in files.items():
            if any(fnmatch(file, pattern) for pattern in allow_patterns):
                path = tmp_path / name / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        return str(tmp_path / name)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return files


def fetched(folder):
    return {str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()}


def test_only_files_of_the_index_are_downloaded(hub):
    assert fetched(loading.locate("somebody/model")) == {
        "model_index.json",
        "README.md",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
        "transformer/diffusion_pytorch_model.safetensors.index.json",
    }


def test_a_description_is_downloaded_without_weights(hub):
    assert fetched(loading.locate("somebody/model", weights=False)) == {
        "model_index.json",
        "README.md",
        "vae/config.json",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors.index.json",
    }


def test_h3_is_downloaded_without_its_second_network(hub):
    del hub["model_index.json"]
    parts = {name: ["diffusers", "M", {}] for name in ("vae", "transformer", "transformer_ref")}
    hub["modular_model_index.json"] = json.dumps({"_class_name": "MiniMaxH3ModularPipeline", **parts})
    hub["transformer_ref/diffusion_pytorch_model.safetensors"] = ""
    folder = loading.locate("somebody/model")
    assert "transformer_ref/diffusion_pytorch_model.safetensors" not in fetched(folder)
    assert loading.read_index(folder)["_class_name"] == "MiniMaxH3ModularPipeline"


def test_a_repository_without_an_index_is_downloaded_completely(hub):
    del hub["model_index.json"]
    assert "ltx-2-19b-dev.safetensors" in fetched(loading.locate("somebody/model"))
    assert "transformer/code.py" not in fetched(loading.locate("somebody/model"))


def test_the_damaged_one_of_several_files_is_named(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "first.safetensors")
    (tmp_path / "second.safetensors").write_bytes(b"no tensors")
    assert loading.find_damage(tmp_path).startswith("second.safetensors is damaged")
    (tmp_path / "second.safetensors").unlink()
    assert loading.find_damage(tmp_path) is None
