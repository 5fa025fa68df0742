import math
from fractions import Fraction

import pytest
import torch

from sonovid.codecs.mel import LogMel, filterbank, hz_to_mel, mel_to_hz
from sonovid.core.geometry import Geometry


def test_slaneys_scale_at_its_defining_points():
    """1000 Hz is mel 15, and 27 steps more multiply the frequency by 6.4."""
    assert hz_to_mel(1000.0) == pytest.approx(15)
    assert hz_to_mel(6400.0) == pytest.approx(42)
    assert hz_to_mel(200.0) == pytest.approx(3)
    torch.testing.assert_close(mel_to_hz(torch.tensor([3.0, 15.0, 42.0])), torch.tensor([200.0, 1000.0, 6400.0]))


def test_filters_have_equal_area():
    """Each triangle of width w Hz has height 2 / w, so its area in Hz is one, but for the sampling of the narrow ones."""
    filters = filterbank(16000, 4096, 40, 0.0, 8000.0)
    area = filters.sum(1) * 16000 / 4096
    torch.testing.assert_close(area, torch.ones(40), atol=0.02, rtol=0)


def test_every_hop_is_one_frame():
    for hop, n in ((160, 16000), (250, 32000), (256, 16384)):
        assert LogMel(hop=hop)(torch.randn(1, n)).shape == (1, 64, n // hop)


def test_a_partial_last_hop_is_refused_or_dropped():
    """CMMD's 18 frames at 10 per second are 112.5 hops."""
    geometry = Geometry(18, Fraction(10), 64, 64, 16000)
    settings = {"bins": 80, "n_fft": 512, "window": 512, "hop": 256}
    with pytest.raises(ValueError, match="not a whole number of hops of 256"):
        LogMel(**settings).num_frames(geometry)
    assert LogMel(**settings, partial=True).num_frames(geometry) == 112
    assert LogMel(**settings, partial=True)(torch.zeros(1, geometry.num_samples)).shape == (1, 80, 112)
    assert "partial" not in LogMel(**settings).to_config()
    assert LogMel(**LogMel(**settings, partial=True).to_config()).partial


@pytest.mark.parametrize(("hop", "window", "n_fft"), [(250, 1024, 1024), (160, 1024, 1024), (256, 512, 512)])
def test_a_click_is_centred_in_its_frame(hop, window, n_fft):
    """Frame j is centred on sample (j + 1/2) hop."""
    wave = torch.zeros(1, 40 * hop)
    wave[0, 20 * hop + hop // 2] = 1
    energy = LogMel(hop=hop, window=window, n_fft=n_fft)(wave)[0].exp().sum(0)
    assert energy.argmax() == 20
    torch.testing.assert_close(energy[19], energy[21], rtol=0.02, atol=1e-4)


def test_a_tone_lies_in_the_bin_that_holds_its_frequency():
    hz = 1500.0
    wave = 0.5 * torch.sin(2 * math.pi * hz * torch.arange(16000) / 16000)[None]
    loudest = LogMel()(wave)[0].mean(1).argmax()
    centres = mel_to_hz(torch.linspace(0, hz_to_mel(8000.0), 66))[1:-1]
    assert loudest == (centres - hz).abs().argmin()


def test_silence_is_the_floor_and_has_a_gradient():
    wave = torch.zeros(1, 16000, requires_grad=True)
    mel = LogMel(floor=1e-3)(wave)
    torch.testing.assert_close(mel, torch.full_like(mel, math.log(1e-3)))
    mel.sum().backward()
    assert wave.grad.isfinite().all()


def test_invalid_lengths_and_rates_are_refused():
    settings = LogMel(hop=160)
    assert settings.num_frames(Geometry(68, Fraction(17), 256, 256, 16000)) == 400
    with pytest.raises(ValueError, match="44100 Hz"):
        settings.num_frames(Geometry(68, Fraction(17), 256, 256, 44100))
    with pytest.raises(ValueError, match="hops of 160"):
        settings.num_frames(Geometry(67, Fraction(17), 256, 256, 16000))


def test_a_first_call_in_inference_mode_allows_later_gradients():
    settings = LogMel(bins=37)
    with torch.inference_mode():
        settings(torch.zeros(1, 4000))
    wave = torch.randn(1, 4000, requires_grad=True)
    settings(wave).sum().backward()
    assert wave.grad.abs().sum() > 0
