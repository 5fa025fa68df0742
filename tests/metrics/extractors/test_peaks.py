import json
import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from sonovid import media
from sonovid.core.clip import Clip
from sonovid.metrics import av_align
from sonovid.metrics.base import Sample, UnavailableError, UnusableClipError
from sonovid.metrics.extractors.peaks import (
    Beats,
    MotionPeaks,
    MotionPeaks256,
    NativeRateOnsets,
    OnsetCurve,
    Onsets,
    flow_curves,
    strict_peaks,
)
from sonovid.metrics.synchrony import ALIGNED

SHARED = Path(__file__).parents[3].parent / "shared"
RATE = 22050
CLIPS = ("kitchen_talk.mp4", "landscape_samples.mp4", "vggsound_0B4dYTMsgHA.mp4")


@pytest.fixture(scope="module")
def references():
    if not (SHARED / "metric_references.json").is_file():
        pytest.skip("no reference values here")
    return json.loads((SHARED / "metric_references.json").read_text())["av_align_clips"]


def clicks(times, seconds=4.0, rate=RATE):
    wave = np.zeros(int(seconds * rate), np.float32)
    for time in times:
        first = round(time * rate)
        ring = np.arange(len(wave) - first) / rate
        wave[first:] += (0.5 * np.exp(-ring / 0.01) * np.sin(2 * np.pi * 3000 * ring)).astype(np.float32)
    return wave


def jumping_square(jumps, num_frames=40, size=64):
    """A square that lies still, and moves by three pixels into each of the frames `jumps`."""
    frames = np.full((num_frames, size, size, 3), 30, np.uint8)
    frames += np.random.Generator(np.random.PCG64(0)).integers(0, 20, (size, size, 3), dtype=np.uint8)
    for i in range(num_frames):
        x = 8 + 3 * sum(jump <= i for jump in jumps)
        frames[i, 20:44, x : x + 24] = 200
        frames[i, 26:38, x + 6 : x + 18] = 90
    return frames


def test_motion_peaks_and_clicks_are_found_where_they_were_put():
    jumps, fps = [6, 15, 24, 33], Fraction(10)
    clip = Clip(jumping_square(jumps), clicks([j / 10 for j in jumps])[None], fps=fps, sample_rate=RATE)
    picture, sound = MotionPeaks().prepare(Sample(clip)), Onsets().prepare(Sample(clip))
    np.testing.assert_allclose(picture["times"], [j / 10 for j in jumps])
    np.testing.assert_allclose(sound["times"], [j / 10 for j in jumps], atol=0.03)
    assert (picture["heights"] > 0.1).all()
    assert av_align.sony(sound["times"], picture["times"], 10) == 1
    late = Onsets().prepare(Sample(Clip(None, clicks([j / 10 + 0.35 for j in jumps])[None], sample_rate=RATE)))
    assert av_align.sony(late["times"], picture["times"], 10) == 0


def test_the_first_flow_is_repeated_and_a_plateau_is_no_peak():
    flow = flow_curves(jumping_square([1, 5], num_frames=8)).lengths
    assert flow[0] == flow[1] > flow[2]
    assert strict_peaks(flow).tolist() == [5]
    assert strict_peaks(np.array([0.0, 1, 1, 0, 2, 0])).tolist() == [4]
    assert strict_peaks(np.zeros(1)).tolist() == []


def test_scaling_down_keeps_the_peaks_and_not_the_unit():
    frames = jumping_square([3, 8], num_frames=12, size=128)
    whole, half = flow_curves(frames).lengths, flow_curves(frames, least_side=64).lengths
    assert strict_peaks(whole).tolist() == strict_peaks(half).tolist() == [3, 8]
    assert half[3] < whole[3]
    np.testing.assert_array_equal(flow_curves(frames, least_side=500).lengths, whole)


def test_an_impact_is_where_a_motion_ends():
    """A square that moves steadily, and stands still from frame 12 on; one that turns back in frame 12."""
    for after in (0, -2):
        frames = np.full((20, 64, 64, 3), 30, np.uint8)
        for i in range(20):
            x = 4 + 2 * min(i, 12) + after * max(i - 12, 0)
            frames[i, 20:44, x : x + 24] = 200
            frames[i, 26:38, x + 6 : x + 18] = 90
        flow = flow_curves(frames)
        assert flow.impacts.argmax() == 12
        assert flow.impacts[12] > 3 * np.delete(flow.impacts, 12).max()
        assert flow.impacts[0] == flow.impacts[-1] == 0


def test_beats_of_a_click_train():
    clip = Clip(None, clicks(np.arange(0.25, 10, 0.5), seconds=10.0)[None], sample_rate=RATE)
    found = Beats().prepare(Sample(clip))
    assert found["tempo"][0] == pytest.approx(120, rel=0.03)
    distance = np.abs(found["beats"] % 0.5 - 0.25)
    assert len(found["beats"]) >= 16
    assert distance.max() < 0.05
    assert found["bins"].tolist() == [1] * 10


def test_bins_are_seconds_with_an_onset():
    wave = clicks([0.3, 2.4, 2.7], seconds=3.5)
    assert Beats().prepare(Sample(Clip(None, wave[None], sample_rate=RATE)))["bins"].tolist() == [1, 0, 1, 0]


