import pytest
from small_files import empty, text

from sonovid.data.datasets.aist import read

CROP = ("train/gBR_sBM_c01_d04_mBR0_ch01.mp4", "train/gKR_sFM_c03_d28_mKR2_ch04.mp4", "test/gJB_sBM_c01_d07_mJB5_ch02_3.mp4")


def test_the_crop_has_its_splits_in_folders(tmp_path):
    folder = empty(tmp_path / "AIST++_crop", *CROP, "train/readme.txt", "train/other.mp4")
    first, second = read(folder)
    assert (first.label, first.caption, first.name) == ("break", "a dancer dances break to music", CROP[0])
    assert (second.label, second.path) == ("krump", str(folder / CROP[1]))
    assert [entry.label for entry in read(folder, split="test")] == ["ballet jazz"]
    assert len(read(folder, split="all")) == 3
    assert [entry.label for entry in read(folder, label="music")] == ["mBR0", "mKR2"]


def test_the_split_s_own_folder_and_a_folder_in_a_folder_do_as_well(tmp_path):
    folder = empty(tmp_path / "AIST++_crop", *(f"AIST++_crop/{name}" for name in CROP))
    assert len(read(folder)) == 2
    assert len(read(folder / "AIST++_crop" / "train")) == 2


def test_the_raw_set_goes_by_its_lists(tmp_path, caplog):
    empty(tmp_path, "gBR_sBM_c01_d04_mBR0_ch01.mp4", "gBR_sBM_c09_d04_mBR0_ch01.mp4", "gLO_sBM_c01_d13_mLO2_ch01.mp4")
    empty(tmp_path, "gPO_sBM_c01_d10_mPO1_ch10.mp4")
    lists = "gBR_sBM_cAll_d04_mBR0_ch01\ngPO_sBM_cAll_d10_mPO1_ch10\ngHO_sBM_cAll_d20_mHO3_ch02\n"
    text(tmp_path / "annotations" / "splits" / "crossmodal_train.txt", lists)
    text(tmp_path / "annotations" / "splits" / "crossmodal_test.txt", "gLO_sBM_cAll_d13_mLO2_ch01\n")
    text(tmp_path / "annotations" / "ignore_list.txt", "gPO_sBM_cAll_d10_mPO1_ch10\n")
    assert [entry.name[8:11] for entry in read(tmp_path)] == ["c01", "c09"]
    assert "1 of 2 dances of the train list are missing: gHO_sBM_cAll_d20_mHO3_ch02" in caplog.text
    assert [entry.label for entry in read(tmp_path, split="test")] == ["lock"]
    assert len(read(tmp_path, split="all")) == 3
    with pytest.raises(ValueError, match="split=val: there are lists of test, train"):
        read(tmp_path, split="val")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"split": "dev"}, "split=dev: expected train, test, val, all"),
        ({"label": "dancer"}, "label=dancer: expected genre or music"),
        ({"split": "val"}, "no folder of that name"),
    ],
)
def test_what_is_not_there_is_said(tmp_path, options, said):
    empty(tmp_path, *CROP)
    with pytest.raises(ValueError, match=said):
        read(tmp_path, **options)


def test_another_folder_is_not_aist(tmp_path):
    with pytest.raises(ValueError, match="no videos named as those of"):
        read(empty(tmp_path, "train/a.mp4", "train/gXX_sBM_c01_d04_mBR0_ch01.mp4"))
