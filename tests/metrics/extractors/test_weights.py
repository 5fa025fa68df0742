"""Weight files: found, hashed, refused; read without running anything; put into a network of the same names and shapes or not."""

import hashlib
import os
import random

import numpy as np
import pytest
import torch
from torch import nn

from sonovid.metrics import catalogue
from sonovid.metrics.base import Extractor, InputSpec, UnavailableError, WeightFile
from sonovid.metrics.extractors import i3d, weights


@pytest.fixture(autouse=True)
def nothing_at_hand(monkeypatch, tmp_path):
    """No weights from this machine: an empty hub cache, and no folder named."""
    monkeypatch.delenv(weights.WEIGHTS_VARIABLE, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.bn = nn.BatchNorm1d(2)


def tiny_state(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {k: torch.randn(v.shape, generator=generator) for k, v in Tiny().state_dict().items() if v.is_floating_point()}


def file_of(tmp_path, name="net.pt", state=None):
    path = tmp_path / name
    torch.save(tiny_state() if state is None else state, path)
    return path


def test_a_file_that_is_not_there_is_missing_in_one_line(tmp_path):
    with pytest.raises(
        UnavailableError, match=r"net\.pt is not available: fetch it from example\.org into the folder that --weights"
    ) as caught:
        weights.find_weights(WeightFile("net.pt", "example.org"), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_hub_model_that_is_not_there_is_missing(tmp_path):
    with pytest.raises(
        UnavailableError, match="owner/name is not available: fetch it from the hub into the hub cache or into the folder"
    ):
        weights.find_weights(WeightFile("owner/name", "the hub"), tmp_path)


def test_the_named_folder_comes_first_then_the_variable_s(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "net.pt").write_bytes(name.encode())
    monkeypatch.setenv(weights.WEIGHTS_VARIABLE, str(tmp_path / "b"))
    file = WeightFile("net.pt", "example.org")
    assert weights.find_weights(file, tmp_path / "a").path == tmp_path / "a" / "net.pt"
    found = weights.find_weights(file)
    assert found.path == tmp_path / "b" / "net.pt"
    assert found.sha256 == hashlib.sha256(b"b").hexdigest()
    assert str(tmp_path) not in str(found.to_record()), "the record says what was used, not where it lay"
    with pytest.raises(ValueError, match="expected a folder of weight files"):
        weights.find_weights(file, tmp_path / "c")


def test_a_published_checksum_or_its_first_digits_are_held_to(tmp_path):
    (tmp_path / "net.pt").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    for known in ("", digest[:8], digest, digest.upper()):
        assert weights.find_weights(WeightFile("net.pt", "example.org", known), tmp_path).sha256 == digest
    with pytest.raises(ValueError, match=r"not the published net\.pt: its SHA-256 begins") as caught:
        weights.find_weights(WeightFile("net.pt", "example.org", "10086976"), tmp_path)
    assert digest[:8] in str(caught.value)
    assert not isinstance(caught.value, UnavailableError)


def test_a_file_that_changes_is_hashed_again(tmp_path):
    path = tmp_path / "net.pt"
    path.write_bytes(b"one")
    first = weights.file_sha256(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert weights.file_sha256(path) == hashlib.sha256(b"two").hexdigest() != first


def test_a_model_folder_is_found_by_its_hub_id_and_hashed_without_its_readme(tmp_path):
    folder = tmp_path / "owner" / "name"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "README.md").write_text("one")
    file = WeightFile("owner/name", "the hub")
    found = weights.find_weights(file, tmp_path)
    assert found.path == folder
    (folder / "README.md").write_text("two")
    assert weights.find_weights(file, tmp_path).sha256 == found.sha256
    (folder / "config.json").write_text("{ }")
    assert weights.find_weights(file, tmp_path).sha256 != found.sha256
    assert weights.find_weights(file, tmp_path / "owner").path == folder, "the folder's own name is enough"


def test_a_hub_model_is_found_in_the_hub_s_cache(tmp_path):
    snapshot = tmp_path / "hub" / "models--owner--name" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("0" * 40)
    assert weights.find_weights(WeightFile("owner/name", "the hub")).path == snapshot


def test_all_files_of_an_extractor_come_in_its_order(tmp_path):
    class Two(Extractor):
        name = "two"
        input_spec = InputSpec()
        weights = (WeightFile("b.pt", "here"), WeightFile("a.pt", "there"))

        def prepare(self, sample):
            return {}

    for name in ("a.pt", "b.pt"):
        (tmp_path / name).write_bytes(b"x")
    assert [found.path.name for found in weights.find_extractor_weights(Two, tmp_path)] == ["b.pt", "a.pt"]


def same(read, state):
    assert set(read) == set(state)
    return all(torch.equal(read[key], state[key]) for key in state)


def test_all_formats_give_the_same_names_and_tensors(tmp_path):
    from safetensors.torch import save_file

    state = tiny_state()
    save_file(state, tmp_path / "net.safetensors")
    np.savez(tmp_path / "net.npz", **{key: value.numpy() for key, value in state.items()})
    assert same(weights.read_state_dict(tmp_path / "net.safetensors"), state)
    assert same(weights.read_state_dict(tmp_path / "net.npz"), state)
    assert same(weights.read_state_dict(file_of(tmp_path)), state)
    for wrapper in weights.WRAPPERS:
        assert same(weights.read_state_dict(file_of(tmp_path, state={"iteration": 5, wrapper: state})), state)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_torchscript_archive_is_read_for_its_weights(tmp_path):
    network = Tiny()
    path = tmp_path / "net.pt"
    torch.jit.script(nn.Sequential(network.layer, network.bn)).save(str(path))
    assert weights.is_torchscript(path)
    assert not weights.is_torchscript(file_of(tmp_path, "other.pt"))
    read = weights.read_state_dict(path)
    assert torch.equal(read["0.weight"], network.layer.weight)
    with pytest.raises(ValueError, match="expected a TorchScript archive"):
        weights.read_torchscript(tmp_path / "other.pt")


def test_a_sampler_s_state_beside_the_weights_does_not_keep_them_from_being_read(tmp_path):
    sampler = {
        "indexes": np.arange(5),
        "pointer": np.int64(3),
        "random": np.random.RandomState(0).get_state(),
        "loss": np.float64(1.0),
    }
    state = tiny_state()
    assert same(weights.read_state_dict(file_of(tmp_path, state={"model": state, "sampler": sampler})), state)


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({"model": random.Random(0)}, "holds more than weights"),
        ([1, 2], "expected the state dict of a network, got list"),
        ({"a": 1}, "expected the state dict"),
    ],
)
def test_what_is_no_weights_is_refused_in_one_line(tmp_path, held, message):
    with pytest.raises(ValueError, match=message) as caught:
        weights.read_state_dict(file_of(tmp_path, state=held))
    assert "\n" not in str(caught.value)


class Program:
    """What a pickle can be made to do on being read."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def test_nothing_in_a_file_is_run(tmp_path):
    path = file_of(tmp_path, state={"model": tiny_state(), "extra": Program(tmp_path / "mark")})
    with pytest.raises(ValueError, match=r"holds more than weights \(\w+\.mkdir\), which is not loaded"):
        weights.read_state_dict(path)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["net.pt", "net.safetensors", "net.npz"])
def test_a_damaged_file_is_refused_in_one_line(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"<html>404 Not Found</html>" * 10)
    with pytest.raises(ValueError, match=name) as caught:
        weights.read_state_dict(path)
    assert "\n" not in str(caught.value)


def test_a_filled_network_is_frozen_in_evaluation_mode_and_float32():
    state = tiny_state()
    network = weights.build_network(Tiny, {key: value.half() for key, value in state.items()}, name="net.pt")
    assert not network.training
    assert all(value.dtype == torch.float32 for value in network.state_dict().values() if value.is_floating_point())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    torch.testing.assert_close(network.layer.weight, state["layer.weight"], atol=1e-3, rtol=1e-3)
    assert network.bn.num_batches_tracked.item() == 0


def test_weights_of_another_network_are_refused_with_what_differs():
    state = tiny_state() | {"other.weight": torch.zeros(1), "layer.bias": torch.zeros(7)}
    del state["layer.weight"]
    with pytest.raises(ValueError, match=r"net\.pt: weights of another network than Tiny: 1 missing") as caught:
        weights.build_network(Tiny, state, name="net.pt")
    message = str(caught.value)
    assert "1 missing (layer.weight)" in message
    assert "1 unknown (other.weight)" in message
    assert "1 of another shape (layer.bias [7], expected [2])" in message
    assert "\n" not in message


def test_names_that_are_not_used_may_be_passed_over():
    network = weights.build_network(Tiny, tiny_state() | {"extra": torch.zeros(3)}, name="net.pt", ignored=("extra",))
    assert isinstance(network, Tiny)


def test_an_older_hash_is_held_to_where_no_other_is_published(tmp_path):
    (tmp_path / "net.pt").write_bytes(b"weights")
    digest = hashlib.md5(b"weights").hexdigest()
    assert weights.find_weights(WeightFile("net.pt", "example.org", md5=digest), tmp_path).path == tmp_path / "net.pt"
    with pytest.raises(ValueError, match=rf"not the published net\.pt: its MD5 is {digest}, expected 5b2f"):
        weights.find_weights(WeightFile("net.pt", "example.org", md5="5b2f5594b0730f70e41e549b7c94390c"), tmp_path)


def test_of_a_hub_model_the_pinned_snapshot_alone_is_taken(tmp_path):
    kept = tmp_path / "hub" / "models--owner--name"
    for revision in ("a" * 40, "b" * 40):
        (kept / "snapshots" / revision).mkdir(parents=True)
        (kept / "snapshots" / revision / "config.json").write_text(revision)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("b" * 40)
    assert weights.find_weights(WeightFile("owner/name", "the hub")).path.name == "b" * 40
    pinned = weights.find_weights(WeightFile("owner/name", "the hub", revision="a" * 40))
    assert pinned.path.name == pinned.to_record()["revision"] == "a" * 40
    with pytest.raises(UnavailableError, match="owner/name"):
        weights.find_weights(WeightFile("owner/name", "the hub", revision="c" * 40))


def test_a_file_whose_program_is_run_is_pinned():
    assert len(i3d.TORCHSCRIPT.sha256) == 64
    pinned = [f for kind in {k for m in catalogue.metrics().values() for k in m.extractors} for f in kind.weights]
    assert sum(bool(f.sha256 or f.md5 or f.revision) for f in pinned) > len(pinned) * 0.6
