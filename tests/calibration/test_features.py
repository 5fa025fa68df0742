from fractions import Fraction

import numpy as np
import pytest

from sonovid.calibration.features import Condition, Plan, extract_conditions, read_clip
from sonovid.core.clip import Clip
from sonovid.metrics.base import Extractor, InputSpec, UnusableClipError
from sonovid.metrics.lazy_extractor import LazyExtractor


class Loudness(Extractor):
    name = "loudness"
    input_spec = InputSpec(audio=True, sample_rate=8000)

    def prepare(self, sample):
        waveform = sample.clip.waveform
        assert sample.clip.frames is None
        return {"features": np.array([np.abs(waveform).mean()]), "count": np.array([waveform.shape[1]])}


class Brightness(Extractor):
    name = "brightness"
    input_spec = InputSpec(video=True, size=(8, 8))
    seen = 0

    def prepare(self, sample):
        Brightness.seen += 1
        frames = sample.clip.frames
        assert frames.shape[1:3] == (8, 8)
        if len(frames) > 20:
            raise UnusableClipError("too many frames")
        return {"features": np.array([frames.mean(), len(frames)])}


class Both(Extractor):
    name = "both"
    input_spec = InputSpec(video=True, audio=True)

    def prepare(self, sample):
        return {}


PLAN = Plan(("hits", "bounces"), 4, 7, seconds=Fraction(1), fps=Fraction(8), rates=(Fraction(4), Fraction(25)), size=16)


@pytest.fixture(scope="module")
def features():
    Brightness.seen = 0
    return extract_conditions(PLAN, [LazyExtractor(Loudness), LazyExtractor(Brightness)], with_reference=True)


def test_what_is_not_touched_is_extracted_once(features):
    # Untouched, three blurs, three freezes, four codecs; two further rates; one of the reference.
    assert Brightness.seen == 8 * (1 + 3 + 3 + 4 + 2 + 1)
    clean, moved = Condition(PLAN.fps), Condition(PLAN.fps, "shift", 160)
    assert features.get(moved, Brightness, 0) is features.get(clean, Brightness, 0)
    assert features.get(moved, Loudness, 0) is not features.get(clean, Loudness, 0)
    assert features.get(Condition(PLAN.fps, "blur", 2), Loudness, 3) is features.get(clean, Loudness, 3)


def test_frame_rates_change_the_pictures_alone(features):
    slow = Condition(Fraction(4))
    assert features.get(slow, Brightness, 0)["features"][1] == 4
    assert features.get(slow, Loudness, 0) is features.get(Condition(PLAN.fps), Loudness, 0)
    assert features.get(Condition(Fraction(4), "shift", 80), Loudness, 0) is features.get(
        Condition(PLAN.fps, "shift", 80), Loudness, 0
    )


def test_exchange_takes_a_sound_of_the_same_world(features):
    clean = Condition(PLAN.fps)
    for share, exchanged in [(0.25, 2), (0.5, 4), (1.0, 8)]:
        swapped = Condition(PLAN.fps, "swap", share)
        taken = [features.get(swapped, Loudness, i) is not features.get(clean, Loudness, i) for i in range(8)]
        assert sum(taken) == exchanged
        assert all(features.get(swapped, Brightness, i) is features.get(clean, Brightness, i) for i in range(8))
    partner = features.get(Condition(PLAN.fps, "swap", 1.0), Loudness, 0)
    assert partner is features.get(clean, Loudness, 2)
    assert PLAN.clips[0][0] == PLAN.clips[2][0]


def test_clips_that_do_not_fit_are_none(features):
    assert features.get(Condition(Fraction(25)), Brightness, 0) is None


def test_the_reference_is_of_other_seeds(features):
    assert not np.isclose(features.reference[Loudness, 0]["features"], features.get(Condition(PLAN.fps), Loudness, 0)["features"])


def test_a_clip_as_an_extractor_wants_it():
    frames = np.repeat(np.arange(25, dtype=np.uint8)[:, None, None, None], 3, 3) * np.ones((1, 4, 4, 1), np.uint8)
    clip = Clip(frames, np.zeros((1, 16000), np.float32), fps=Fraction(25))
    read = read_clip(clip, InputSpec(video=True, fps=Fraction(8), size=(2, 2)))
    assert read.waveform is None
    # Of 25 frames the ones on screen every eighth of a second.
    assert read.frames[:, 0, 0, 0].tolist() == [0, 3, 6, 9, 12, 15, 18, 21]
    assert read.frames.shape == (8, 2, 2, 3)
    heard = read_clip(clip, InputSpec(audio=True, sample_rate=22050))
    assert heard.waveform.shape == (1, 22050)


def test_too_few_clips_and_extractors_of_both_streams_are_refused():
    with pytest.raises(ValueError, match="at least 4"):
        extract_conditions(Plan(("hits",), 3), [LazyExtractor(Loudness)], with_reference=False)
    with pytest.raises(ValueError, match="both streams"):
        extract_conditions(PLAN, [LazyExtractor(Both)], with_reference=False)
