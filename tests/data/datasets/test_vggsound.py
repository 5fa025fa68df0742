import pytest
from small_files import empty, text

from sonovid.data.datasets.vggsound import read

LIST = (
    '---g-f_I2yQ,1,"people marching",test\n--0PQM4-hqg,30,waterfall burbling,train\n'
    '--56QUhyDQM,185,"playing tennis, outside",train\nxxxxxxxxxxx,7,dog barking,train\n'
)


def test_the_three_ways_of_naming_files_are_found(tmp_path, caplog):
    text(tmp_path / "data" / "vggsound.csv", LIST)
    empty(tmp_path, "video/--0PQM4-hqg_000030.mp4", "other/--56QUhyDQM_185000_195000.mp4", "video/---g-f_I2yQ_1.webm")
    first, second = read(tmp_path)
    assert (first.label, first.caption, first.name) == (*["waterfall burbling"] * 2, "video/--0PQM4-hqg_000030.mp4")
    assert second.label == "playing tennis, outside"
    assert "1 of 3 clips of the train split are missing: xxxxxxxxxxx_000007" in caplog.text
    assert [entry.label for entry in read(tmp_path, split="test")] == ["people marching"]
    assert len(read(tmp_path, split="all")) == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,second,label\n", "line 1: expected YouTube id"),
        (LIST + "yyyyyyyyyyy,soon,rain,train\n", "line 5: expected YouTube id"),
        (LIST, "none of 3 clips of the train split was found"),
        (LIST.splitlines()[0] + "\n", "split=train: no such clips"),
    ],
)
def test_lists_that_do_not_fit_are_refused(tmp_path, content, said):
    text(tmp_path / "vggsound.csv", content)
    with pytest.raises(ValueError, match=said):
        read(tmp_path)


def test_the_list_has_to_be_there(tmp_path):
    with pytest.raises(ValueError, match=r"no vggsound\.csv"):
        read(tmp_path)
