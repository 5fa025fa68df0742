"""MM-LDM's autoencoder trained from its recipe with tiny components."""

import json

import pytest
import torch

from sonovid import SoundingVideoPipeline, recipes
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


def test_an_audio_image_of_its_own_size_trains_both_stages(tmp_path):
    wide = {"base.picture.width": "64", "losses.adversarial": "0", "shown": "0", "steps": "1", "validate_every": "1"}
    recipes.run("mmldm.tiny.autoencoder", {"out": str(tmp_path / "first"), **wide})
    codec = HierarchicalAutoencoder.from_pretrained(tmp_path / "first" / "model")
    assert (codec.picture.height, codec.picture.width) == (32, 64)
    assert codec.network.sizes.audio[1] == 2 * codec.network.sizes.video[1]
    given = {"codec.autoencoder": str(tmp_path / "first" / "model"), "steps": "1", "sampling.validation_clips": "0"}
    recipes.run("mmldm.tiny", {"out": str(tmp_path / "second"), **given})
    pipe = SoundingVideoPipeline.from_pretrained(tmp_path / "second" / "model")
    assert tuple(pipe.denoiser.config.audio) == (8, *codec.network.latent_sizes.audio)
    clip = pipe(generator=0, num_inference_steps=1).clips[0]
    assert clip.waveform.shape[1] == codec.geometry.num_samples


def test_a_discriminator_needs_images_of_one_size(tmp_path):
    with pytest.raises(ValueError, match=r"another size: leave base\.picture\.height and base\.picture\.width at 0"):
        recipes.run("mmldm.tiny.autoencoder", {"out": str(tmp_path), "base.picture.width": "64"})
