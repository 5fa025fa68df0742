"""PaSST: published names and sizes, figures of its own code from the same weights, its front end, lengths and batches."""

import numpy as np
import pytest
import torch

from sonovid.core.clip import Clip
from sonovid.metrics.base import Sample, UnusableClipError
from sonovid.metrics.extractors.passt import SAMPLE_RATE, Passt, PasstNetwork, log_mel

TINY = {"width": 8, "depth": 1, "heads": 2, "classes": 5}


class TinyPasst(Passt):
    sizes = TINY


def sound(seconds: float, seed: int = 0) -> Sample:
    noise = np.random.default_rng(seed).normal(0.1, 0.2, (1, round(seconds * SAMPLE_RATE))).astype(np.float32)
    return Sample(Clip(None, noise, sample_rate=SAMPLE_RATE))


def waves(shape: tuple[int, ...], step: float) -> torch.Tensor:
    """Weights that any code can make alike."""
    return (0.2 * torch.sin(torch.arange(1, int(np.prod(shape)) + 1, dtype=torch.float64) * step)).float().reshape(shape)


def weights() -> dict[str, torch.Tensor]:
    own = PasstNetwork(**TINY).state_dict()
    return {name: waves(tuple(own[name].shape), 0.1 + 0.013 * i) for i, name in enumerate(sorted(own))}


@pytest.fixture(scope="module")
def tagger(tmp_path_factory, randomised):
    file = tmp_path_factory.mktemp("weights") / "passt-s-f128-p16-s10-ap.476-swa.pt"
    second = {"head_dist.weight": torch.zeros(5, 8), "head_dist.bias": torch.zeros(5)}
    torch.save(randomised(PasstNetwork(**TINY)).state_dict() | second, file)
    extractor = TinyPasst()
    extractor.load([file])
    return extractor


def test_names_and_sizes_are_the_published_ones():
    with torch.device("meta"):
        network = PasstNetwork()
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    # With the second classifier, 768 x 527 + 527, which lies in the file unused.
    assert sum(p.numel() for p in network.parameters()) + 405_263 == 86_153_758
    assert shapes["patch_embed.proj.weight"] == (768, 1, 16, 16)
    assert shapes["new_pos_embed"] == (1, 2, 768)
    assert shapes["freq_new_pos_embed"] == (1, 768, 12, 1)
    assert shapes["time_new_pos_embed"] == (1, 768, 1, 99)
    assert shapes["blocks.11.attn.qkv.bias"] == (2304,)
    assert shapes["head.0.weight"] == (768,)
    assert shapes["head.1.weight"] == (527, 768)


def test_it_gives_the_figures_of_the_published_code():
    """Computed by hear21passt 0.0.26 (PaSST of these sizes) from the same weights and the same spectrogram."""
    network = PasstNetwork(**TINY).eval()
    network.load_state_dict(weights())
    with torch.no_grad():
        logits, features = network(10 * waves((1, 128, 1000), 0.0123))
    assert np.allclose(logits[0], [0.28612208, -0.057429947, 0.25718138, 0.2031552, 0.086686589], rtol=1e-4, atol=1e-6)
    expected = [-0.03975923, 0.20115387, 0.37065977, 0.27192402, 0.074583493, 0.02965755, 0.11006306, 0.086678714]
    assert np.allclose(features[0], expected, rtol=1e-4, atol=1e-6)


def test_the_front_end_is_kaldi_s_filters_of_a_powerful_spectrum():
    from transformers.audio_utils import mel_filter_bank

    filter_bank = mel_filter_bank(
        513, 128, 0.0, 15000.0, SAMPLE_RATE, norm=None, mel_scale="kaldi", triangularize_in_mel_space=True
    )
    wave = np.random.default_rng(0).normal(0, 0.2, SAMPLE_RATE).astype(np.float32)
    emphasised = np.convolve(wave, [1, -0.97], "valid")
    padded = np.pad(emphasised, 512, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 1024)[::320] * np.pad(np.hanning(800), 112)
    power = np.abs(np.fft.rfft(frames)) ** 2
    expected = (np.log(power @ filter_bank + 1e-5) + 4.5) / 5
    assert np.allclose(log_mel(torch.from_numpy(wave)[None])[0].T.numpy(), expected, atol=1e-3)


def test_ten_seconds_without_their_mean(tagger):
    short = tagger.prepare(sound(2))["waveform"]
    assert short.shape == (320000,)
    assert abs(short[:64000].mean()) < 1e-6
    assert not short[64000:].any()
    assert np.array_equal(tagger.prepare(sound(10))["waveform"], tagger.prepare(sound(10))["waveform"])
    with pytest.raises(UnusableClipError, match="no audio"):
        tagger.prepare(Sample(None))


def test_the_same_whatever_the_batch(tagger):
    prepared = [tagger.prepare(sound(s, i)) for i, s in enumerate((1.0, 12.0))]
    for one, p in zip(tagger.embed([*prepared, prepared[0]]), [*prepared, prepared[0]], strict=True):
        alone = tagger.embed([p])[0]
        assert alone["logits"].shape == (5,)
        assert np.allclose(one["logits"], alone["logits"], atol=1e-5)
        assert np.allclose(one["features"], alone["features"], atol=1e-5)


def test_another_network_is_refused(tmp_path):
    torch.save(PasstNetwork(**TINY).state_dict(), tmp_path / "tiny.pt")
    with pytest.raises(ValueError, match="another network than PasstNetwork"):
        Passt().load([tmp_path / "tiny.pt"])
