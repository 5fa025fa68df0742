import pytest
from small_files import empty

from sonovid.data.datasets.landscape import CLASSES, read


def test_kinds_come_from_file_names_or_folders(tmp_path):
    names = ("train/thunder_12.mp4", "train/Wind-Noise/a.mp4", "train/b.mp4", "test/squishing_water/c.mp4")
    empty(tmp_path, *names)
    found = {entry.name: entry.label for entry in read(tmp_path)}
    assert found == {names[0]: "thunder", names[1]: "wind noise", names[2]: ""}
    assert [(entry.label, entry.caption) for entry in read(tmp_path, split="test")] == [("squishing water", "squishing water")]


def test_all_nine_are_known_in_a_folder_each(tmp_path):
    empty(tmp_path, *(f"{name.replace(' ', '_')}/0.mp4" for name in CLASSES))
    assert sorted(entry.label for entry in read(tmp_path, split="all")) == sorted(CLASSES)
    with pytest.raises(ValueError, match=r"split=train: no folder of that name .* use split=all"):
        read(tmp_path)


def test_an_empty_folder_and_another_split_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no videos there"):
        read(tmp_path)
    with pytest.raises(ValueError, match="split=val: expected train, test, all"):
        read(empty(tmp_path, "train/a.mp4"), split="val")
