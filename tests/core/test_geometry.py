from fractions import Fraction

import pytest

from sonovid.core.geometry import Geometry, as_rate, count, duration


@pytest.mark.parametrize(
    ("given", "exact"),
    [
        (25, Fraction(25)),
        (29.97, Fraction(30000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        (23.976, Fraction(24000, 1001)),
        ("24000/1001", Fraction(24000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (12.5, Fraction(25, 2)),
        (30, Fraction(30)),
        (Fraction(17), Fraction(17)),
    ],
)
def test_rates_are_exact(given, exact):
    assert as_rate(given) == exact


@pytest.mark.parametrize("wrong", [0, -25, "fast", "1/0"])
def test_invalid_rates_are_refused(wrong):
    with pytest.raises(ValueError, match="above zero"):
        as_rate(wrong)


def test_an_hour_at_a_broadcast_rate_does_not_drift():
    """30 where 29.97 is meant would be 108 frames, 3.6 s, off."""
    assert count(3600, as_rate(29.97)) == 107892
    assert abs(duration(107892, as_rate(29.97)) - 3600) < Fraction(1, 100)


def test_count_and_duration_are_inverse():
    for rate in (Fraction(8), Fraction(30000, 1001), Fraction(16000)):
        for n in (0, 1, 17, 1000):
            assert count(duration(n, rate), rate) == n


def test_a_geometry_has_a_duration_and_survives_json():
    geometry = Geometry(120, as_rate(29.97), 48, 64, 48000)
    assert geometry.seconds == Fraction(1001, 250)
    assert geometry.num_samples == 192192
    assert Geometry.from_config(geometry.to_config()) == geometry


def test_with_duration_rounds_to_whole_frames_and_keeps_one():
    geometry = Geometry(16, Fraction(8), 64, 64, 16000)
    assert geometry.with_duration(1.5).num_frames == 12
    assert geometry.with_duration(0.001).num_frames == 1


def test_zero_sizes_are_refused():
    with pytest.raises(ValueError, match="height=0"):
        Geometry(16, Fraction(8), 0, 64, 16000)
