"""DriftReport: statistics of windows, their distances, and where a video drifts."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.pipelines.continuation.drift import (
    DEFAULT_THRESHOLDS,
    DriftReport,
    calibrate_thresholds,
    centroid,
    measure_window,
    window_distances,
)

OWN = Geometry(8, Fraction(8), 16, 16, 8000)


def window(level=0.2, hertz=500.0, red=0.4, num_frames=8, seed=0):
    """A flickering square on a reddish ground, with a tone."""
    rng = np.random.default_rng(seed)
    frames = np.full((num_frames, 16, 16, 3), 0.3)
    frames[..., 0] = red
    frames[::2, 4:8, 4:8] += 0.3
    n = num_frames * 1000
    sound = level * np.sin(2 * np.pi * hertz * np.arange(n) / 8000) + 1e-4 * rng.normal(size=n)
    return Clip((frames * 255).astype(np.uint8), sound[None].astype(np.float32), fps=Fraction(8), sample_rate=8000)


def test_window_statistics():
    found = measure_window(window(), 3.0)
    assert found.begin == 3.0
    assert found.loudness == pytest.approx(20 * np.log10(0.2 / 2**0.5), abs=0.1)
    assert found.centroid == pytest.approx(500, rel=0.1)
    assert (found.red - found.green, found.saturation) == (pytest.approx(0.1, abs=0.01), pytest.approx(0.1, abs=0.01))
    assert found.motion == pytest.approx(0.3 / 16, rel=0.05)
    assert found.detail > 0
    silent = measure_window(replace(window(), waveform=np.zeros((1, 8000), np.float32)))
    assert (silent.loudness, silent.centroid, silent.onsets) == (-60, None, 0)
    assert window_distances(found, silent)["centroid"] is None


def test_alignment_of_clicks_and_flashes():
    frames, sound = np.zeros((32, 16, 16, 3), np.uint8), np.zeros((1, 32000), np.float32)
    for frame in (6, 14, 24):
        frames[frame:, :, :] = 255 - frames[frame - 1, 0, 0, 0]
        sound[0, frame * 1000 - 500 : frame * 1000 - 400] = 0.5
    clip = Clip(frames, sound, fps=Fraction(8), sample_rate=8000)
    assert measure_window(clip).alignment == 1
    late = replace(clip, waveform=np.roll(sound, 3000))
    assert measure_window(late).alignment < 0.5


def test_the_centroid_is_weighted_by_power():
    tone = np.sin(2 * np.pi * 1000 * np.arange(8192) / 8000)
    assert centroid(tone, 8000) == pytest.approx(1000, rel=0.02)
    assert centroid(np.concatenate([tone, 1e-3 * np.random.default_rng(0).normal(size=8192)]), 8000) == pytest.approx(
        1000, rel=0.02
    )


def test_chunks_of_any_length_are_split_into_windows():
    clip = window(num_frames=40)
    report, whole = DriftReport(OWN), DriftReport(OWN)
    for first, last in ((0, 3), (3, 21), (21, 22), (22, 40)):
        report.add(replace(clip, frames=clip.frames[first:last], waveform=clip.waveform[:, first * 1000 : last * 1000]))
    whole.add(clip)
    assert report.windows == whole.windows
    assert [one.begin for one in report.windows] == [0, 1, 2, 3, 4]
    assert report.verdict() == "no drift in 5 windows"
    assert len(report._frames) == 0


def test_drift_is_reported_from_the_window_where_it_begins():
    report = DriftReport(OWN, DEFAULT_THRESHOLDS)
    for index in range(8):
        report.add(window(level=0.01 * (20 if index >= 6 else 1), red=0.4 + (0.02 * max(0, index - 2))))
    # One window far and back again is no drift.
    assert report.drift_onsets()["colour"] == 3
    assert report.drift_onsets()["loudness"] == 6
    assert report.drift_onsets()["centroid"] is None
    assert report.verdict().startswith("drifts after window 3 of 8: colour after 3")
    once = DriftReport(OWN, DEFAULT_THRESHOLDS)
    for index in range(6):
        once.add(window(red=0.6 if index == 3 else 0.4))
    assert once.drift_onsets()["colour"] is None
    assert once.exceeded()[3] == ["colour", "saturation"]
    assert once.verdict() == "no drift in 6 windows; 1 of them exceeded a threshold, but not to the end"
    config = json.loads(json.dumps(report.to_config()))
    assert len(config["windows"]) == 8
    assert config["windows"][7]["far"] == ["loudness", "colour", "saturation"]
    assert len(report.table().splitlines()) == 10


def test_thresholds_are_calibrated_on_real_clips():
    clips = []
    for red in (0.3, 0.5):
        parts = [window(red=red), window(red=red + 0.1), window(red=red + 0.1, level=0.1)]
        clips.append(
            Clip(
                np.concatenate([part.frames for part in parts]),
                np.concatenate([part.waveform for part in parts], axis=1),
                fps=Fraction(8),
                sample_rate=8000,
            )
        )
    allowed = calibrate_thresholds(clips, OWN, share=1.0)
    assert allowed["colour"] == pytest.approx(0.1, abs=0.01)
    assert allowed["loudness"] == pytest.approx(6.02, abs=0.1)
    with pytest.raises(ValueError, match="no clip of two windows"):
        calibrate_thresholds([window()], OWN)
