"""LanguageBind: figures of its own code, transformers' CLIP where its networks are plain, front ends, refusals."""

import json
from fractions import Fraction

import numpy as np
import pytest
import torch
import transformers
from peers import filled_with_waves, waves
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPVisionConfig, CLIPVisionModelWithProjection

from sonovid.core.clip import Clip
from sonovid.metrics.base import Sample
from sonovid.metrics.extractors.front_ends import kaldi_fbank
from sonovid.metrics.extractors.languagebind import (
    SAMPLE_RATE,
    LanguageBindAudio,
    LanguageBindText,
    LanguageBindVideo,
    TextNetwork,
    VisionConfig,
    VisionNetwork,
)

LAYERS = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = LAYERS | {"patch_size": 56, "image_size": 224, "hidden_act": "gelu", "add_time_attn": True, "num_frames": 8}
SOUND = LAYERS | {"patch_size": 14, "num_mel_bins": 28, "target_length": 56, "audio_mean": -4.0, "audio_std": 4.5}
TEXT = LAYERS | {"vocab_size": 320, "max_position_embeddings": 77, "eos_token_id": 2, "pad_token_id": 1, "bos_token_id": 0}


def release(path, model_type, vision, state):
    """A folder as LanguageBind publishes it."""
    path.mkdir()
    config = {"model_type": model_type, "projection_dim": 12, "vision_config": vision | {"dropout": 0.0}, "text_config": TEXT}
    (path / "config.json").write_text(json.dumps(config))
    save_file({key: value.contiguous() for key, value in state.items()}, path / "model.safetensors")
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory, clap_folder):
    state = dict(filled_with_waves(VisionNetwork(VisionConfig(**VISION), 12)).state_dict())
    text = filled_with_waves(TextNetwork(TEXT, 12)).state_dict()
    state |= text | {"logit_scale": torch.tensor(1.0), "text_model.embeddings.position_ids": torch.arange(77)[None]}
    folder = release(tmp_path_factory.mktemp("hub") / "LanguageBind_Video_FT", "LanguageBindVideo", VISION, state)
    transformers.AutoTokenizer.from_pretrained(clap_folder).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    state = filled_with_waves(VisionNetwork(VisionConfig(**SOUND), 12)).state_dict()
    return release(tmp_path_factory.mktemp("hub") / "LanguageBind_Audio_FT", "LanguageBindAudio", SOUND, state)


def test_the_video_network_gives_the_figures_of_the_published_code():
    """Computed by the vision classes of LanguageBind's modeling_video.py from the same weights, and a projection of 12."""
    network = VisionNetwork(VisionConfig(**VISION), 12)
    state = dict(network.state_dict()) | {"vision_model.embeddings.position_ids": torch.zeros(1, 17, dtype=torch.long)}
    for i, key in enumerate(sorted(state)):
        if state[key].is_floating_point():
            scale = 1.0 if state[key].ndim == 1 and key.endswith("weight") else 0.0
            state[key].copy_(scale + 0.3 * waves(tuple(state[key].shape), 0.1 + 0.01 * i))
    images = waves((2, 3, 8, 224, 224), 0.0137)[0].transpose(0, 1)
    expected = [0.2652399, -0.1360027, -0.4014375, -0.2660096, 0.1350469, 0.4012501, 0.2667777, -0.1340903, -0.4010599]
    expected += [-0.2675439, 0.1331329, 0.4008674]
    with torch.no_grad():
        assert np.allclose(network(images)[0].numpy(), expected, rtol=1e-4, atol=1e-5)


