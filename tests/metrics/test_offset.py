import math
from fractions import Fraction

import numpy as np
import pytest

from sonovid.core.geometry import Geometry
from sonovid.data import scenes
from sonovid.metrics.alignment import onset_strength
from sonovid.metrics.extractors.peaks import flow_curves
from sonovid.metrics.offset import STEP, audio_curve, correlation, offset, time_grid, video_curve


def curve(seed, count=400, blur=4):
    generator = np.random.Generator(np.random.PCG64(seed))
    spikes = np.where(generator.random(count) < 0.02, generator.random(count), 0.0)
    return np.convolve(spikes, np.hanning(2 * blur + 3), "same")


def test_correlation_is_that_of_every_overlap_by_hand():
    audio, video = curve(0, 60), curve(1, 60)
    lags, values = correlation(audio, video, reach=0.1)
    assert lags[0] == -0.1
    for lag, value in zip(np.round(lags / STEP).astype(int), values, strict=True):
        a, b = audio[max(lag, 0) : 60 + min(lag, 0)], video[max(-lag, 0) : 60 + min(-lag, 0)]
        expected = np.corrcoef(a, b)[0, 1] if np.ptp(a) and np.ptp(b) else 0.0
        assert value == pytest.approx(expected * np.sqrt(len(a) / 60), abs=1e-9)


@pytest.mark.parametrize("shift", [-120, -17, 0, 3, 150])
def test_a_curve_that_is_shifted_is_found_shifted(shift):
    video = curve(2, 600)
    found = offset(np.roll(video, shift) + 5, 3 * video)
    assert found.seconds == pytest.approx(shift * STEP, abs=0.002)
    assert found.confidence > 0.5


def test_late_sound_is_positive():
    times = np.arange(0, 4, 0.04)
    video = video_curve(np.where(np.isin(np.arange(100), [20, 50, 61]), 1.0, 0.0), times, 4.0)
    late = audio_curve(np.where(np.isin(np.arange(800), [180, 420, 508]), 1.0, 0.0), time_grid(4.0), 4.0, 25.0)
    assert offset(late, video).seconds == pytest.approx(0.1, abs=0.005)


def test_steps_are_divided():
    grid = time_grid(3.0)

    def bumps(delay):
        return sum(np.exp(-(((grid - t - delay) / 0.02) ** 2)) for t in (0.5, 0.9, 1.7, 2.2))

    assert offset(bumps(0.0523), bumps(0.0)).seconds == pytest.approx(0.0523, abs=2e-4)


def test_what_does_not_belong_together_has_little_confidence():
    related = [offset(np.roll(curve(i), 20), curve(i)).confidence for i in range(20)]
    strange = [offset(curve(i + 100), curve(i)).confidence for i in range(20)]
    assert np.mean(strange) < 0.2 < 0.6 < np.mean(related)


def test_nothing_happens_nothing_is_found():
    for audio, video in [(np.zeros(400), curve(0)), (curve(0), np.zeros(400)), (np.ones(2), np.ones(2))]:
        found = offset(audio, video)
        assert math.isnan(found.seconds)
        assert found.confidence == 0


def test_reach_bounds_the_offset():
    video = curve(3, 1200)
    assert abs(offset(np.roll(video, 150), video, reach=0.5).seconds) <= 0.5 + STEP
    assert offset(np.roll(video, 150), video, reach=0.8).seconds == pytest.approx(0.75, abs=0.005)


def test_a_rendered_scene_whose_sound_is_moved():
    geometry = Geometry(75, Fraction(25), 64, 64, 16000)
    clip = scenes.render("hits", 11, geometry)
    impacts = flow_curves(clip.frames).impacts
    times, strength = onset_strength(clip.waveform[0], 16000)
    video = video_curve(impacts, np.arange(75) / 25, 3.0)
    for late in (-0.16, 0.0, 0.16):
        found = offset(audio_curve(strength, times + late, 3.0, 25.0), video)
        assert found.seconds == pytest.approx(late, abs=0.08)
        assert found.confidence > 0.2
