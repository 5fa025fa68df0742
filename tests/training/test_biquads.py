"""Biquad filters against scipy's recursion, and at frequencies with known gains."""

import math

import numpy as np
import pytest
import scipy.signal
import torch

from sonovid.training.biquads import KINDS, apply_biquad, apply_random_biquad, biquad

RATE = 16000


def one(kind: str, hz: float = 1000.0, quality: float = 1.0, gain: float = 6.0) -> tuple[torch.Tensor, torch.Tensor]:
    return biquad(kind, *(torch.tensor([float(x)]) for x in (hz, quality, gain)), RATE)


def decibels(kind: str, at: float, **design: float) -> float:
    """The gain of a filter at a frequency."""
    b, a = one(kind, **design)
    _, response = scipy.signal.freqz(b[0].double().numpy(), a[0].double().numpy(), worN=[at], fs=RATE)
    return 20 * math.log10(max(abs(response[0]), 1e-9))


@pytest.mark.parametrize("kind", KINDS)
def test_apply_biquad_matches_the_recursion(kind):
    wave = torch.randn(1, 3000, generator=torch.Generator().manual_seed(0))
    b, a = one(kind)
    expected = scipy.signal.lfilter(b[0].double().numpy(), a[0].double().numpy(), wave[0].double().numpy())
    np.testing.assert_allclose(apply_biquad(wave, b, a)[0].numpy(), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "low", "centre", "high"),
    [
        ("peak", 0, 6, 0),
        ("low_shelf", 6, 3, 0),
        ("high_shelf", 0, 3, 6),
        ("low_pass", 0, 0, -60),
        ("high_pass", -60, 0, 0),
    ],
)
def test_gains_of_each_kind(kind, low, centre, high):
    """Low- and high-pass filters with Q = 1 have 0 dB at the corner; shelves have half their gain there."""
    assert decibels(kind, 1000) == pytest.approx(centre, abs=0.1)
    for at, expected in ((1.0, low), (7999.0, high)):
        if expected == -60:
            assert decibels(kind, at) < -60
        else:
            assert decibels(kind, at) == pytest.approx(expected, abs=0.1)


def test_zero_gain_is_the_identity():
    wave = torch.randn(1, 500, generator=torch.Generator().manual_seed(0))
    for kind in ("peak", "low_shelf", "high_shelf"):
        assert torch.allclose(apply_biquad(wave, *one(kind, gain=0.0)), wave, atol=1e-5)


def test_random_filters_stay_in_range_and_differ_between_samples():
    wave = 0.9 * torch.sign(torch.randn(64, 2000, generator=torch.Generator().manual_seed(0)))
    made = apply_random_biquad(wave, RATE, torch.Generator().manual_seed(1))
    assert made.abs().max() <= 1
    assert made.isfinite().all()
    assert not torch.allclose(made[:1].expand(64, -1), made, atol=0.05)
    assert torch.equal(made, apply_random_biquad(wave, RATE, torch.Generator().manual_seed(1)))
    assert not torch.equal(made, apply_random_biquad(wave, RATE, torch.Generator().manual_seed(2)))


def test_an_unknown_kind_raises():
    with pytest.raises(ValueError, match="expected one of peak"):
        one("notch")
