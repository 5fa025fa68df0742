"""Held-out scenes: named, true, written once, and the same wherever they are rendered."""

import json

import numpy as np
import pytest

from sonovid import media
from sonovid.benchmark.held_out import HeldOut, export


@pytest.fixture(scope="module")
def held_out():
    return HeldOut(count=5)


def test_scenes_are_the_worlds_in_turn_with_what_is_true_of_them(held_out):
    assert [scene.name for scene in held_out.scenes] == ["0000-hits", "0001-bounces", "0002-hits", "0003-bounces", "0004-hits"]
    assert [scene.seed - held_out.first for scene in held_out.scenes] == [0, 0, 1, 1, 2]
    for index, scene in enumerate(held_out.scenes):
        clip = held_out.clip(index)
        assert (clip.caption, clip.events) == (scene.caption, scene.events)
        assert scene.attributes["world"] == scene.world


def test_a_partner_is_the_next_scene_of_the_same_world(held_out):
    assert [held_out.partner(i) for i in range(5)] == [2, 3, 4, 1, 0]
    with pytest.raises(ValueError, match="at least two per world"):
        HeldOut(count=3)
    with pytest.raises(ValueError, match="did you mean"):
        HeldOut(worlds=("hitz",))


def test_what_a_system_is_given_is_written_and_kept(held_out, tmp_path):
    rows = [json.loads(line) for line in export(held_out, tmp_path).read_text().splitlines()]
    assert [row["name"] for row in rows] == [scene.name for scene in held_out.scenes]
    first = held_out.clip(0)
    film, sound = media.read(tmp_path / rows[0]["video"]), media.read(tmp_path / rows[0]["audio"])
    assert film.waveform is None
    assert sound.frames is None
    assert np.abs(sound.waveform - first.waveform).max() < 1e-3
    true = media.read(tmp_path / "reference" / "0000-hits.mkv")
    np.testing.assert_array_equal(true.frames, first.frames)
    assert rows[0]["prompt"] == first.caption == (tmp_path / "reference" / "0000-hits.txt").read_text().strip()
    before = (tmp_path / "reference" / "0000-hits.mkv").stat().st_mtime_ns
    export(held_out, tmp_path)
    assert (tmp_path / "reference" / "0000-hits.mkv").stat().st_mtime_ns == before
    assert HeldOut.load(tmp_path) == held_out
    with pytest.raises(ValueError, match="contains other held-out scenes"):
        export(HeldOut(count=6), tmp_path)
    with pytest.raises(ValueError, match="sonovid benchmark export"):
        HeldOut.load(tmp_path / "videos")
