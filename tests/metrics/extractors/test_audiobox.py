"""Audiobox Aesthetics: figures of its own code with the same weights, windows of ten seconds, refusals."""

import json
import shutil

import numpy as np
import pytest
import torch
from peers import waves
from safetensors.torch import save_file

from sonovid.core.clip import Clip
from sonovid.metrics.base import Sample, UnusableClipError
from sonovid.metrics.extractors.audiobox import AXES, SAMPLE_RATE, Aesthetics, AudioboxAesthetics, convert_state_dict, cut

SIZES = {
    "num_hidden_layers": 2, "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
CONFIG = {
    "proj_num_layer": 3, "proj_ln": True, "proj_act_fn": "gelu", "proj_dropout": 0.1, "nth_layer": 3, "output_dim": 1,
    "use_weighted_layer_sum": True, "normalize_embed": True, "precision": "32",
    "target_transform": {
        "CE": {"mean": 5.0, "std": 1.0}, "CU": {"mean": 5.5, "std": 1.2},
        "PC": {"mean": 4.0, "std": 2.0}, "PQ": {"mean": 6.0, "std": 0.9},
    },
}  # fmt: skip
# Parts of names in transformers, and their published names.
PUBLISHED = {
    "feature_projection.layer_norm.": "layer_norm.",
    "feature_projection.projection.": "post_extract_proj.",
    "pos_conv_embed.conv.parametrizations.weight.original0": "pos_conv.0.weight_g",
    "pos_conv_embed.conv.parametrizations.weight.original1": "pos_conv.0.weight_v",
    "pos_conv_embed.conv.": "pos_conv.0.",
    ".feed_forward.intermediate_dense.": ".fc1.",
    ".feed_forward.output_dense.": ".fc2.",
    ".attention.gru_rel_pos_linear.": ".self_attn.grep_linear.",
    ".attention.gru_rel_pos_const": ".self_attn.grep_a",
    ".attention.rel_attn_embed.": ".self_attn.relative_attention_bias.",
    ".attention.": ".self_attn.",
}


class TinyAesthetics(AudioboxAesthetics):
    sizes = SIZES


def published(network: Aesthetics) -> dict[str, torch.Tensor]:
    """A state dict under the published names, with the vector that only training uses."""
    found = {"wavlm_model.mask_emb": torch.zeros(network.wavlm.config.hidden_size)}
    for key, value in network.state_dict().items():
        name = key.replace("wavlm.", "wavlm_model.", 1)
        for here, there in PUBLISHED.items():
            name = name.replace(here, there)
        if ".conv_layers." in name:
            name = name.replace(".conv.", ".0.").replace(".layer_norm.", ".2.")
        elif ".layers." in name:
            name = name.replace(".layer_norm.", ".self_attn_layer_norm.")
        found[name] = value
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "audiobox-aesthetics"
    path.mkdir()
    state = published(Aesthetics(3, True, True, SIZES))
    for i, key in enumerate(sorted(state)):
        scale = 1.0 if state[key].ndim == 1 and key.endswith("weight") else 0.0
        state[key] = scale + 0.3 * waves(tuple(state[key].shape), 0.1 + 0.01 * i)
    save_file(state, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps(CONFIG))
    return path


@pytest.fixture(scope="module")
def raters(folder):
    extractor = TinyAesthetics()
    extractor.load([folder])
    return extractor


def sample(waveform: torch.Tensor) -> Sample:
    return Sample(Clip(None, waveform.numpy().astype(np.float32), sample_rate=SAMPLE_RATE))


def test_it_gives_the_figures_of_the_published_code(raters):
    """Computed by audiobox_aesthetics 0.0.4 (AesMultiOutput of these sizes, its windows and weights) from the same weights."""
    sound = waves((1, 213_000), 0.37) * 0.3 + waves((1, 213_000), 0.0137) * 0.2
    found = raters.embed([raters.prepare(sample(sound))])[0]
    expected = [7.051004886627197, 7.077573299407959, 9.365911483764648, 7.32515811920166]
    assert np.allclose([float(found[axis.lower()][0]) for axis in AXES], expected, rtol=1e-5)


def test_wavlm_base_is_the_published_encoder():
    with torch.device("meta"):
        network = Aesthetics(5, True, False)
    # The 94.4 million parameters of WavLM base (Chen et al. 2022) without the vector of masked frames.
    assert sum(p.numel() for p in network.wavlm.parameters()) == 94_381_936 - 768
    shapes = {key: value.shape for key, value in published(network).items()}
    assert shapes["wavlm_model.feature_extractor.conv_layers.0.0.weight"] == (512, 1, 10)
    assert shapes["wavlm_model.encoder.layers.0.self_attn.relative_attention_bias.weight"] == (320, 12)
    assert shapes["layer_weights.PQ"] == (13,)
    assert set(convert_state_dict(published(network))) == set(network.state_dict())


def test_windows_are_ten_seconds_and_count_by_their_audio():
    windows, counts = cut(np.ones(25 * SAMPLE_RATE, np.float32))
    assert windows.shape == (3, 10 * SAMPLE_RATE)
    assert counts.tolist() == [160_000, 160_000, 80_000]
    assert windows[2, 80_000:].max() == 0


def test_padding_and_neighbours_do_not_matter(raters):
    short = raters.prepare(sample(waves((1, 40_000), 0.21) * 0.4))
    long = raters.prepare(sample(waves((1, 170_000), 0.33) * 0.1))
    alone, (first, second) = raters.embed([short])[0], raters.embed([short, long])
    for axis in ("ce", "cu", "pc", "pq"):
        assert np.isclose(alone[axis], first[axis])
        assert np.isfinite(second[axis]).all()
    with pytest.raises(UnusableClipError, match="samples of audio"):
        raters.prepare(sample(torch.zeros(1, 100)))


def test_another_folder_is_refused_in_one_line(folder, tmp_path):
    with pytest.raises(ValueError, match="no config of Audiobox Aesthetics"):
        AudioboxAesthetics().load([tmp_path])
    with pytest.raises(ValueError, match="another network than Aesthetics"):
        AudioboxAesthetics().load([folder])
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "config.json").write_text(json.dumps(CONFIG | {"normalize_embed": False}))
    with pytest.raises(ValueError, match="another variant"):
        TinyAesthetics().load([other])
