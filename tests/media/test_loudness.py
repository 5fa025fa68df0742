"""Loudness by EBU R 128 of waveforms with known loudness, normalisation and mixing."""

import numpy as np
import pytest

from sonovid.media.loudness import apply_gain, convert_channels, duck_audio, measure_loudness, mix_audio, normalize_loudness


def tone(decibels: float, rate: int = 48000, seconds: float = 3.0, channels: int = 2, frequency: float = 997.0) -> np.ndarray:
    """A sine whose peak lies at so many decibels of full scale."""
    time = np.arange(round(rate * seconds)) / rate
    return np.repeat((10 ** (decibels / 20) * np.sin(2 * np.pi * frequency * time)).astype(np.float32)[None], channels, 0)


@pytest.mark.parametrize(("decibels", "channels", "lufs"), [(-23, 2, -23.0), (-33, 2, -33.0), (-23, 1, -26.0)])
@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_the_conformance_tones_of_ebu_tech_3341(decibels, channels, lufs, rate):
    """Stereo sines of 1 kHz at -23 and -33 dBFS measure -23 and -33 LUFS (Tech 3341, cases 1 and 2); one channel is 3 dB less."""
    found = measure_loudness(tone(decibels, rate, channels=channels), rate)
    assert abs(found.integrated - lufs) < 0.15
    assert abs(found.peak - decibels) < 0.2


@pytest.mark.parametrize("seconds", [0.02, 0.2, 0.5, 2.0])
@pytest.mark.parametrize("before", [-41.0, -12.0])
def test_a_sound_is_brought_to_a_loudness_however_short_it_is(seconds, before):
    made, found = normalize_loudness(tone(before, 16000, seconds), 16000, -23.0)
    assert abs(found - before) < 0.6
    assert abs(measure_loudness(made, 16000).integrated + 23) < 0.6
    assert made.shape == (2, round(16000 * seconds))


def test_a_sound_is_not_raised_until_it_clips():
    clicks = np.zeros((1, 48000), np.float32)
    clicks[0, ::6000] = 0.25
    made, _ = normalize_loudness(clicks, 48000, -5.0)
    assert abs(20 * np.log10(np.abs(made).max()) + 1) < 0.7
    assert measure_loudness(made, 48000).peak <= -0.95


@pytest.mark.parametrize("level", [0.0, 10 ** (-69 / 20), 10 ** (-123 / 20)])
def test_what_cannot_be_heard_is_left_and_told(level):
    noise = (level * np.random.default_rng(0).standard_normal((1, 3200))).astype(np.float32)
    made, found = normalize_loudness(noise, 16000, -23.0)
    assert found is None
    assert made is noise


def test_gain_stops_at_full_scale():
    assert np.abs(apply_gain(tone(-20), 6.0)).max() == pytest.approx(10 ** (-14 / 20), rel=1e-3)
    assert np.abs(apply_gain(tone(-20), 60.0)).max() == pytest.approx(10 ** (-1 / 20), rel=1e-3)
    assert np.abs(apply_gain(tone(-20), -6.0)).max() == pytest.approx(10 ** (-26 / 20), rel=1e-3)


def test_a_sound_is_lowered_while_another_is_heard_and_comes_back():
    rate = 16000
    own, made = tone(-20, rate, 4, 1), np.zeros((1, 4 * rate), np.float32)
    made[:, rate : rate + rate // 2] = tone(-10, rate, 0.5, 1, 440)
    out = duck_audio(own, made, rate, 12.0)
    level = 20 * np.log10(np.sqrt(np.square(out.reshape(40, -1)).mean(1)) / np.sqrt(np.square(own).mean()))
    np.testing.assert_allclose(level[:9], 0, atol=0.1)  # Before it,
    np.testing.assert_allclose(level[11:15], -12, atol=0.3)  # under it,
    np.testing.assert_allclose(level[22:], 0, atol=0.1)  # and half a second after it.
    assert np.array_equal(duck_audio(own, np.zeros_like(made), rate, 12.0), own)


def test_two_sounds_are_mixed_and_do_not_clip():
    own, made = tone(-6, 16000, 1, 2), tone(-12, 16000, 2, 1, 440)
    out = mix_audio(own, made, 16000)
    assert out.shape == (2, 32000)
    np.testing.assert_allclose(out[:, :16000], own + made[:, :16000], atol=1e-6)
    np.testing.assert_allclose(out[:, 16000:], np.repeat(made[:, 16000:], 2, 0), atol=1e-6)
    loud = mix_audio(tone(-1, 16000, 1), tone(-1, 16000, 1), 16000)
    assert np.abs(loud).max() == pytest.approx(10 ** (-1 / 20), rel=1e-4)
    surround = mix_audio(np.zeros((6, 100), np.float32), np.full((1, 100), 0.5, np.float32), 16000)
    assert surround[:, 0].tolist() == [0.5, 0.5, 0, 0, 0, 0]


def test_channels():
    one, two = tone(-20, channels=1), np.stack([np.full(10, 0.5), np.full(10, -0.1)]).astype(np.float32)
    assert np.array_equal(convert_channels(one, 2)[0], convert_channels(one, 2)[1])
    np.testing.assert_allclose(convert_channels(two, 1), 0.2)
    assert convert_channels(two, 2) is two
