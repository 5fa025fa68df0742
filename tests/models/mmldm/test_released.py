"""Agreement with the released transformer and its continuation network, on tiny random weights."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.models.mmldm import MMLDM, Continuation, released

PARITY = Path(__file__).parents[4] / "shared" / "parity" / "mmldm_tiny"

pytestmark = pytest.mark.skipif(not PARITY.is_dir(), reason="the released code's outputs are not at hand")


def settings(config):
    return {
        "video": (config["video_in_channels"], config["video_input_size"], config["video_input_size"]),
        "audio": (config["audio_in_channels"], config["audio_input_size"], config["audio_input_size"]),
        "width": config["hidden_size"],
        "depth": config["depth"],
        "heads": config["num_heads"],
        "context": "text",
        "context_tokens": 7,
        "context_width": config["context_dim"],
    }


@cache
def imported(case):
    manifest = json.loads((PARITY / case / "manifest.json").read_text())
    if case == "long_a":
        model = Continuation(settings(manifest["unet_config"]), manifest["prevideo_enc"]["depth"])
    else:
        model = MMLDM(**settings(manifest["config"]))
    released.load_weights(model, load_file(PARITY / case / "model.safetensors"))
    return model.eval(), load_file(PARITY / case / "io.safetensors"), manifest


def streams(io, name):
    """The released latent images of both streams: rows of the audio are mel positions, columns are steps."""
    return AV(io[f"{name}_video"][:, :, None], io[f"{name}_audio"].transpose(2, 3))


def told(io):
    b, k, _ = io["context"].shape
    on = torch.ones(b, dtype=torch.bool)
    return Condition(io["context"], torch.ones(b, k, dtype=torch.bool), AV(on, on))


def times(io):
    t = (io["t"] + 1) / 1000
    return AV(t, t)


def same(found, wanted, atol=1e-5):
    torch.testing.assert_close(found, wanted, atol=atol, rtol=0)


def watch(model, run):
    """The output of every module, by name."""
    found = {}

    def keep(name):
        return lambda module, inputs, output: found.__setitem__(name, (inputs, output))

    hooks = [module.register_forward_hook(keep(name)) for name, module in model.named_modules()]
    try:
        return run(), found
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def test_the_transformer_and_its_modules_agree():
    model, io, _ = imported("dit_v2_a")
    output, found = watch(model, lambda: model(streams(io, "x"), times(io), told(io), conditioning=streams(io, "cond")))
    for ours, theirs in zip(output.prediction, streams(io, "eps"), strict=True):
        same(ours, theirs)
    same(found["blocks.0"][0][0], io["mid.tokens_in"])
    same(found["time"][1], io["mid.t_embedder"])
    same(found["blocks.0.attention"][1], io["mid.blocks.0.attn"])
    same(found["blocks.0.mlp"][1], io["mid.blocks.0.mlp"])
    for index in range(3):
        same(found[f"blocks.{index}"][1], io[f"mid.blocks.{index}"])


@torch.no_grad()
def test_the_null_modality_is_zeros_or_none():
    model, io, _ = imported("dit_v2_a")
    x = streams(io, "x")
    for given in (None, x.map(torch.zeros_like), AV(None, torch.zeros_like(x.audio))):
        for ours, theirs in zip(
            model(x, times(io), told(io), conditioning=given).prediction, streams(io, "nocond.eps"), strict=True
        ):
            same(ours, theirs)


def test_gradients_agree():
    model, io, manifest = imported("dit_v2_a")
    model.zero_grad()
    found = model(streams(io, "x"), times(io), told(io), conditioning=streams(io, "cond")).prediction
    loss = sum(one.square().mean() for one in found)
    assert loss.item() == pytest.approx(manifest["loss_mean_square"], abs=1e-5)
    loss.backward()
    ours = {name: float(p.grad.norm()) for name, p in model.named_parameters()}
    wanted = {released.convert_key(name): norm for name, norm in manifest["grad_norms"].items() if "pos_embed" not in name}
    assert set(ours) == set(wanted)
    for name, norm in wanted.items():
        assert ours[name] == pytest.approx(norm, rel=1e-3, abs=1e-6), name


@torch.no_grad()
def test_the_continuation_network_and_its_modules_agree():
    model, io, manifest = imported("long_a")
    x, before = streams(io, "x"), streams(io, "pre")
    output, found = watch(model, lambda: model(x, times(io), told(io), conditioning=streams(io, "cond"), previous_window=before))
    same(found["network.context_in"][0][0], io["mid.full_context"])
    for index in range(manifest["prevideo_enc"]["depth"]):
        same(found[f"before.outs.{index}"][1], io[f"mid.intermediate.{index}"])
    for ours, theirs in zip(output.prediction, streams(io, "eps"), strict=True):
        same(ours, theirs)


def test_trained_position_embeddings_are_kept():
    model, _, _ = imported("dit_v2_a")
    tensors = load_file(PARITY / "dit_v2_a" / "model.safetensors")
    tensors["pos_embed_audio"] = tensors["pos_embed_audio"] + 0.5
    moved = MMLDM(**{key: value for key, value in model.config.items() if not key.startswith("_")})
    released.load_weights(moved, tensors)
    same(moved.entrances["audio"].modality, model.entrances["audio"].modality + 0.5)
    same(moved.entrances["video"].modality, model.entrances["video"].modality, atol=0)


def test_an_incomplete_checkpoint_is_refused():
    model, _, _ = imported("dit_v2_a")
    tensors = load_file(PARITY / "dit_v2_a" / "model.safetensors")
    tensors.pop("eos_audio")
    with pytest.raises(ValueError, match="1 tensors missing"):
        released.load_weights(model, tensors)
    with pytest.raises(ValueError, match="no tensor of a released"):
        released.convert_key("something.else")
