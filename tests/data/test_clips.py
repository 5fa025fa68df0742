"""Windows of files, clips of one geometry, and scenes written to a folder."""

import json
from fractions import Fraction

import numpy as np
import pytest

from sonovid import media
from sonovid.core.av import AV
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.data import clips, manifest, scenes
from sonovid.data.manifest import Entry

GEOMETRY = Geometry(4, Fraction(8), 32, 32, 16000)


def ramp(seconds: float, fps: int = 8, sound: bool = True) -> Clip:
    """Pictures whose grey level and a sound whose level say the time."""
    frames = np.arange(round(seconds * fps), dtype=np.uint8)[:, None, None, None] * 4 + np.zeros((1, 32, 32, 3), np.uint8)
    times = np.arange(round(seconds * 16000), dtype=np.float32)[None] / 16000
    wave = (0.05 * (1 + np.floor(2 * times)) * np.sin(2000 * times)).astype(np.float32)
    return Clip(frames, wave if sound else None, Fraction(fps), 16000)


@pytest.fixture
def folder(tmp_path):
    media.write(tmp_path / "long.mkv", ramp(2.2))
    media.write(tmp_path / "short.mkv", ramp(0.25))
    media.write(tmp_path / "silent.mkv", ramp(1, sound=False))
    (tmp_path / "broken.mkv").write_bytes(b"nothing of the kind" * 50)
    (tmp_path / "long.json").write_text(json.dumps({"events": [0.1, 0.7, 1.2], "caption": "a ramp"}))
    return tmp_path


def test_long_files_give_windows_and_unfit_ones_are_left_out_with_a_word(folder, caplog):
    found = clips.find_windows(manifest.read(folder), GEOMETRY)
    assert [(w.entry.name, w.start) for w in found] == [
        ("long.mkv", 0.0),
        ("long.mkv", 0.5),
        ("long.mkv", 1.0),
        ("long.mkv", 1.5),
    ]
    said = caplog.text
    for words in ("shorter than 0.5 s: short.mkv", "without audio: silent.mkv", "not readable: broken.mkv"):
        assert words in said
    assert len(clips.find_windows(manifest.read(folder), GEOMETRY, max_per_entry=1)) == 1


def test_pictures_alone_or_sound_alone_can_be_asked_for(folder):
    found = clips.find_windows(manifest.read(folder), GEOMETRY, streams=AV(True, False))
    assert {w.entry.name for w in found} == {"long.mkv", "silent.mkv"}
    clip = clips.load_clip(found[0], GEOMETRY, AV(True, False))
    assert clip.waveform is None
    assert clip.frames is not None
    media.write(folder / "tone.wav", Clip(None, ramp(1).waveform))
    sounds = clips.find_windows(manifest.read(folder, include_audio=True), GEOMETRY, streams=AV(False, True))
    assert [w.entry.name for w in sounds][-2:] == ["tone.wav", "tone.wav"]
    assert clips.load_clip(sounds[-1], GEOMETRY, AV(False, True)).frames is None


def test_a_window_has_its_own_pictures_sound_and_events(folder):
    found = clips.find_windows(manifest.read(folder), GEOMETRY)
    whole = ramp(2.2)
    for i, (window, clip) in enumerate(clips.stream_clips(found, GEOMETRY)):
        assert window == found[i]
        assert clip.geometry == GEOMETRY
        assert clip.waveform.shape == (1, GEOMETRY.num_samples)
        np.testing.assert_allclose(clip.frames[:, 0, 0, 0], whole.frames[4 * i : 4 * i + 4, 0, 0, 0], atol=1)
        np.testing.assert_allclose(clip.waveform, whole.waveform[:, 8000 * i : 8000 * (i + 1)], atol=1e-3)
    assert [clips.load_clip(w, GEOMETRY).events for w in found[:3]] == [(0.1,), pytest.approx((0.2,)), pytest.approx((0.2,))]


def test_the_stretch_of_an_entry_is_kept_to(folder):
    entry = Entry(str(folder / "long.mkv"), start=1.0, seconds=1.1)
    assert [w.start for w in clips.find_windows([entry], GEOMETRY)] == [1.0, 1.5]


def test_nothing_usable_is_an_error_that_counts(folder):
    with pytest.raises(ValueError, match="1 without audio"):
        clips.find_windows([Entry(str(folder / "silent.mkv"))], GEOMETRY)


def test_processes_give_the_clips_of_one_process_in_order():
    sought = clips.find_windows(manifest.read("scenes:hits+bounces:5"), GEOMETRY)
    here = [clip for _, clip in clips.stream_clips(sought, GEOMETRY)]
    there = [clip for _, clip in clips.stream_clips(sought, GEOMETRY, workers=2)]
    for a, b in zip(here, there, strict=True):
        np.testing.assert_array_equal(a.frames, b.frames)
        np.testing.assert_array_equal(a.waveform, b.waveform)
        assert a.caption == b.caption


def test_a_faulty_file_among_many_is_passed_over(folder, caplog):
    good = clips.find_windows(manifest.read(folder), GEOMETRY, max_per_entry=1)
    bad = clips.Window(Entry(str(folder / "broken.mkv")))
    assert [clip is None for _, clip in clips.stream_clips([bad, *good], GEOMETRY)] == [True, False]
    assert "skipped" in caplog.text


def test_written_scenes_are_a_data_set_and_are_finished_when_interrupted(tmp_path):
    path = clips.write_scenes(tmp_path / "hits", "hits", 3, 7, GEOMETRY, quiet=True)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["seed"] for line in lines] == [7, 8, 9]
    scene = scenes.render("hits", 8, GEOMETRY)
    assert lines[1]["caption"] == scene.caption
    assert lines[1]["events"] == list(scene.events)
    assert lines[1]["attributes"] == scenes.attributes("hits", 8)
    from_folder, from_manifest = manifest.read(tmp_path / "hits"), manifest.read(path)
    assert [e.caption for e in from_folder] == [e.caption for e in from_manifest]
    assert len(clips.find_windows(from_folder, GEOMETRY)) == 3

    kept, lost = (tmp_path / "hits" / f"hits-000000{i}.mp4" for i in (7, 8))
    before = kept.stat().st_mtime_ns
    lost.unlink()
    clips.write_scenes(tmp_path / "hits", "hits", 4, 7, GEOMETRY, quiet=True)
    assert lost.is_file()
    assert kept.stat().st_mtime_ns == before
    assert len(path.read_text().splitlines()) == 4
    assert not list((tmp_path / "hits").glob("*.tmp"))


def test_scenes_of_two_extents_are_not_mixed(tmp_path):
    clips.write_scenes(tmp_path, "hits", 1, 0, GEOMETRY, quiet=True)
    with pytest.raises(ValueError, match="use another folder"):
        clips.write_scenes(tmp_path, "hits", 1, 0, GEOMETRY.with_duration(1), quiet=True)
