"""Files are probed once, in any process, until they change."""

import os
from fractions import Fraction

import pytest

from sonovid.core.geometry import Geometry
from sonovid.data import clips, manifest, probes

GEOMETRY = Geometry(4, Fraction(8), 16, 16, 16000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    clips.write_scenes(folder, "bounces", 3, 0, GEOMETRY, quiet=True)
    (folder / "broken.mp4").write_bytes(b"not a film")
    return folder


@pytest.fixture
def probed(monkeypatch):
    """The paths that are probed from here on."""
    seen = []
    probe = probes.media.probe
    monkeypatch.setattr(probes.media, "probe", lambda path: (seen.append(os.path.basename(path)), probe(path))[1])
    return seen


def paths(folder):
    return [entry.path for entry in manifest.read(folder) if not entry.path.endswith("manifest.jsonl")]


def test_a_file_is_probed_once_and_again_when_it_has_changed(folder, tmp_path, probed):
    with probes.cached_in(tmp_path / "probes"):
        first = probes.probe_files([*paths(folder), *paths(folder)])
    assert len(probed) == 4
    assert [round(extent.seconds, 3) for extent in first.values()] == [0.5] * 3
    assert all(extent.video and extent.audio for extent in first.values())
    probed.clear()
    with probes.cached_in(tmp_path / "probes"):
        assert probes.probe_files(paths(folder)) == first
    assert probed == ["broken.mp4"], "one that cannot be read is tried again"
    changed = sorted(first)[1]
    os.utime(changed, ns=(5, 5))
    with probes.cached_in(tmp_path / "probes"):
        assert probes.probe_files(paths(folder)) == first
    assert probed[1:] == ["broken.mp4", os.path.basename(changed)] or probed[1:] == [os.path.basename(changed), "broken.mp4"]


def test_windows_use_what_is_kept(folder, tmp_path, probed):
    entries = manifest.read(folder)
    with probes.cached_in(tmp_path / "probes"):
        before = clips.find_windows(entries, GEOMETRY)
    probed.clear()
    with probes.cached_in(tmp_path / "probes"):
        assert clips.find_windows(entries, GEOMETRY) == before
    assert probed == ["broken.mp4"]


def test_processes_share_the_work_whatever_the_others_have_done(folder, tmp_path, probed):
    for index in (1, 0, 2):
        probes.ProbeCache(tmp_path / "probes").find(paths(folder), part=(index, 3))
    assert sorted(probed) == sorted(os.path.basename(path) for path in paths(folder))
    assert len(probes.ProbeCache(tmp_path / "probes").results) == 3


def test_pruning_forgets_files_that_are_gone(folder, tmp_path):
    copy = tmp_path / "copy.mp4"
    copy.write_bytes((folder / "bounces-0000000.mp4").read_bytes())
    kept = probes.ProbeCache(tmp_path / "probes")
    kept.find([*paths(folder), str(copy)])
    copy.unlink()
    assert kept.prune() == 1
    assert len(list((tmp_path / "probes").iterdir())) == 1
    assert len(probes.ProbeCache(tmp_path / "probes").results) == 3


def test_a_file_that_broke_since_is_not_taken_for_what_it_was(folder, tmp_path):
    copy = tmp_path / "copy.mp4"
    copy.write_bytes((folder / "bounces-0000000.mp4").read_bytes())
    with probes.cached_in(tmp_path / "probes"):
        assert str(copy) in probes.probe_files([str(copy)])
    copy.write_bytes(b"broken")
    with probes.cached_in(tmp_path / "probes"):
        assert probes.probe_files([str(copy)]) == {}
