import itertools

import numpy as np
import pytest

from sonovid.metrics.alignment import agreement, count_matches, motion_energy, peaks, sound_onsets

RATE = 16000


def bursts(times, seconds=2.0, decay=0.05):
    """Decaying noise that sets in at the given times."""
    generator = np.random.Generator(np.random.PCG64(0))
    wave = np.zeros(int(seconds * RATE))
    for time in times:
        first = round(time * RATE)
        rest = np.arange(len(wave) - first) / RATE
        wave[first:] += 0.5 * np.exp(-rest / decay) * generator.standard_normal(len(rest)) * 0.3
    return wave


def brute_force(found, true, tolerance):
    best = 0
    for size in range(min(len(found), len(true)) + 1):
        for chosen in itertools.combinations(found, size):
            for partners in itertools.permutations(true, size):
                if all(abs(a - b) <= tolerance + 1e-9 for a, b in zip(chosen, partners, strict=True)):
                    best = max(best, size)
    return best


def test_matching_is_the_largest_one_to_one_matching():
    generator = np.random.Generator(np.random.PCG64(1))
    for _ in range(200):
        found, true = (np.round(generator.random(generator.integers(0, 5)), 2).tolist() for _ in range(2))
        assert count_matches(found, true, 0.12) == brute_force(found, true, 0.12), (found, true)


def test_onsets_are_found_where_they_were_put():
    times = [0.21, 0.5, 0.97, 1.6]
    found = sound_onsets(bursts(times), RATE)
    assert len(found) == len(times)
    np.testing.assert_allclose(found, times, atol=0.012)


@pytest.mark.parametrize("gain", [1.0, 0.05])
def test_neither_silence_nor_a_steady_sound_has_onsets(gain):
    assert len(sound_onsets(np.zeros(RATE), RATE)) == 0
    steady = gain * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)
    inner = sound_onsets(steady, RATE)
    assert not [t for t in inner if 0.1 < t < 1.9]


def test_a_sound_shorter_than_the_window_has_none():
    assert len(sound_onsets(np.ones(10), RATE)) == 0


def test_peaks_keep_their_distance():
    times = np.arange(100) / 100
    strength = np.zeros(100)
    strength[[20, 22, 60]] = [1.0, 0.8, 0.5]
    np.testing.assert_allclose(peaks(times, strength, apart=0.05, threshold=0.1), [0.2, 0.6])
    np.testing.assert_allclose(peaks(times, strength, apart=0.01, threshold=0.1), [0.2, 0.22, 0.6])


def test_motion_is_where_pictures_change():
    frames = np.zeros((5, 8, 8, 3), np.uint8)
    frames[3:] = 255
    np.testing.assert_allclose(motion_energy(frames), [0, 0, 0, 1, 0])


def test_agreement_counts_over_all_clips():
    result = agreement([([0.1, 0.5], [0.15]), ([], [1.0])], tolerance=0.1)
    assert (result.matched, result.found, result.true) == (1, 2, 2)
    assert result.precision == result.recall == result.f1 == 0.5
    assert agreement([([], [])]).f1 == 0
