"""Model: files of diffusers, strict loading, and no change of torch's global random state."""

import copy
import json
import os
import pickle

import pytest
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers import configuration_utils as diffusers_config
from safetensors.torch import load_file, save_file
from torch import nn

from sonovid.core.model import Model, register_to_config

WEIGHTS = "diffusion_pytorch_model.safetensors"


class Ours(Model):
    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(self, width: int = 4, sizes: tuple = (1, 2)):
        super().__init__()
        self.linear = nn.Linear(width, self.config.width)
        self.scale = nn.Parameter(torch.randn(len(sizes)))
        self.gradient_checkpointing = False


class Theirs(ModelMixin, ConfigMixin):
    @diffusers_config.register_to_config
    def __init__(self, width: int = 4, sizes: tuple = (1, 2)):
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.scale = nn.Parameter(torch.randn(len(sizes)))


Theirs.__name__ = Ours.__name__


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_folders_are_interchangeable_with_diffusers(tmp_path):
    ours, theirs = Ours(width=6), Theirs(width=8)
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    assert equal(Theirs.from_pretrained(tmp_path / "ours"), ours)
    weights, config = tmp_path / "ours" / WEIGHTS, tmp_path / "ours" / "config.json"
    assert weights.stat().st_mode == config.stat().st_mode, "others can read the config, but not the weights"
    again = Ours.from_pretrained(tmp_path / "theirs")
    assert equal(again, theirs)
    assert (again.config.width, again.config["sizes"], again.training) == (8, [1, 2], False)


def test_shards_variant_and_dtype(tmp_path):
    model = Ours(width=64)
    model.save_pretrained(tmp_path, max_shard_size="4KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert equal(Ours.from_pretrained(tmp_path), model)
    model.save_pretrained(tmp_path / "half", variant="fp16")
    assert (tmp_path / "half" / "diffusion_pytorch_model.fp16.safetensors").is_file()
    assert Ours.from_pretrained(tmp_path / "half", variant="fp16", dtype=torch.bfloat16).dtype == torch.bfloat16
    with pytest.raises(OSError, match=r"no diffusion_pytorch_model\.safetensors"):
        Ours.from_pretrained(tmp_path / "half")


def test_missing_tensors_and_other_shapes_are_refused(tmp_path):
    Ours().save_pretrained(tmp_path)
    whole = load_file(tmp_path / WEIGHTS)
    for change, says in (
        ({"scale": torch.zeros(5)}, r"scale is \(5,\), expected \(2,\)"),
        ({"scale": None}, "lacks the tensor scale"),
    ):
        changed = {name: value for name, value in {**whole, **change}.items() if value is not None}
        save_file(changed, tmp_path / WEIGHTS, {"format": "pt"})
        with pytest.raises(ValueError, match=says):
            Ours.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="a pickle can run code"):
        Ours.from_pretrained(tmp_path, use_safetensors=False)
    with pytest.raises(ValueError, match="config of Other"):
        Ours.from_config({"_class_name": "Other"})


def test_loading_keeps_the_global_random_state(tmp_path):
    Ours().save_pretrained(tmp_path)
    before = torch.get_rng_state()
    Ours.from_pretrained(tmp_path)
    assert torch.equal(before, torch.get_rng_state())


def test_a_config_is_stored_and_immutable(tmp_path):
    model = Ours(5, sizes=(3,))
    for one in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert dict(one.config) == {"width": 5, "sizes": [3]}
    with pytest.raises(TypeError, match="is immutable"):
        model.config["width"] = 6
    with pytest.raises(AttributeError, match="no 'depth'"):
        _ = model.config.depth
    assert Ours.from_config(model.config, sizes=[1]).config.width == 5
    model.register_to_config(sizes=[7])
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["sizes"] == [7]


def test_gradient_checkpointing_is_switched_on_and_off():
    model = Ours()
    model.enable_gradient_checkpointing()
    assert model.is_gradient_checkpointing
    assert model._gradient_checkpointing_func(torch.square, torch.tensor(3.0)) == 9
    model.disable_gradient_checkpointing()
    assert not model.is_gradient_checkpointing


def test_saved_weights_are_linked_and_not_written_again(tmp_path):
    """A file of frozen weights becomes the first of two shards, which this class and diffusers' index name."""
    model = Ours(width=4)
    frozen = {name: value.clone() for name, value in model.state_dict().items() if name.endswith("weight")}
    save_file(frozen, tmp_path / "frozen.safetensors")
    with model.saved_weights(tmp_path / "frozen.safetensors"):
        model.save_pretrained(tmp_path / "model")
    first, second = sorted((tmp_path / "model").glob("*.safetensors"))
    assert os.path.samefile(first, tmp_path / "frozen.safetensors")
    assert load_file(second).keys() == model.state_dict().keys() - frozen.keys()
    index = json.loads((tmp_path / "model" / "diffusion_pytorch_model.safetensors.index.json").read_text())
    assert index["weight_map"] == {name: (first if name in frozen else second).name for name in model.state_dict()}
    assert equal(Ours.from_pretrained(tmp_path / "model"), model)
    assert equal(Theirs.from_pretrained(tmp_path / "model"), model)
    # Outside the block a folder is whole again.
    model.save_pretrained(tmp_path / "whole")
    assert [path.name for path in (tmp_path / "whole").glob("*.safetensors")] == ["diffusion_pytorch_model.safetensors"]
