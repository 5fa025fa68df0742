"""Cnn14 at 16 kHz: the names and shapes of its published file, PANNs' own numbers, other sample rates refused."""

from functools import partial
from typing import ClassVar

import numpy as np
import pytest
import torch
from peers import built, listing, on_meta, peer, values

from sonovid.core.clip import Clip
from sonovid.metrics.base import Sample, UnusableClipError
from sonovid.metrics.extractors.cnn14 import MEL, STFT, Cnn14, PannsFeatures, check_front_end
from sonovid.metrics.extractors.front_ends import panns_log_mel, slaney_filters
from sonovid.metrics.extractors.weights import build_network

# What the file holds of its front end: two transforms of 512 in 257 bins, and the filters of 64 bands.
FRONT_END = 2 * 257 * 512 + 257 * 64


def small_state(rate=16000):
    """The state of a narrow Cnn14 as PANNs would have saved it."""
    state = dict(built(partial(Cnn14, width=2)).state_dict())
    n_fft = 512 * rate // 16000
    state |= {name: torch.zeros(n_fft // 2 + 1, 1, n_fft) for name in STFT}
    return state | {MEL: slaney_filters(64, n_fft, rate, 50, rate // 2).T.contiguous()}


class Small(PannsFeatures):
    widths: ClassVar = {"width": 2}


def test_names_and_shapes_are_those_of_the_published_file():
    state = on_meta(Cnn14)
    assert values(state) + FRONT_END == 81_049_500
    # Of PANNs' Cnn14 made for 16 kHz, without the tensors of its front end.
    assert listing(state) == "a5d1d7e9a2708473dd6ea3296762eb62f8556c40f7dd0ed50cec0c444008e134"


@torch.inference_mode()
def test_numbers_are_those_of_panns():
    theirs = built(lambda: peer("panns_inference", "models").Cnn14(16000, 512, 160, 64, 50, 8000, 527))
    state = dict(theirs.state_dict())
    check_front_end(state, "theirs")
    mine = build_network(Cnn14, state, name="theirs", ignored=(*STFT, MEL))
    waveform = 0.1 * torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0))
    expected = theirs(waveform, None)
    features, logits = mine(panns_log_mel(waveform))
    assert expected["embedding"].std() > 0.01
    torch.testing.assert_close(features, expected["embedding"], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(logits.sigmoid(), expected["clipwise_output"], atol=1e-5, rtol=1e-4)


def test_a_checkpoint_as_panns_saves_it_loads_and_one_for_32_khz_does_not(tmp_path):
    torch.save({"iteration": 1, "model": small_state()}, tmp_path / "small.pth")
    extractor = Small()
    extractor.load([tmp_path / "small.pth"])
    torch.save({"iteration": 1, "model": small_state(32000)}, tmp_path / "fast.pth")
    with pytest.raises(ValueError, match=r"fast\.pth: a Cnn14 for another sample rate") as caught:
        extractor.load([tmp_path / "fast.pth"])
    assert "\n" not in str(caught.value)


def test_the_sound_is_heard_about_its_mean_and_filled_up_to_two_seconds():
    waveform = (0.1 * np.random.default_rng(0).standard_normal((1, 20_000)) + 0.3).astype(np.float32)
    heard = PannsFeatures().prepare(Sample(Clip(None, waveform, sample_rate=16000)))["waveform"]
    assert heard.shape == (32_000,)
    assert abs(heard[:20_000].mean()) < 1e-6
    assert not heard[20_000:].any()
    with pytest.raises(UnusableClipError, match="no audio"):
        PannsFeatures().prepare(Sample(Clip(np.zeros((1, 4, 4, 3), np.uint8), None)))


def test_sounds_of_several_lengths_come_back_in_their_order(tmp_path):
    torch.save({"model": small_state()}, tmp_path / "small.pth")
    extractor = Small()
    extractor.load([tmp_path / "small.pth"])
    sounds = [
        0.1 * np.random.default_rng(i).standard_normal(n).astype(np.float32) for i, n in enumerate((40_000, 32_000, 40_000))
    ]
    together = extractor.embed([{"waveform": one} for one in sounds])
    for one, found in zip(sounds, together, strict=True):
        alone = extractor.embed([{"waveform": one}])[0]
        assert found["features"].shape == (64,)
        assert found["logits"].shape == (527,)
        np.testing.assert_allclose(found["logits"], alone["logits"], atol=1e-5)
