"""Bounces: balls obey gravity, reverse at their contacts, and are heard there."""

from fractions import Fraction

import numpy as np
import pytest

from sonovid.core.geometry import Geometry
from sonovid.data.scenes import bounces, render

GEOMETRY = Geometry(16, Fraction(8), 16, 16, 16000)


def jump(wave: np.ndarray, time: float, rate: int = 16000) -> float:
    first, span = int(np.ceil(time * rate)), rate // 500
    fine = np.abs(np.diff(wave, 2, prepend=[0, 0]))
    return float((fine[first : first + span].max() + 1e-6) / (fine[max(0, first - span) : first].max(initial=0) + 1e-4))


@pytest.mark.parametrize("seed", range(8))
def test_each_contact_is_heard_within_two_milliseconds(seed):
    clip = render("bounces", seed, GEOMETRY)
    late = -1.0
    for time in clip.events:
        # Two balls may land almost together; the second is then masked by the first.
        if time < 1.99 and time - late > 0.06:
            assert jump(clip.waveform[0], time) > 1.5
        late = time


@pytest.mark.parametrize("seed", range(6))
def test_the_ball_falls_before_and_rises_after_each_contact(seed):
    for flight in bounces.draw_flights(seed, 0, 3.0):
        for time in flight.times:
            _, height, here = bounces.ball_position(flight, time + np.array([-0.02, -0.01, 0.0, 0.01, 0.02]))
            assert here.all()
            assert height[0] > height[1] > height[2] == pytest.approx(0, abs=1e-9)
            assert height[4] > height[3] > height[2]


@pytest.mark.parametrize("seed", range(10))
def test_in_the_air_the_ball_is_ballistic(seed):
    flight = bounces.draw_flights(seed, 0, 1.0)[0]
    begin, end = flight.times[0], flight.times[1]
    t = np.linspace(begin + 1e-3, end - 1e-3, 9)
    _, height, _ = bounces.ball_position(flight, t)
    assert np.allclose(np.diff(height, 2) / (t[1] - t[0]) ** 2, -flight.gravity)
    # What it keeps of its speed is what the materials leave it.
    up = flight.gravity * (end - begin) / 2
    assert up / flight.speeds[0] == pytest.approx(bounces.draw_scene(seed).restitution)


@pytest.mark.parametrize("seed", range(12))
def test_contacts_keep_coming_in_long_clips(seed):
    times = np.array([time for time, _, _ in bounces.find_contacts(seed, 12.0)])
    for start in range(0, 11, 2):
        assert 1 <= ((times >= start) & (times < start + 2)).sum() <= 14
    assert ((times >= 0) & (times < 2)).sum() >= 2


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_picture_shows_the_ball_where_it_is(seed):
    it = bounces.draw_scene(seed)
    assert it.balls == 1
    geometry = Geometry(12, Fraction(12), 64, 64, 1000)
    frames = render("bounces", seed, geometry).frames.astype(float)
    flight = bounces.draw_flights(seed, 0, 1.0)[0]
    t = np.arange(12) / 12
    x, height, here = bounces.ball_position(flight, t)
    wall = frames[:, : int(64 * (0.5 + bounces.FLOOR)) - 1]
    # The wall has one colour along each row, and the ball is away from its left edge.
    changed = np.abs(wall - wall[:, :, :1]).sum(-1) > 30
    high = here & (t < flight.settle) & (height > 0.2) & (height < 0.6)
    assert high.any()
    for k in np.flatnonzero(high):
        rows, columns = np.nonzero(changed[k])
        assert columns.mean() / 64 - 0.5 == pytest.approx(x[k], abs=0.03)
        assert rows.mean() / 64 - 0.5 == pytest.approx(bounces.FLOOR + 0.06 - height[k] - it.radius, abs=0.03)
