"""Metrics of one stream: temporal flickering in closed form, and opinions of speech from the networks in speechmos."""

from fractions import Fraction

import numpy as np
import pytest

from sonovid import media
from sonovid.core.clip import Clip
from sonovid.metrics import catalogue
from sonovid.metrics.base import Sample, UnavailableError, UnusableClipError
from sonovid.metrics.evaluate import EvaluationConfig, evaluate
from sonovid.metrics.extractors.dnsmos import NAMES, Dnsmos
from sonovid.metrics.extractors.steadiness import Steadiness
from sonovid.metrics.quality import flickering
from sonovid.metrics.sets import open_set


def test_flickering_is_one_of_a_still_picture_and_falls_with_every_change():
    frames = np.full((5, 8, 8, 3), 100, np.uint8)
    still = Steadiness().prepare(Sample(Clip(frames, None)))
    assert flickering(still, {}) == 1
    frames[1::2, :4] = 151
    # 51 of 255 over half of the picture, from each frame to the next.
    blinking = Steadiness().prepare(Sample(Clip(frames, None)))
    assert flickering(blinking, {}) == pytest.approx(0.9)
    with pytest.raises(UnusableClipError, match="1 frames"):
        Steadiness().prepare(Sample(Clip(frames[:1], None)))


def test_what_is_of_one_stream_has_no_shuffled_floor(tmp_path):
    for i in range(3):
        frames = np.random.default_rng(i).integers(0, 40 * (i + 1), (6, 16, 16, 3), dtype=np.uint8)
        media.write(tmp_path / f"{i}.mkv", Clip(frames, None, Fraction(8)))
    found = evaluate(open_set(tmp_path), None, catalogue.select("temporal_flickering"), EvaluationConfig())
    result = found["temporal_flickering"]
    assert result.floor is None
    assert not result.shuffled
    assert list(result.clips.values()) == sorted(result.clips.values(), reverse=True)
    assert not any("shuffled" in line for line in result.warnings)


def test_without_the_library_one_line_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "speechmos", None)
    with pytest.raises(UnavailableError, match=r"pip install 'sonovid\[speech\]'"):
        Dnsmos().load(())


def test_opinions_are_of_speech_and_fall_with_noise():
    """Vowels of a made-up voice, and the same in noise that drowns it."""
    pytest.importorskip("speechmos")
    extractor = Dnsmos()
    extractor.load(())
    time = np.arange(32000) / 16000
    pitch = 120 + 20 * np.sin(2 * np.pi * 0.7 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / 16000
    voice = sum(np.sin(k * phase) / k * np.exp(-(((k * 120 - f) / 300) ** 2)) for k in range(1, 30) for f in (600, 1100, 2500))
    voice = (voice * (np.sin(2 * np.pi * 2 * time) > -0.5) * 0.2).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 0.2, len(voice)).astype(np.float32)
    clean, noisy = extractor.embed(
        [extractor.prepare(Sample(Clip(None, one[None], sample_rate=16000))) for one in (voice, voice + noise)]
    )
    assert set(clean) == set(NAMES)
    assert all(0.5 < float(one[0]) < 5.5 for one in clean.values())
    assert float(clean["bak"][0]) > float(noisy["bak"][0]) + 0.3
    with pytest.raises(UnusableClipError, match="samples"):
        extractor.prepare(Sample(Clip(None, voice[None, :100], sample_rate=16000)))
