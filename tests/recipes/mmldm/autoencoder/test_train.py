"""MM-LDM's autoencoder trained from its recipe with tiny components."""

import json

import torch

from sonovid import recipes
from sonovid.codecs.base import PairCodec
from sonovid.codecs.hierarchical import HierarchicalAutoencoder
from sonovid.data import latents
from sonovid.recipes.components import encoder_key, load_video_codec
from sonovid.recipes.configs import CodecConfig
from sonovid.training import logs


def test_a_run_logs_all_losses_and_writes_reconstructions(autoencoder):
    (line,) = logs.read_log(autoencoder / "log.jsonl")
    assert {f"loss/{name}" for name in ("video", "audio", "kl", "classes", "contrast", "adversarial")} <= line.keys()
    names = {path.name for path in (autoencoder / "samples" / "step-000002").iterdir()}
    assert {"frames.png", "mel.png", "0-true.mp4", "0-made.mp4"} <= names
    figures = json.loads((autoencoder / "samples" / "step-000002" / "figures.json").read_text())
    assert all(value > 0 for value in figures.values())
    recipe = json.loads((autoencoder / "model" / "recipe.json").read_text())
    codec = HierarchicalAutoencoder.from_pretrained(autoencoder / "model")
    assert isinstance(codec, PairCodec)
    assert codec.network.config.num_classes == len(recipe["classes"]) > 1


def test_the_frame_codec_is_frozen_and_a_resumed_run_keeps_its_discriminator(autoencoder):
    state = torch.get_rng_state()
    first = load_video_codec(CodecConfig(video="tiny")).state_dict()
    assert torch.equal(state, torch.get_rng_state())
    kept = HierarchicalAutoencoder.from_pretrained(autoencoder / "model").frame_codec.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in first.items())
    recipes.run("mmldm.tiny.autoencoder", {"out": str(autoencoder), "steps": "3", "resume": "latest", "shown": "0"})
    assert json.loads((autoencoder / "model" / "recipe.json").read_text())["steps_trained"] == 3
    assert (autoencoder / "checkpoint-000003" / "adversary.safetensors").is_file()


def test_the_cache_key_depends_on_the_encoders_only(autoencoder):
    codec = HierarchicalAutoencoder.from_pretrained(autoencoder / "model")
    key = latents.fingerprint(*encoder_key(codec))
    with torch.no_grad():
        next(codec.network.decoder.parameters()).add_(1.0)
        assert latents.fingerprint(*encoder_key(codec)) == key
        next(codec.network.encoders.parameters()).add_(1.0)
    assert latents.fingerprint(*encoder_key(codec)) != key
