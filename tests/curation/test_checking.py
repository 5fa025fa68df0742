"""Faults of clips: each is found where it is, and nowhere else."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from sonovid import media
from sonovid.core.geometry import Geometry
from sonovid.curation import checking
from sonovid.data import manifest, scenes
from sonovid.data.entry import Entry

GEOMETRY = Geometry(24, Fraction(12), 48, 48, 16000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One clip of each fault, named by it, beside clips without any."""
    folder = tmp_path_factory.mktemp("clips")
    good = [scenes.render("hits", seed, GEOMETRY) for seed in (1, 2)]
    still = np.repeat(good[0].frames[:1], 24, axis=0)
    # A clip of 6 s: in shorter ones too little happens for the measure to be sure.
    long = scenes.render("hits", 2, replace(GEOMETRY, num_frames=72))
    late = np.concatenate([np.zeros(4800, np.float32), long.waveform[0, :-4800]])[None]
    clips = {
        "a-good": good[0],
        "b-good": good[1],
        "silent": replace(scenes.render("hits", 3, GEOMETRY), waveform=np.zeros((1, 32000), np.float32)),
        "clipped": replace(scenes.render("hits", 4, GEOMETRY), waveform=np.clip(40 * good[0].waveform, -1, 1)),
        "black": replace(good[1], frames=np.zeros_like(good[1].frames), waveform=scenes.render("hits", 5, GEOMETRY).waveform),
        "frozen": replace(scenes.render("hits", 6, GEOMETRY), frames=still[:, ::-1].copy()),
        "no sound": replace(scenes.render("bounces", 7, GEOMETRY), waveform=None),
        "offset": replace(long, waveform=late),
    }
    for name, clip in clips.items():
        media.write(folder / f"{name}.mp4", clip)
    media.write(folder / "copy.mp4", good[0], quality=30)
    media.write(folder / "no pictures.wav", replace(scenes.render("hits", 8, GEOMETRY), frames=None))
    whole = (folder / "a-good.mp4").read_bytes()
    (folder / "broken.mp4").write_bytes(whole[: len(whole) // 3])
    (folder / "a-good.txt").write_text("a caption")
    return folder


@pytest.fixture(scope="module")
def reports(folder):
    entries = manifest.read(folder, include_audio=True)
    found = list(checking.check_clips(entries))
    checking.find_copies(found, entries)
    return {report.name.rpartition(".")[0]: report for report in found}


def test_each_fault_is_found_where_it_is_and_nowhere_else(reports):
    for name in ("a-good", "b-good"):
        assert reports[name].faults == [], name
    for name in ("silent", "clipped", "frozen", "no sound", "no pictures", "broken", "copy", "offset"):
        assert name in reports[name].faults, name
    assert {"black", "frozen"} <= set(reports["black"].faults)
    for fault in checking.FAULTS:
        having = {name for name, report in reports.items() if fault in report.faults}
        assert having <= {fault, "black"} if fault == "frozen" else having <= {fault}, fault


def test_figures_say_how_far_it_goes(reports):
    assert reports["copy"].copy_of == "a-good.mp4"
    assert reports["offset"].offset == pytest.approx(0.3, abs=0.08)
    assert reports["silent"].loudness == -np.inf
    assert reports["clipped"].clipped > 0.01
    assert reports["broken"].detail
    assert not reports["broken"].detail.startswith("/")


def test_the_table_names_the_first_and_json_holds_what_is_known(reports):
    lines = checking.table(list(reports.values()), shown=1)
    assert lines[0].startswith("11 clips, 2 without a fault")
    (line,) = (line for line in lines if line.startswith("copy "))
    assert line.endswith("is a copy of another clip: copy.mp4 (of a-good.mp4)")
    assert not any(line.startswith("leak") for line in lines)
    known = reports["no pictures"].to_json()
    assert "moments" not in known
    assert known["faults"] == ["no pictures"]
    assert "offset" not in known


def test_a_copy_across_the_split_is_a_leak(folder):
    entries = [Entry(str(folder / "a-good.mp4"), name=f"{i}") for i in range(30)]
    training, held_out = manifest.split(entries, 0.2)
    assert training
    assert held_out
    one = checking.check_clip(entries[0])
    found = [replace(one, name=entry.name, faults=[]) for entry in entries]
    checking.find_copies(found, entries, share=0.2)
    assert all("leak" in report.faults for report in found)
    found = [replace(one, name=entry.name, faults=[]) for entry in training]
    checking.find_copies(found, training)
    assert [report.faults for report in found] == [[], *[["copy"]] * (len(training) - 1)]


def test_captions_are_asked_for_only_where_they_are_wanted(folder):
    entries = [Entry(str(folder / "b-good.mp4"), name="b")]
    assert next(checking.check_clips(entries, captions=True)).faults == ["no caption"]
    with pytest.raises(ValueError, match="is a scene"):
        list(checking.check_clips(manifest.read("scenes:hits:1")))