def test_without_frames_the_network_is_clip():
    plain = {**LAYERS, "patch_size": 56, "image_size": 224, "hidden_act": "quick_gelu"}
    ours = filled_with_waves(VisionNetwork(VisionConfig(**plain), 12))
    theirs = CLIPVisionModelWithProjection(CLIPVisionConfig(**plain, projection_dim=12)).eval()
    theirs.load_state_dict(ours.state_dict(), strict=False)
    images = waves((2, 3, 224, 224), 0.0137)
    with torch.no_grad():
        expected = torch.nn.functional.normalize(theirs(pixel_values=images).image_embeds, dim=-1)
        assert torch.allclose(ours(images), expected, atol=1e-5)


def test_captions_are_embedded_as_by_clip(video):
    extractor = LanguageBindText()
    extractor.load([video])
    ours = extractor.network.state_dict()
    theirs = CLIPTextModelWithProjection(CLIPTextConfig(**TEXT, projection_dim=12)).eval()
    theirs.load_state_dict(ours, strict=False)
    rows = extractor.embed([extractor.prepare(Sample(None, text)) for text in ("a dog", "a wooden stick in the rain")])
    tokens = extractor.tokenizer(["a dog"], padding="max_length", max_length=77, return_tensors="pt")
    with torch.no_grad():
        output = theirs(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).text_embeds
    assert np.allclose(rows[0]["features"], torch.nn.functional.normalize(output, dim=-1)[0].numpy(), atol=1e-5)
    assert not np.allclose(rows[0]["features"], rows[1]["features"], atol=1e-3)


def test_eight_frames_from_the_first_to_the_last(video):
    extractor = LanguageBindVideo()
    extractor.load([video])
    frames = np.repeat(np.arange(20, dtype=np.uint8)[:, None, None, None] * 12, 3, -1) * np.ones((1, 20, 30, 1), np.uint8)
    prepared = extractor.prepare(Sample(Clip(frames, None, Fraction(8))))
    assert prepared["images"].shape == (8, 3, 224, 224)
    level = prepared["images"][:, 0, 0, 0] * 0.26862954 + 0.48145466
    assert np.allclose(level * 255, np.array([0, 2, 5, 8, 10, 13, 16, 19]) * 12, atol=0.01)
    assert np.isclose(np.linalg.norm(extractor.embed([prepared])[0]["features"]), 1, atol=1e-5)


def test_short_audio_is_repeated_and_long_audio_cut_in_three(sound):
    extractor = LanguageBindAudio()
    extractor.load([sound])
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * SAMPLE_RATE).astype(np.float32)
    short, long = extractor.spectrogram(noise[: SAMPLE_RATE // 4]), extractor.spectrogram(noise)
    assert short.shape == long.shape == (3, 28, 56)
    assert np.array_equal(short[0], short[2])
    assert np.array_equal(short[0, :, :23], short[0, :, 23:46])
    banks = kaldi_fbank(torch.from_numpy(noise - noise.mean()), bins=28, sample_rate=SAMPLE_RATE).numpy()
    starts = [part[0] for part in np.array_split(np.arange(len(banks) - 55), 3)]
    for channel, start in zip(long, starts, strict=True):
        assert np.allclose(channel, (banks[start : start + 56].T + 4.0) / 9.0, atol=1e-5)
    prepared = extractor.prepare(Sample(Clip(None, noise[None], sample_rate=SAMPLE_RATE)))
    assert extractor.embed([prepared])[0]["features"].shape == (12,)


def test_other_folders_are_refused_in_one_line(video, sound, tmp_path):
    with pytest.raises(ValueError, match="expected a 'LanguageBindVideo'"):
        LanguageBindVideo().load([sound])
    with pytest.raises(ValueError, match=r"no readable config\.json"):
        LanguageBindAudio().load([tmp_path])
    state = VisionNetwork(VisionConfig(**VISION), 12).state_dict()
    state["vision_model.embeddings.patch_embedding.weight"] = torch.zeros(16, 3, 1, 56, 56)
    newer = release(tmp_path / "V1.5", "LanguageBindVideo", VISION, state)
    with pytest.raises(ValueError, match="another network than VisionNetwork"):
        LanguageBindVideo().load([newer])
