"""Metrics of codecs, against what is known in closed form."""

import numpy as np
import pytest

from sonovid.clip import Clip
from sonovid.metrics.base import Material, Unfit
from sonovid.metrics.reconstruction import Spectrum, log_spectral_distance, psnr


def test_psnr_of_a_constant_error():
    true = np.full((4, 8, 8, 3), 100, np.uint8)
    assert psnr(true + np.uint8(5), true) == pytest.approx(20 * np.log10(255 / 5))
    assert psnr(true, true) == float("inf")
    with pytest.raises(Unfit, match="against"):
        psnr(true[:3], true)


def test_half_the_level_is_six_decibels_away():
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 16000)).astype(np.float32)
    loud, soft = (Spectrum().prepare(Material(Clip(None, own))) for own in (sound, sound / 2))
    assert log_spectral_distance(soft, loud) == pytest.approx(20 * np.log10(2), rel=0.01)
    assert log_spectral_distance(loud, loud) == 0
    with pytest.raises(Unfit, match="shorter than 64 ms"):
        Spectrum().prepare(Material(Clip(None, sound[:, :1000])))
