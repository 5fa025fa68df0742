"""Hits: every blow is heard and seen at its time; stronger blows are louder and brighter."""

from fractions import Fraction

import numpy as np
import pytest

from sonovid.core.geometry import Geometry
from sonovid.data.scenes import hits, render

GEOMETRY = Geometry(16, Fraction(8), 16, 16, 16000)


def jump(wave: np.ndarray, time: float, rate: int = 16000) -> float:
    """How many times stronger the differences of the sound (its high frequencies) are in the 2 ms after than before `time`."""
    first, span = int(np.ceil(time * rate)), rate // 500
    fine = np.abs(np.diff(wave, 2, prepend=[0, 0]))
    return float((fine[first : first + span].max() + 1e-6) / (fine[max(0, first - span) : first].max(initial=0) + 1e-4))


@pytest.mark.parametrize("seed", range(8))
def test_each_blow_is_heard_within_two_milliseconds(seed):
    clip = render("hits", seed, GEOMETRY)
    for time in clip.events:
        if time < 1.99:
            assert jump(clip.waveform[0], time) > 4


@pytest.mark.parametrize("seed", range(8))
def test_nothing_sounds_before_the_first_blow(seed):
    clip = render("hits", seed, GEOMETRY)
    assert not clip.waveform[0, : int(clip.events[0] * 16000)].any()


def test_blows_are_apart_and_at_most_four_in_two_seconds():
    for seed in range(20):
        times = np.array([time for time, _ in hits.draw_blows(seed, 8.0)])
        assert np.diff(times).min() >= 0.25
        assert all(((times >= start) & (times < start + 1.999)).sum() <= 4 for start in times)
        assert 0 < times[0] < 1


@pytest.mark.parametrize("seed", range(12))
def test_the_stick_is_down_at_each_blow_and_up_between(seed):
    times = np.array([time for time, _ in hits.draw_blows(seed, 4.0)])
    made = hits.draw_blows(seed, 4.0)
    assert np.allclose(hits.stick_height(times, made), 0, atol=1e-9)
    assert (hits.stick_height((times[1:] + times[:-1]) / 2, made) > 0.1).all()


def test_a_stick_swung_higher_hits_harder():
    light, hard = [(1.0, 0.3)], [(1.0, 0.9)]
    before = np.array([0.5])
    assert hits.stick_height(before, hard)[0] > 2 * hits.stick_height(before, light)[0]


def test_the_caption_counts_what_happens():
    counted = {1: ("once", "one time"), 2: ("twice", "two times"), 3: ("three times",), 4: ("four times",)}
    said = 0
    for seed in range(12):
        clip = render("hits", seed, Geometry(16, Fraction(8), 16, 16, 500))
        for number, words in counted.items():
            if any(word in clip.caption for word in words):
                said += 1
                assert number == len(clip.events)
    assert said > 3
