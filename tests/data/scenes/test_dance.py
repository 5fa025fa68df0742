"""Dance: beats follow the tempo, and the dancer rests on them and moves between them."""

from fractions import Fraction

import numpy as np
import pytest

from sonovid.core.geometry import Geometry
from sonovid.data.scenes import dance, render
from sonovid.data.scenes.music import add_kick
from sonovid.data.scenes.track import Track


@pytest.mark.parametrize("seed", range(10))
def test_beats_are_even_and_within_the_tempi_of_dances(seed):
    clip = render("dance", seed, Geometry(16, Fraction(4), 16, 16, 4000))
    song = dance.draw_scene(seed).song
    assert 80 <= song.bpm <= 140
    assert np.allclose(np.diff(clip.events), 60 / song.bpm)
    assert len(clip.events) in (int(4 / song.beat), int(4 / song.beat) + 1)
    assert dance.tempo_word(dance.draw_scene(seed)) in clip.caption


@pytest.mark.parametrize("seed", range(10))
def test_the_dancer_rests_on_the_beat_and_moves_between(seed):
    it = dance.draw_scene(seed)
    beats = np.array(it.song.beats(6.0))[1:]

    def speed(t):
        return np.abs(dance.pose_at(it, t + 1e-4) - dance.pose_at(it, t - 1e-4))[:, 2:].sum(1)

    assert (speed(beats) < 0.02 * speed(beats + 0.57 * it.song.beat)).all()


@pytest.mark.parametrize("seed", range(6))
def test_limbs_keep_their_length(seed):
    it = dance.draw_scene(seed)
    hip, foot = (np.linspace(-0.1, 0.1, 9), np.full(9, 0.1)), (np.linspace(0.15, -0.1, 9), np.full(9, 0.4))
    x, y = dance.knee_position(hip, foot, 0.175, 1 if it.long_hair else -1)
    assert np.allclose(np.hypot(x - hip[0], y - hip[1]), np.hypot(x - foot[0], y - foot[1]))


def test_the_kick_sounds_low_and_at_once():
    track = Track(Geometry(4, Fraction(4), 16, 16, 16000))
    add_kick(track, 0.25, 0.5)
    assert not track.samples[:4000].any()
    power = np.abs(np.fft.rfft(track.samples)) ** 2
    assert power[:200].sum() > 0.9 * power.sum()


@pytest.mark.parametrize("seed", range(6))
def test_most_beats_are_heard(seed):
    clip = render("dance", seed, Geometry(32, Fraction(8), 16, 16, 16000))
    fine = np.abs(np.diff(clip.waveform[0], prepend=0))
    heard = 0
    for time in clip.events:
        first = int(np.ceil(time * 16000))
        heard += fine[first : first + 80].max(initial=0) > 1.5 * fine[max(0, first - 80) : first].max(initial=0)
    assert heard >= 0.45 * len(clip.events)
