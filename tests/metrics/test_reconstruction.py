"""Metrics of codecs, against what is known in closed form."""

import numpy as np
import pytest

from sonovid.core.clip import Clip
from sonovid.metrics.base import Sample, UnusableClipError
from sonovid.metrics.reconstruction import LUMA, Spectrum, log_spectral_distance, psnr, ssim


def test_psnr_of_a_constant_error():
    true = np.full((4, 8, 8, 3), 100, np.uint8)
    assert psnr(true + np.uint8(5), true) == pytest.approx(20 * np.log10(255 / 5))
    assert psnr(true, true) == float("inf")
    with pytest.raises(UnusableClipError, match="against"):
        psnr(true[:3], true)


def test_half_the_level_is_six_decibels_away():
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 16000)).astype(np.float32)
    loud, soft = (Spectrum().prepare(Sample(Clip(None, own))) for own in (sound, sound / 2))
    assert log_spectral_distance(soft, loud) == pytest.approx(20 * np.log10(2), rel=0.01)
    assert log_spectral_distance(loud, loud) == 0
    with pytest.raises(UnusableClipError, match="shorter than 64 ms"):
        Spectrum().prepare(Sample(Clip(None, sound[:, :1000])))


def test_ssim_is_its_formula_at_every_place():
    """Against sums written out over each window of 11x11."""
    draw = np.random.default_rng(0)
    true = draw.integers(0, 256, (2, 14, 13, 3), dtype=np.uint8)
    made = np.clip(true.astype(int) + draw.integers(-40, 40, true.shape), 0, 255).astype(np.uint8)
    x = np.arange(-5, 6)
    window = np.exp(-(x[:, None] ** 2 + x[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for a, b in zip(made @ LUMA, true @ LUMA, strict=True):
        for i in range(a.shape[0] - 10):
            for j in range(a.shape[1] - 10):
                p, q = a[i : i + 11, j : j + 11], b[i : i + 11, j : j + 11]
                m, n = (window * p).sum(), (window * q).sum()
                v, w, c = (window * p * p).sum() - m * m, (window * q * q).sum() - n * n, (window * p * q).sum() - m * n
                up = (2 * m * n + 2.55**2) * (2 * c + 7.65**2)
                values.append(up / ((m * m + n * n + 2.55**2) * (v + w + 7.65**2)))
    assert ssim(made, true) == pytest.approx(np.mean(values), rel=1e-9)
    assert ssim(true, true) == pytest.approx(1)
    assert ssim(made, true) < 0.98
    with pytest.raises(UnusableClipError, match="window is 11x11"):
        ssim(true[:, :8], true[:, :8])
    with pytest.raises(UnusableClipError, match="against"):
        ssim(true[:1], true)
