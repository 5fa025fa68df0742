"""Every published recipe trains two steps with its precision and checkpointing, at tiny sizes, on components of released form."""

import json

import pytest
import released_components

from sonovid import recipes
from sonovid.training import checkpoint, logs
from sonovid.training.run import resolve_accumulation

COMMON = {
    "data": "scenes:landscape:4:seed=0",
    "data.held_out": "0.5",
    "data.workers": "0",
    "training.steps": "2",
    "training.batch_size": "2",
    "training.global_batch": "none",
    "training.accumulate": "1",
    "training.validate_size": "2",
}
SMALL = {"geometry.num_frames": "4", "geometry.height": "32", "geometry.width": "32"}
MMLDM = {
    **SMALL, "network.depth": "1", "network.width": "32", "network.heads": "2", "network.context_tokens": "2",
    "network.context_width": "16", "sampling.validation_clips": "0",
}  # fmt: skip
# By recipe: the values that make it tiny. {…} is a folder: of released components, or of an earlier recipe's model.
TINY = {
    "uniform.paper": {
        "geometry.fps": "5", "geometry.num_frames": "2", "geometry.height": "64", "geometry.width": "64",
        "codecs.video": "{released}/sd/vae", "codecs.audio": "{released}/audioldm",
        "codecs.text": "{released}/t5", "codecs.text_width": "16", "codecs.text_words": "8",
        "network.depth": "1", "network.width": "32", "network.heads": "2", "network.pixart": "",
        "sampling.validation_clips": "0", "training.batch_size": "1", "training.global_batch": "2",
    },
    "cmmd.paper": {
        **SMALL, "codecs.video": "{released}/sd/vae", "sampling.validation_clips": "0", "network.width": "16",
        "network.multipliers": "1,2", "network.head_width": "16", "network.groups": "8", "network.time_width": "32",
    },
    "mmdiffusion.paper": {
        **SMALL, "geometry.fps": "8", "sampling.validation_clips": "0", "network.width": "16", "network.multipliers": "1,2",
        "network.windows": "0,1", "network.head_width": "16", "network.groups": "8",
    },
    "mmldm.landscape.autoencoder": {
        **SMALL, "base.frames": "{released}/sd/vae", "network.size": "tiny", "network.unet": "", "shown": "0"
    },
    "mmldm.landscape": {**MMLDM, "codec.autoencoder": "{mmldm.landscape.autoencoder}"},
    "mmldm.paper.continuation": {"generator": "{mmldm.landscape}", "shown": "0"},
    "codec.frames.fine_tuned": {**SMALL, "codec": "{released}/sd/vae"},
    "vocoder.melgan": {
        "geometry.num_frames": "32", "network.width": "2", "network.blocks": "1", "judge.width": "4", "judge.widest": "16",
        "samples": "4096",
    },
}  # fmt: skip
TINY["cmmd.paper.contrastive"] = TINY["cmmd.paper"]
# svg.paper has a more thorough test of its own, and models of every system are distilled in test_fine_tuning_of_systems. The
# other recipes are variants with other losses, data or text.
TESTED_ELSEWHERE = {"svg.paper", "distillation.guidance", "distillation.steps"}
VARIANTS = {
    "svg.paper.landscape",
    "svg.paper.vggsound",
    "mmldm.aist",
    "mmldm.aist.autoencoder",
    "mmldm.audioset",
    "mmldm.audioset.autoencoder",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders by name; each recipe adds its model."""
    return {"released": released_components.write(tmp_path_factory.mktemp("released"))}


def is_published(name: str) -> bool:
    small = ("scenes", "packaged", "tiny")
    return not any(word in name.split(".") for word in small) and not name.startswith(("codec.mel", "codec.vocoder"))


def test_every_published_recipe_is_tested():
    published = {name for name in recipes.RECIPES if is_published(name)} - {"codec.frames", "codec.video", "codec.video.decoder"}
    assert published == TINY.keys() | TESTED_ELSEWHERE | VARIANTS


@pytest.mark.parametrize("processes", [1, 8])
def test_every_published_batch_fits_one_gpu_and_eight(processes):
    for name in recipes.RECIPES:
        if is_published(name):
            own = recipes.get(name).training
            resolved = resolve_accumulation(own, processes)
            assert own.global_batch in (None, own.batch_size * resolved.accumulate * processes), name


@pytest.mark.parametrize("name", TINY)
def test_two_steps_with_the_recipe_s_precision_and_checkpointing(name, folders, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    values = {**COMMON, **TINY[name]}
    for key, value in values.items():
        for known, folder in folders.items():
            value = value.replace("{" + known + "}", str(folder))
        values[key] = value
    own, tried = recipes.get(name).training, recipes.get(name, values).training
    assert (tried.precision, tried.gradient_checkpointing, tried.optimizer, tried.clip) == (
        own.precision, own.gradient_checkpointing, own.optimizer, own.clip
    )  # fmt: skip
    folders[name] = recipes.run(name, {"out": str(tmp_path / "run"), **values})
    assert checkpoint.find_latest(tmp_path / "run").name == "checkpoint-000002"
    assert json.loads((folders[name] / "recipe.json").read_text())["steps_trained"] == 2
    assert any(key.startswith("loss/") for key in logs.read_log(tmp_path / "run" / "log.jsonl")[-1])
