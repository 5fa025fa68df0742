"""Kitchen: the knife, the lid and the tap are heard at their event times."""

from fractions import Fraction

import numpy as np
import pytest

from sonovid.core.geometry import Geometry
from sonovid.data.scenes import attributes, render
from sonovid.data.scenes.kitchen import lift_height, tap_flow
from sonovid.data.scenes.random_stream import RandomStream
from sonovid.data.scenes.setting import Setting

EVENTS = [(0.4, 0.9), (1.1, 0.6), (2.0, 1.0)]


def test_what_is_lifted_is_down_at_each_event_and_up_between():
    it = Setting("chopping", "carrot", 1.0, RandomStream("k"), EVENTS)
    at = lift_height(np.array([0.0, 0.4, 0.9, 1.1, 1.7]), it, 0.3, 0.2)
    assert at[[1, 3]] == pytest.approx(0, abs=1e-9)
    assert at[0] == pytest.approx(0.3)
    assert (at[[2, 4]] > 0.1).all()


def test_the_tap_opens_at_events_and_closes_between():
    it = Setting("tap", "silver", 1.0, RandomStream("k"), EVENTS)
    flow = tap_flow(np.array([0.39, 0.45, 1.05, 1.09, 1.2]), it)
    assert flow[[0, 2, 3]].tolist() == [0, 0, 0]
    assert flow[1] == 0.9
    assert flow[4] == 0.6


@pytest.mark.parametrize("kind", ["chopping", "clatter", "tap", "sizzling"])
def test_events_are_heard_when_they_happen(kind):
    seed = next(seed for seed in range(100) if attributes("kitchen", seed)["kind"] == kind)
    clip = render("kitchen", seed, Geometry(24, Fraction(8), 16, 16, 16000))
    assert clip.events
    for time in clip.events:
        first = int(np.ceil(time * 16000))
        if 400 < first < 47500:
            before, after = clip.waveform[0, first - 400 : first], clip.waveform[0, first : first + 400]
            assert (after**2).mean() > 1.2 * (before**2).mean()
