from fractions import Fraction

import numpy as np
import pytest

from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.data.scenes import render
from sonovid.metrics.base import ClipScore, Distance, Sample
from sonovid.metrics.scenes import METRICS, lateness

BY_NAME = {metric.name: metric for metric in METRICS}
SEED = 72_000_000


@pytest.fixture(scope="module")
def extractors():
    made = {kind: kind() for metric in METRICS for kind in metric.extractors}
    for extractor in made.values():
        extractor.load([])
    return made


@pytest.fixture(scope="module")
def scenes():
    geometry = Geometry(16, Fraction(8), 64, 64, 16000)
    return {world: [render(world, SEED + i, geometry) for i in range(20)] for world in ("bounces", "kitchen")}


@pytest.fixture(scope="module")
def features(extractors, scenes):
    """Rows by extractor: a reference, more of its world, as many of another, and the second with more and more noise."""
    rng = np.random.default_rng(0)

    def noisy(clip, amount):
        frames = np.clip(clip.frames + 255 * amount * rng.standard_normal(clip.frames.shape), 0, 255).astype(np.uint8)
        sound = np.clip(clip.waveform + amount * rng.standard_normal(clip.waveform.shape), -1, 1).astype(np.float32)
        return Clip(frames, sound, clip.fps, clip.sample_rate)

    same = scenes["bounces"][10:]
    sets = {"reference": scenes["bounces"][:10], "same": same, "other": scenes["kitchen"][:10]}
    sets |= {f"noise {amount}": [noisy(clip, amount) for clip in same] for amount in (0.1, 0.3)}
    return {kind: {name: rows(extractor, clips) for name, clips in sets.items()} for kind, extractor in extractors.items()}


def rows(extractor, clips):
    return np.concatenate([r["features"] for r in extractor.embed([extractor.prepare(Sample(c)) for c in clips])])


def test_names_and_kinds():
    assert set(BY_NAME) == {"fvd_scenes", "kvd_scenes", "fad_scenes", "kad_scenes", "sync_scenes", "offset_scenes"}
    assert [name for name, m in BY_NAME.items() if isinstance(m, Distance) and m.by_size] == ["fvd_scenes", "fad_scenes"]
    assert BY_NAME["offset_scenes"].unit == "ms"


@pytest.mark.parametrize("name", ["fvd_scenes", "kvd_scenes", "fad_scenes", "kad_scenes"])
def test_another_world_is_further_than_more_of_the_same(name, features):
    metric = BY_NAME[name]
    found = features[metric.extractor]
    assert metric.distance(found["other"], found["reference"]) > 1.5 * metric.distance(found["same"], found["reference"])


@pytest.mark.parametrize("name", ["fvd_scenes", "kvd_scenes", "fad_scenes", "kad_scenes"])
def test_more_noise_is_further(name, features):
    metric = BY_NAME[name]
    found = features[metric.extractor]
    values = [metric.distance(found[key], found["reference"]) for key in ("same", "noise 0.1", "noise 0.3")]
    assert values[0] < values[1] < values[2]


def test_scores_of_a_clip_and_of_a_stranger(extractors, scenes):
    sync, offset = BY_NAME["sync_scenes"], BY_NAME["offset_scenes"]
    assert isinstance(sync, ClipScore)
    assert isinstance(offset, ClipScore)
    clips = scenes["bounces"][:8]
    video, audio = (extractors[kind].embed([extractors[kind].prepare(Sample(c)) for c in clips]) for kind in (sync.of, sync.to))
    own = [sync.score(v, a) for v, a in zip(video, audio, strict=True)]
    strange = [sync.score(v, a) for v, a in zip(video, audio[1:] + audio[:1], strict=True)]
    assert np.mean(own) > np.mean(strange) + 0.3
    assert abs(offset.summary(np.array([offset.score(v, a) for v, a in zip(video, audio, strict=True)]))) < 60


def test_settings_that_do_not_suit_are_said():
    info = {"clips": 3, "seconds": 1.0, "fps": 4.0, "size": (64, 64), "sample_rate": 16000}
    assert "1.5 s" in BY_NAME["fvd_scenes"].warn(info)
    assert "too little motion" in BY_NAME["sync_scenes"].warn({**info, "seconds": 2.0})
    assert BY_NAME["sync_scenes"].warn({**info, "seconds": 2.0, "fps": 25.0}) == ""


def test_pictures_between_two_times_are_late():
    # 25 per second: at i/8 s the time since the last picture is i/8 of 40 ms, from 0 to 7/8; 24 and 8 divide evenly.
    assert lateness(25) == pytest.approx(40 * 3.5 / 8)
    assert lateness(8) == lateness(24.0) == pytest.approx(0, abs=1e-3)
    info = {"clips": 3, "seconds": 2.0, "fps": 25.0, "size": (64, 64), "sample_rate": 16000}
    assert "18 ms early" in BY_NAME["offset_scenes"].warn(info)
    assert BY_NAME["offset_scenes"].warn({**info, "fps": 16.0}) == ""
