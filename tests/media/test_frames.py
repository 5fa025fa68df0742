"""Timelines and frame selection without a file."""

import gc
from fractions import Fraction

import numpy as np
import pytest
from av.video.frame import VideoFrame
from media_samples import make, numbered

from sonovid.media import frames, read
from sonovid.media.frames import build_timeline, frames_at, read_timeline, resize_and_crop, to_rgb


@pytest.mark.parametrize("rate", ["8", "24000/1001", "30000/1001", "60"])
def test_stamps_rounded_to_milliseconds_keep_their_rate(rate):
    rate = Fraction(rate)
    stamps = np.array([round(1000 * i / rate) for i in range(300)])
    timeline = build_timeline(stamps, round(1000 / rate), Fraction(1, 1000), [])
    assert timeline.constant
    assert timeline.rate == rate
    assert timeline.seconds == 300 / rate


def test_a_declared_rate_that_is_wrong_is_not_believed():
    timeline = build_timeline(np.arange(300) * 1001, 1001, Fraction(1, 30000), [Fraction(30), Fraction(24)])
    assert (timeline.rate, timeline.constant) == (Fraction(30000, 1001), True)


def test_hidden_pictures_are_not_counted():
    shown = np.arange(0, 1000, 40)
    timeline = build_timeline(np.sort(np.append(shown, [199, 599])), 40, Fraction(1, 1000), [])
    assert (timeline.rate, timeline.num_frames, timeline.constant) == (25, 25, True)


def test_one_picture_shown_for_an_hour():
    timeline = build_timeline(np.array([0]), 3600, Fraction(1), [])
    assert (timeline.seconds, timeline.rate) == (3600, Fraction(1, 3600))


def test_the_last_that_has_begun_is_on_screen():
    frames = [(Fraction(t, 10), VideoFrame(2, 2, "rgb24")) for t in (0, 3, 4)]
    times = [Fraction(t, 10) for t in (0, 1, 2, 3, 4, 9)]
    assert [frames.index(shown) for shown in frames_at(frames, times, Fraction(0))] == [0, 0, 0, 1, 2, 2]
    assert [frames.index(shown) for shown in frames_at(frames, [Fraction(29, 100)], Fraction(1, 100))] == [1]


def test_a_picture_that_fits_is_not_touched():
    picture = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    assert resize_and_crop(picture, (9, 7)) is picture


def test_pictures_do_not_pile_up_while_a_film_is_read(tmp_path):
    """In PyAV a frame whose side data was looked at refers to itself: it lives on until the garbage collector runs."""
    path = make(tmp_path / "a.mp4", frames=numbered(60), codec="libx264", matrix=[0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30])
    most = 0
    gc.collect()
    gc.disable()
    try:
        for start in range(3):
            assert read(path, start=0.5 * start, seconds=0.5).frames.shape == (12, 48, 32, 3)
            most = max(most, sum(type(thing) is VideoFrame for thing in gc.get_objects()))
    finally:
        gc.enable()
    assert most <= 2


def test_a_great_reduction_scales_first_and_gives_the_same_picture():
    rows, columns = np.mgrid[0:360, 0:640] / 40
    smooth = np.stack([np.sin(rows), np.cos(columns), np.sin(rows + columns)], 2) * 100 + 128
    noise = np.random.default_rng(0).normal(0, 20, smooth.shape)
    picture = np.clip(smooth + noise, 0, 255).astype(np.uint8)
    frame = VideoFrame.from_ndarray(picture, format="rgb24")
    shown = to_rgb(frame, None, (36, 36))
    assert shown.shape == (36, 36, 3)
    difference = np.abs(shown.astype(float) - resize_and_crop(picture, (36, 36)))
    assert (difference.mean() < 0.6, difference.max() < 4) == (True, True)
    tall = to_rgb(frame, None, (64, 36), np.array([[0, 1 << 16, 0], [-(1 << 16), 0, 0], [0, 0, 1 << 30]]))
    assert np.abs(tall.astype(float) - resize_and_crop(np.rot90(picture, -1), (64, 36))).mean() < 0.6


def test_a_file_is_walked_through_once_for_many_windows(tmp_path, monkeypatch):
    path = make(tmp_path / "a.mkv", frames=numbered(50))
    walks = []
    own = frames._read_timeline
    monkeypatch.setattr(frames, "_read_timeline", lambda given: walks.append(given) or own(given))
    for start in range(8):
        read(path, start=start / 5, seconds=0.2)
    assert len(walks) == 1
    make(path, frames=numbered(25), base=Fraction(1, 5))
    assert (read_timeline(path).rate, len(walks)) == (5, 2)  # A file that was written anew is not taken for the old one.
