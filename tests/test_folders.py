"""What is fetched of a repository of the Hub: what its index names, and no more."""

import json
from fnmatch import fnmatch
from pathlib import Path

import pytest

from sonovid import folders

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


def test_only_what_the_index_names_is_fetched(hub):
    assert fetched(folders.locate("somebody/model")) == {
        "model_index.json",
        "README.md",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
        "transformer/diffusion_pytorch_model.safetensors.index.json",
    }


def test_what_describes_a_model_is_fetched_without_weights(hub):
    assert fetched(folders.locate("somebody/model", weights=False)) == {
        "model_index.json",
        "README.md",
        "vae/config.json",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors.index.json",
    }


def test_h3_is_fetched_without_its_second_network(hub):
    del hub["model_index.json"]
    parts = {name: ["diffusers", "M", {}] for name in ("vae", "transformer", "transformer_ref")}
    hub["modular_model_index.json"] = json.dumps({"_class_name": "MiniMaxH3ModularPipeline", **parts})
    hub["transformer_ref/diffusion_pytorch_model.safetensors"] = ""
    folder = folders.locate("somebody/model")
    assert "transformer_ref/diffusion_pytorch_model.safetensors" not in fetched(folder)
    assert folders.read_index(folder)["_class_name"] == "MiniMaxH3ModularPipeline"


def test_a_repository_without_an_index_is_fetched_whole(hub):
    del hub["model_index.json"]
    assert "ltx-2-19b-dev.safetensors" in fetched(folders.locate("somebody/model"))
    assert "transformer/code.py" not in fetched(folders.locate("somebody/model"))
