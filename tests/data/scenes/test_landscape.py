"""Landscape: video and audio follow the same curves and events."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from sonovid.core.geometry import Geometry
from sonovid.data.scenes import attributes, render
from sonovid.data.scenes.fires import thunder_delay
from sonovid.data.scenes.random_stream import RandomStream
from sonovid.data.scenes.setting import Setting

GEOMETRY = Geometry(32, Fraction(8), 24, 24, 16000)


def first_of(kind: str) -> int:
    return next(seed for seed in range(200) if attributes("landscape", seed)["kind"] == kind)


def loudness(clip, time: float, span: float = 0.1) -> float:
    first, n = int(time * 16000), int(span * 16000)
    return float((clip.waveform[0, first : first + n] ** 2).mean())


@pytest.mark.parametrize("kind", ["explosion", "squishing water", "underwater bubbles", "fire crackling"])
def test_events_are_heard_when_they_happen(kind):
    clip = render("landscape", first_of(kind), GEOMETRY)
    assert clip.label == kind
    span = 0.02
    for time in clip.events:
        if 0.1 < time < 3.9 and all(not 0 < time - other < 0.3 for other in clip.events):
            assert loudness(clip, time, span) > 1.5 * loudness(clip, time - span, span)


def test_lightning_is_seen_and_its_thunder_heard_later():
    seed = first_of("thunder")
    clip = render("landscape", seed, replace(GEOMETRY, num_frames=120, fps=Fraction(30)))
    light = clip.frames.astype(float).mean((1, 2, 3))
    flash = clip.events[0]
    frame = int(np.ceil(flash * 30))
    assert light[frame] > light[frame - 1] + 8
    thunder = clip.events[1]
    assert 0.1 < thunder - flash < 0.7
    assert loudness(clip, thunder) > 20 * loudness(clip, thunder - 0.1)


def test_the_delay_belongs_to_the_storm():
    storms = [Setting("thunder", "night", 1.0, RandomStream("s", k)) for k in range(9)]
    delays = [thunder_delay(it) for it in storms]
    assert min(delays) > 0.1
    assert max(delays) < 0.65
    assert len(set(delays)) == 9


@pytest.mark.parametrize("kind", ["rain", "wind", "waterfall"])
def test_stronger_is_louder(kind):
    clip = render("landscape", first_of(kind), replace(GEOMETRY, num_frames=64))
    envelope = np.sqrt((clip.waveform[0].reshape(64, 2000) ** 2).mean(1))
    assert envelope.max() > 1.5 * envelope.min()


def test_intensity_stays_in_its_range_and_varies():
    it = Setting("rain", "day", 0.8, RandomStream("x"))
    level = it.intensity(np.linspace(0, 60, 2000))
    assert 0.8 * 0.15 <= level.min() < 0.3
    assert 0.6 < level.max() <= 0.8
