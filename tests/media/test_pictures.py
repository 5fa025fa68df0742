"""Time stamps alone, without a file."""

from fractions import Fraction

import numpy as np
import pytest
from av.video.frame import VideoFrame

from sonovid.media.pictures import fitted, on_screen, timeline


@pytest.mark.parametrize("rate", ["8", "24000/1001", "30000/1001", "60"])
def test_stamps_rounded_to_milliseconds_keep_their_rate(rate):
    rate = Fraction(rate)
    stamps = np.array([round(1000 * i / rate) for i in range(300)])
    line = timeline(stamps, round(1000 / rate), Fraction(1, 1000), [])
    assert line.constant
    assert line.rate == rate
    assert line.seconds == 300 / rate


def test_a_declared_rate_that_is_wrong_is_not_believed():
    line = timeline(np.arange(300) * 1001, 1001, Fraction(1, 30000), [Fraction(30), Fraction(24)])
    assert (line.rate, line.constant) == (Fraction(30000, 1001), True)


def test_hidden_pictures_are_not_counted():
    shown = np.arange(0, 1000, 40)
    line = timeline(np.sort(np.append(shown, [199, 599])), 40, Fraction(1, 1000), [])
    assert (line.rate, line.num_frames, line.constant) == (25, 25, True)


def test_one_picture_shown_for_an_hour():
    line = timeline(np.array([0]), 3600, Fraction(1), [])
    assert (line.seconds, line.rate) == (3600, Fraction(1, 3600))


def test_the_last_that_has_begun_is_on_screen():
    frames = [(Fraction(t, 10), VideoFrame(2, 2, "rgb24")) for t in (0, 3, 4)]
    times = [Fraction(t, 10) for t in (0, 1, 2, 3, 4, 9)]
    assert [frames.index(shown) for shown in on_screen(frames, times, Fraction(0))] == [0, 0, 0, 1, 2, 2]
    assert [frames.index(shown) for shown in on_screen(frames, [Fraction(29, 100)], Fraction(1, 100))] == [1]


def test_a_picture_that_fits_is_not_touched():
    picture = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    assert fitted(picture, (9, 7)) is picture
