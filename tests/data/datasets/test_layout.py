import pytest
from small_files import empty, film, text

from sonovid.data.datasets.layout import filter_split, find_videos, read_lines, report_missing, segment_starts, videos_by_stem


def test_videos_are_found_below_in_order_without_hidden_ones(tmp_path):
    empty(tmp_path, "b.mp4", "a/c.MKV", ".trash/d.mp4", "a/.e.mp4", "f.wav")
    assert [path.name for path in find_videos(tmp_path)] == ["c.MKV", "b.mp4"]
    assert videos_by_stem(tmp_path)["b"] == tmp_path / "b.mp4"


def test_stretches_are_whole_and_files_that_cannot_be_read_have_none(tmp_path, caplog):
    path = film(tmp_path / "a.mp4", 5)
    assert segment_starts(path, 2.0) == [0, 2]
    assert segment_starts(path, 2.5) == [0, 2.5]
    assert segment_starts(path, 6.0) == []
    assert segment_starts(text(tmp_path / "b.mp4", "words"), 2.0) == []
    assert "b.mp4" in caplog.text


def test_a_split_is_a_folder_of_its_name(tmp_path):
    empty(tmp_path, "train/a.mp4", "test/b.mp4")
    assert [path.name for path in filter_split(find_videos(tmp_path), tmp_path, "test")] == ["b.mp4"]
    assert [path.name for path in filter_split(find_videos(tmp_path / "test"), tmp_path / "test", "test")] == ["b.mp4"]


def test_lists_are_text(tmp_path):
    assert read_lines(text(tmp_path / "a.txt", " a \n\nb\n")) == ["a", "b"]
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not UTF-8"):
        read_lines(tmp_path / "b.txt")


def test_gaps_are_told_and_nothing_at_all_is_refused(caplog):
    report_missing([], 5, "clips")
    assert not caplog.text
    report_missing(["a", "b", "c", "d"], 5, "clips")
    assert "4 of 5 clips are missing: a, b, c, ..." in caplog.text
    with pytest.raises(ValueError, match="none of 1 clips"):
        report_missing(["a"], 1, "clips")
