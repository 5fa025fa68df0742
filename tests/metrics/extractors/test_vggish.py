"""VGGish: the names and shapes of its published file, torchvggish's numbers, how each variant hears a file."""

import numpy as np
import pytest
import torch
from peers import built, listing, on_meta, values

from sonovid.core.clip import Clip
from sonovid.metrics.base import Sample, UnusableClipError
from sonovid.metrics.extractors.front_ends import vggish_patches
from sonovid.metrics.extractors.vggish import PATCH_SAMPLES, VGGish, VGGishAudioLDM, VGGishFeatures
from sonovid.metrics.extractors.weights import build_network


def sound(samples, channels=1, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal((channels, samples))).astype(np.float32)


def sample(waveform):
    return Sample(Clip(None, waveform, sample_rate=16000))


def test_names_and_shapes_are_those_of_the_published_file():
    state = on_meta(VGGish)
    assert values(state) == 72_141_184
    # Of torchvggish's VGG, which loads vggish-10086976.pth strictly.
    assert listing(state) == "c8cfcf2df8a2c582d6b94ffad6c42517cc0413d5cd8523f4f00f4ccafc92a0a0"


@torch.inference_mode()
def test_numbers_are_those_of_torchvggish_without_its_last_relu():
    torchvggish = pytest.importorskip("torchvggish.torchvggish")
    theirs = built(lambda: torchvggish.VGG(torchvggish.make_layers(), False))
    mine = build_network(VGGish, theirs.state_dict(), name="theirs")
    # As audioldm_eval, fadtk and av-benchmark use it.
    theirs.embeddings = theirs.embeddings[:-1]
    x = vggish_patches(torch.from_numpy(sound(PATCH_SAMPLES)[0]))
    expected = theirs(x[:, None])
    assert (expected < 0).any(), "a ReLU would be seen"
    torch.testing.assert_close(mine(x), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("samples", "rows"), [(15_600, 1), (25_600, 1), (31_200, 2), (160_000, 10)])
def test_one_row_per_whole_patch(samples, rows):
    assert VGGishFeatures().prepare(sample(sound(samples)))["patches"].shape == (rows, 96, 64)


def test_a_sound_under_0_975_s_is_unfit_and_says_how_long_it_is():
    with pytest.raises(UnusableClipError, match=r"lasts 0\.960 s; VGGish needs 0\.975 s"):
        VGGishFeatures().prepare(sample(sound(15_360)))
    with pytest.raises(UnusableClipError, match="no audio"):
        VGGishFeatures().prepare(Sample(Clip(np.zeros((1, 4, 4, 3), np.uint8), None)))


def test_audioldm_eval_s_way_pads_to_two_seconds_and_hears_the_first_channel_about_its_mean():
    waveform = sound(25_600, channels=2) + np.float32(0.05)
    patches = VGGishAudioLDM().prepare(sample(waveform))["patches"]
    first = waveform[0] - waveform[0].mean()
    expected = vggish_patches(torch.from_numpy(np.pad(first, (0, 32_000 - 25_600)))).numpy()
    assert len(patches) == 2
    np.testing.assert_allclose(patches, expected, atol=1e-4)
    other = waveform.copy()
    other[1] = 0
    np.testing.assert_array_equal(VGGishAudioLDM().prepare(sample(other))["patches"], patches)
    assert not VGGishAudioLDM.input_spec.mono
    assert len(VGGishAudioLDM().prepare(sample(sound(100)))["patches"]) == 2, "even next to nothing is filled up"
