from fractions import Fraction

import numpy as np
import pytest

from sonovid.calibration.degradations import DEGRADATIONS, scene
from sonovid.metrics.alignment import motion_energy, sound_onsets

BY_NAME = {one.name: one for one in DEGRADATIONS}


@pytest.fixture(scope="module")
def hits():
    return scene("hits", 3, seconds=Fraction(2), fps=Fraction(8), size=16)


def degraded(one, name, degree):
    return BY_NAME[name].apply(one, degree, np.random.Generator(np.random.PCG64(0)))


def test_the_clip_lies_a_second_inside_the_scene(hits):
    clip = hits.clip
    assert clip.frames.shape == (16, 16, 16, 3)
    assert clip.waveform.shape == (1, 32000)
    np.testing.assert_array_equal(clip.frames, hits.whole.frames[8:24])
    assert clip.events
    assert all(0 <= t < 2 for t in clip.events)
    onsets = sound_onsets(clip.waveform[0], 16000)
    assert all(np.abs(onsets - t).min() < 0.03 for t in clip.events if 0.05 < t < 1.95)


@pytest.mark.parametrize("late", [-320, -40, 160, 320])
def test_a_late_sound_is_later_and_whole(hits, late):
    clip = degraded(hits, "shift", late)
    steps = 16 * abs(late)
    earlier, later = (hits.clip, clip) if late > 0 else (clip, hits.clip)
    np.testing.assert_array_equal(later.waveform[:, steps:], earlier.waveform[:, :-steps])
    np.testing.assert_array_equal(clip.frames, hits.clip.frames)
    # What moves in at the end is the scene's own sound, not silence that is filled in.
    begin = 16000 - 16 * late
    np.testing.assert_array_equal(clip.waveform, hits.whole.waveform[:, begin : begin + 32000])


def test_moving_too_far_is_refused(hits):
    with pytest.raises(ValueError, match=r"shift the audio by -0.9 s; expected from -0.4 to 1"):
        hits.shifted(-0.9)


def test_noise_is_as_far_below_the_sound_as_said(hits):
    clean = hits.clip.waveform.astype(float)
    noise = degraded(hits, "noise", 20).waveform - clean
    assert 10 * np.log10((clean**2).mean() / (noise**2).mean()) == pytest.approx(20, abs=0.5)


def test_silenced_events_are_silent_and_others_are_not(hits):
    clip = degraded(hits, "events", 1.0)
    for t in hits.clip.events:
        begin = int(t * 16000)
        assert np.abs(clip.waveform[0, begin : begin + 3000]).max() < 1e-3
    some = degraded(hits, "events", 0.25)
    assert np.abs(clip.waveform).sum() < np.abs(some.waveform).sum() <= np.abs(hits.clip.waveform).sum()


def test_blur_and_stillness(hits):
    sharp, blurred = (np.abs(np.diff(c.frames.astype(float), axis=2)).mean() for c in (hits.clip, degraded(hits, "blur", 4)))
    assert blurred < 0.7 * sharp
    still = degraded(hits, "freeze", 0.5)
    assert not motion_energy(still.frames)[8:].any()
    np.testing.assert_array_equal(still.frames[:8], hits.clip.frames[:8])
    assert not motion_energy(degraded(hits, "freeze", 1.0).frames).any()


def test_a_codec_loses_more_at_a_higher_factor(hits):
    errors = []
    for factor in (18, 48):
        clip = degraded(hits, "codec", factor)
        assert clip.frames.shape == hits.clip.frames.shape
        assert clip.waveform.shape == hits.clip.waveform.shape
        errors.append(np.abs(clip.frames.astype(float) - hits.clip.frames).mean())
    assert 0 < errors[0] < errors[1]


def test_degrees_become_worse():
    for one in DEGRADATIONS:
        severity = [one.severity(degree) for degree in one.degrees]
        if one.name == "shift":
            assert severity == [320, 160, 80, 40, 40, 80, 160, 320]
        else:
            assert severity == sorted(severity)


def test_rates_without_whole_frames_are_refused():
    with pytest.raises(ValueError, match="expected an integer"):
        scene("hits", 0, seconds=Fraction(2), fps=Fraction(30000, 1001), size=16)
