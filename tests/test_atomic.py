"""Nothing half-written is ever seen, and what was there stays until the new one is whole."""

import os
import time

import pytest

from sonovid import atomic


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_its_block_ends(tmp_path):
    path = tmp_path / "clip.mp4"
    with atomic.new_file(path) as aside:
        assert aside.suffix == ".mp4"
        assert aside.parent == tmp_path
        aside.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert names(tmp_path) == ["clip.mp4"]


def test_a_fault_leaves_the_file_that_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    atomic.write_text(path, "before")
    with pytest.raises(RuntimeError), atomic.new_file(path) as aside:  # noqa: PT012
        aside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "before"
    assert names(tmp_path) == ["a.json"]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "a"
    with atomic.new_file(path) as one, atomic.new_file(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"


def test_a_folder_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        atomic.write_text(tmp_path / "nowhere" / "a", "")


def test_a_folder_is_replaced_whole(tmp_path):
    final = tmp_path / "deep" / "model"
    atomic.replace_folder(final, lambda folder: (folder / "a").write_text("1"))
    atomic.replace_folder(final, lambda folder: (folder / "b").write_text("2"))
    assert names(final) == ["b"]
    assert names(final.parent) == ["model"]


def test_a_fault_leaves_the_folder_that_was_there(tmp_path):
    final = tmp_path / "model"
    atomic.replace_folder(final, lambda folder: (folder / "a").write_text("1"))

    def failing(folder):
        (folder / "a").write_text("2")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        atomic.replace_folder(final, failing)
    assert (final / "a").read_text() == "1"
    assert names(tmp_path) == ["model"]


def test_what_a_killed_process_left_is_swept_after_a_day_and_not_before(tmp_path):
    fresh, stale = tmp_path / ".model.0000.aside", tmp_path / ".model.1111.aside"
    for left in (fresh, stale):
        left.mkdir()
    os.utime(stale, (time.time() - atomic.STALE - 60,) * 2)
    atomic.replace_folder(tmp_path / "model", lambda folder: None)
    assert names(tmp_path) == [".model.0000.aside", "model"]


def test_a_folder_moved_away_by_a_killed_process_comes_back(tmp_path):
    moved = tmp_path / ".model.2222.before"
    moved.mkdir()
    (moved / "a").write_text("1")
    final = tmp_path / "model"

    def failing(folder):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        atomic.replace_folder(final, failing)
    assert (final / "a").read_text() == "1"
