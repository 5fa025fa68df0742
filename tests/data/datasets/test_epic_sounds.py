import pytest
from small_files import film, text

from sonovid.data.datasets.epic_sounds import read

HEAD = (
    "annotation_id,participant_id,video_id,start_timestamp,stop_timestamp,start_sample,stop_sample,description,class,class_id\n"
)
ROWS = (
    "P01_01_0,P01,P01_01,00:00:00.500,00:00:05.000,0,0,tap,water,1\n"
    "P01_01_1,P01,P01_01,00:00:02.250,00:00:02.500,0,0,knife,cut / chop,2\n"
    "P01_01_2,P01,P01_01,00:00:09.000,00:00:09.900,0,0,lid,metal-only collision,3\n"
    "P02_07_0,P02,P02_07,00:01:00.000,00:01:01.000,0,0,x,rustle,4\n"
)


@pytest.fixture
def folder(tmp_path):
    film(tmp_path / "EPIC-KITCHENS" / "P01" / "videos" / "P01_01.MP4", 12)
    text(tmp_path / "epic-sounds-annotations" / "EPIC_Sounds_train.csv", HEAD + ROWS)
    head = "annotation_id,participant_id,video_id,start_timestamp,stop_timestamp\n"
    text(tmp_path / "EPIC_Sounds_recognition_test_timestamps.csv", head + "P01_01_0,P01,P01_01,00:00:04.125,00:00:05\n")
    return tmp_path


def test_stretches_in_which_a_sound_begins_are_taken(folder, caplog):
    first, last = read(folder)
    assert (first.start, first.seconds, first.events) == (0, 4, (0.5, 2.25))
    assert (first.label, first.caption) == ("water", "in a kitchen: water, cut / chop")
    # In the second stretch water still runs, but nothing begins.
    assert (last.start, last.events, last.label) == (8, (1.0,), "metal-only collision")
    assert first.name == "EPIC-KITCHENS/P01/videos/P01_01.MP4"
    assert "1 of 2 videos of the train list are missing: P02_07.MP4" in caplog.text


def test_the_longest_sound_is_the_label_where_it_only_goes_on(folder):
    found = {entry.start: entry for entry in read(folder, seconds=1.5)}
    assert sorted(found) == [0, 1.5, 9]
    assert (found[1.5].label, found[1.5].caption) == ("water", "in a kitchen: cut / chop")


def test_the_test_list_has_times_and_no_classes(folder):
    (only,) = read(folder, split="test")
    assert (only.start, only.events, only.label, only.caption) == (4, (0.125,), "", "in a kitchen")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("video_id,start_timestamp\n", "no column 'stop_timestamp'"),
        (HEAD + "P01_01_0,P01,P01_01,12.5,00:00:05.000,0,0,tap,water,1\n", "line 2: time '12.5'"),
        (HEAD + "P01_01_0,P01,P01_01\n", "line 2: expected 10 fields"),
        (HEAD + ROWS.splitlines()[3] + "\n", "none of 1 videos of the train list was found"),
    ],
)
def test_lists_that_do_not_fit_are_refused(folder, content, said):
    text(folder / "epic-sounds-annotations" / "EPIC_Sounds_train.csv", content)
    with pytest.raises(ValueError, match=said):
        read(folder)


def test_the_list_has_to_be_there(folder):
    with pytest.raises(ValueError, match=r"no EPIC_Sounds_validation\.csv"):
        read(folder, split="validation")
