"""Track: modes match their formula, onsets are exact between samples, noise starts at once."""

from fractions import Fraction

import numpy as np

from sonovid.core.geometry import Geometry
from sonovid.data.scenes.random_stream import RandomStream
from sonovid.data.scenes.setting import add_noise
from sonovid.data.scenes.track import Track

GEOMETRY = Geometry(8, Fraction(8), 16, 16, 16000)


def test_modes_are_damped_sines_from_their_exact_time():
    track = Track(GEOMETRY)
    time, frequencies, t60, gains = 0.12345, np.array([440.0, 1234.5]), np.array([0.4, 0.2]), np.array([0.5, 0.25])
    track.add_modes(time, frequencies, t60, gains)
    t = np.arange(16000) / 16000 - time
    wanted = sum(g * np.sin(2 * np.pi * f * t) * 10 ** (-3 * t / s) for f, s, g in zip(frequencies, t60, gains, strict=True))
    wanted = np.where(t >= 0, wanted, 0.0)
    assert np.abs(track.samples - wanted).max() < 2e-3  # what is cut off is 60 dB down
    early = t < 0.3
    assert np.abs(track.samples - wanted)[early].max() < 1e-9


def test_a_mode_above_half_the_rate_is_left_out():
    track = Track(GEOMETRY)
    track.add_modes(0.1, np.array([9000.0]), np.array([0.5]), np.array([1.0]))
    assert not track.samples.any()


def test_what_began_before_the_clip_still_sounds():
    early, late = Track(GEOMETRY), Track(GEOMETRY)
    for track, time in ((early, -0.25), (late, 0.25)):
        track.add_modes(time, np.array([300.0]), np.array([1.0]), np.array([1.0]))
    assert np.allclose(early.samples[:8000], late.samples[8000:])


def test_a_burst_lies_in_its_band_and_decays():
    track = Track(GEOMETRY)
    track.add_burst(0.0, RandomStream("a"), band=(2000, 4000), seconds=0.5, gain=1.0)
    power = np.abs(np.fft.rfft(track.samples[:4096])) ** 2
    frequency = np.fft.rfftfreq(4096, 1 / 16000)
    assert power[(frequency > 1500) & (frequency < 5500)].sum() > 0.85 * power.sum()
    assert (track.samples[:800] ** 2).mean() > 100 * (track.samples[4000:4800] ** 2).mean()


def test_hiss_has_its_loudness_whatever_its_band():
    for band in ((200, 700), (1500, 6000)):
        track = Track(GEOMETRY)
        add_noise(track, RandomStream("h"), band, 0.1)
        assert 0.05 < track.samples.std() < 0.15


def test_loud_sounds_are_bent_not_cut():
    track = Track(GEOMETRY)
    track.samples[:4] = (0.5, 0.9, 3.0, -3.0)
    wave = track.waveform()[0]
    assert wave[0] == 0.5
    assert 0.7 < wave[1] < 0.9 < wave[2] < 1
    assert wave[3] == -wave[2]