def test_silence_has_neither_onsets_nor_beats():
    clip = Clip(None, np.zeros((1, 2 * RATE), np.float32), sample_rate=RATE)
    assert len(Onsets().prepare(Sample(clip))["times"]) == 0
    assert len(Beats().prepare(Sample(clip))["beats"]) == 0
    curve = OnsetCurve().prepare(Sample(clip))
    assert len(curve["onsets"]) == 0
    assert not curve["strength"].any()


def test_what_cannot_be_measured_is_said_in_one_line():
    frames, short = np.zeros((2, 16, 16, 3), np.uint8), np.zeros((1, 100), np.float32)
    nan = np.full((1, RATE), np.nan, np.float32)
    for extractor, clip, message in [
        (MotionPeaks, Clip(frames, None), "2 frames"),
        (MotionPeaks, Clip(None, short), "no video"),
        (Onsets, Clip(frames, None), "no audio"),
        (NativeRateOnsets, Clip(None, short), "100 samples"),
        (Beats, Clip(None, nan), "NaN or infinity"),
        (OnsetCurve, Clip(None, nan), "NaN or infinity"),
    ]:
        with pytest.raises(UnusableClipError, match=message) as raised:
            extractor().prepare(Sample(clip))
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("extractor", "module"), [(MotionPeaks, "cv2"), (Onsets, "librosa"), (Beats, "librosa")])
def test_a_missing_extra_is_named(extractor, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UnavailableError, match=r"pip install 'sonovid\[eval\]'"):
        extractor().load(())


@pytest.mark.parametrize("name", CLIPS)
def test_onsets_of_real_clips_are_the_published_ones(name, references):
    path, wanted = SHARED / "media" / name, references[name]
    input_spec = Onsets.input_spec
    clip = media.read_as_decoded(path, sample_rate=input_spec.sample_rate, mono=True)
    np.testing.assert_allclose(Onsets().prepare(Sample(clip))["times"], wanted["onset_times"], atol=2e-6)
    native = NativeRateOnsets().prepare(Sample(media.read_as_decoded(path, mono=True)))
    np.testing.assert_allclose(native["times"], wanted["javisbench_native_sr"]["onset_times"], atol=2e-6)
    np.testing.assert_allclose(Beats().prepare(Sample(clip))["beats"], wanted["beat"]["times"], atol=2e-6)


def test_flow_of_a_real_clip_is_the_published_one(references):
    """One second; whole clips at their own size agree to 2e-6, and take minutes."""
    wanted = references["kitchen_talk.mp4"]["first4s_min256"]["flow_trajectory"]
    clip = media.read(SHARED / "media" / "kitchen_talk.mp4", audio=False, seconds=Fraction(1, 2))
    flow = flow_curves(clip.frames, least_side=256).lengths
    np.testing.assert_allclose(flow, wanted[: len(flow)], atol=1e-4)


def test_av_align_of_a_real_clip_is_the_published_one(references):
    """Four seconds of a clip of 256 pixels, from the file to the score."""
    path, wanted = SHARED / "media" / "landscape_samples.mp4", references["landscape_samples.mp4"]["first4s_min256"]
    picture = MotionPeaks().prepare(Sample(media.read(path, audio=False, seconds=4)))
    sound = media.read_as_decoded(path, sample_rate=RATE, mono=True).waveform[:, : 4 * RATE]
    onsets = Onsets().prepare(Sample(Clip(None, sound, sample_rate=RATE)))["times"]
    for form, score in [("sony_svg", av_align.sony), ("javisbench", av_align.javisbench)]:
        assert score(onsets, picture["times"], picture["fps"][0]) == pytest.approx(wanted["scores"][form], abs=0.02)


def test_a_file_is_measured_frame_by_frame(tmp_path):
    """However long it lasts, a few frames are held; the numbers are those of the whole clip."""
    frames = np.repeat(jumping_square([6, 15, 24, 33], size=96), 4, axis=0)
    media.write(tmp_path / "a.mkv", Clip(frames, None, Fraction(25)))
    assert MotionPeaks.input_spec.streamed
    whole = MotionPeaks().prepare(Sample(media.read(tmp_path / "a.mkv", audio=False)))
    tracemalloc.start()
    stream = media.stream_frames(tmp_path / "a.mkv")
    found = MotionPeaks().prepare(Sample(None, stream=stream))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.keys() == whole.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(found[name], array)
    # The whole clip alone is 160 frames; as float64 it was eight times that.
    assert peak < 40 * frames[0].nbytes, peak / frames[0].nbytes


def test_each_form_takes_the_flow_at_its_authors_size():
    forms = {metric.name: metric.to for metric in ALIGNED}
    assert {name for name, to in forms.items() if to is MotionPeaks256} == {
        "av_align_sony",
        "av_align_precision",
        "av_align_recall",
        "av_align_javisbench",
    }
    large = jumping_square([3, 8], num_frames=12, size=320)
    own, small = (kind().prepare(Sample(Clip(large, None))) for kind in (MotionPeaks, MotionPeaks256))
    np.testing.assert_array_equal(own["times"], small["times"])
    assert small["heights"][0] < own["heights"][0]
    within = jumping_square([3, 8], num_frames=12, size=64)
    for name, array in MotionPeaks().prepare(Sample(Clip(within, None))).items():
        np.testing.assert_array_equal(MotionPeaks256().prepare(Sample(Clip(within, None)))[name], array)
