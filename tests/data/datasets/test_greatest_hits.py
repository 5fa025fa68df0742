import pytest
from small_files import film, text

from sonovid.data.datasets.greatest_hits import read, read_contacts

TIMES = "0.5 rock hit static\n3.9 rock hit static\n4.0 leaf scratch deform\n5.25 None None None\n9.5 metal hit static\n"


@pytest.fixture
def folder(tmp_path):
    inner = tmp_path / "vis-data-256"
    film(inner / "2015-01_denoised.mp4", 10)
    film(inner / "2015-01_mic.mp4", 4)
    film(inner / "2015-02_denoised.mp4", 4)
    text(inner / "2015-01_times.txt", TIMES)
    text(inner / "2015-02_times.txt", "1 cloth scratch static\n")
    text(inner / "train.txt", "2015-01\n2015-09\n")
    text(inner / "test.txt", "2015-02\n")
    return tmp_path


def test_recordings_are_cut_and_contacts_are_events_of_their_stretch(folder, caplog):
    first, second = read(folder)
    assert (first.start, first.seconds, first.events) == (0, 4, (0.5, 3.9))
    assert (first.label, first.caption) == ("rock", "hitting rock with a drumstick")
    # Unknown materials are no label, and the contact in the rest after the last whole stretch is not counted.
    assert (second.start, second.events) == (4, (0.0, 1.25))
    assert (second.label, second.caption) == ("leaf", "hitting leaf with a drumstick")
    assert first.name == second.name == "vis-data-256/2015-01_denoised.mp4"
    assert "1 of 2 recordings of the train list are missing: 2015-09_denoised.mp4" in caplog.text


def test_options_choose_split_length_and_sound(folder):
    (only,) = read(folder, split="test")
    assert (only.label, only.caption) == ("cloth", "scratching cloth with a drumstick")
    assert [entry.start for entry in read(folder, seconds=2.5)] == [0, 2.5, 5, 7.5]
    assert [entry.path.endswith("_mic.mp4") for entry in read(folder, sound="mic")] == [True]
    assert len(read(folder, split="all")) == 3


def test_contacts_are_read_in_order_and_a_line_without_a_time_is_refused(tmp_path):
    found = read_contacts(text(tmp_path / "a_times.txt", "2 rock hit static\n\n1\n"))
    assert found == [(1, "", ""), (2, "rock", "hit")]
    with pytest.raises(ValueError, match=r"a_times\.txt line 1: expected seconds"):
        read_contacts(text(tmp_path / "a_times.txt", "rock hit\n"))


def test_what_is_missing_is_said(folder):
    with pytest.raises(ValueError, match="sound=raw: expected denoised or mic"):
        read(folder, sound="raw")
    (folder / "vis-data-256" / "test.txt").unlink()
    with pytest.raises(ValueError, match=r"no test\.txt"):
        read(folder, split="test")


def test_a_broken_film_is_left_out(folder, caplog):
    (folder / "vis-data-256" / "2015-02_denoised.mp4").write_bytes(b"broken")
    assert read(folder, split="test") == []
    assert "2015-02_denoised.mp4" in caplog.text


def test_thumbnails_as_downloaded_are_found_with_svgs_captions(tmp_path):
    film(tmp_path / "vis-data-256" / "2015-03-28_denoised_thumb.mp4", 10)
    film(tmp_path / "vis-data-256" / "2015-03-28_mic_thumb.mp4", 4)
    text(tmp_path / "vis-data-256" / "2015-03-28_times.txt", TIMES)
    text(tmp_path / "vis-data-256" / "train.txt", "2015-03-28\n")
    own = (
        './src/crop/2015-03-28_denoised_thumb-000.mp4,"A person hits a rock, hard."\n./src/x/2015-09_denoised_thumb-001.mp4,no\n'
    )
    text(tmp_path / "flist_train.txt", own)
    first, second = read(tmp_path)
    assert (first.caption, first.events) == ("A person hits a rock, hard.", (0.5, 3.9))
    assert second.caption == "hitting leaf with a drumstick"
    assert first.name == "vis-data-256/2015-03-28_denoised_thumb.mp4"
    # Captions are of 4 s.
    assert read(tmp_path, seconds=2.0)[0].caption == "hitting rock with a drumstick"
    assert len(read(tmp_path, sound="mic")) == 1


def test_segments_as_svgs_authors_cut_them_keep_their_place_in_the_recording(tmp_path):
    for number in (0, 1):
        film(tmp_path / "crop" / f"2015-03-28_denoised_thumb-{number:03d}.mp4", 4)
    text(tmp_path / "vis-data" / "2015-03-28_times.txt", TIMES)
    text(tmp_path / "vis-data" / "train.txt", "2015-03-28\n")
    lists = text(tmp_path / "elsewhere" / "flist_val.txt", 'a/2015-03-28_denoised_thumb-001.mp4,"Leaves rustle."\n')
    first, second = read(tmp_path, captions=str(lists))
    assert (first.start, first.events, second.start, second.events) == (0, (0.5, 3.9), 0, (0.0, 1.25))
    assert second.caption == "Leaves rustle."
    # What sonovid caption wrote beside a file is taken where no list has one.
    text(tmp_path / "crop" / "2015-03-28_denoised_thumb-000.txt", "Somebody hits a stone.\n")
    assert [entry.caption for entry in read(tmp_path, captions="elsewhere")] == ["Somebody hits a stone.", "Leaves rustle."]
    with pytest.raises(ValueError, match=r"flist_val\.txt line 1: expected NAME_denoised_thumb-000\.mp4"):
        read(tmp_path, captions=str(text(tmp_path / "flist_val.txt", "caption alone\n")))
    with pytest.raises(ValueError, match="captions=nowhere: no flist"):
        read(tmp_path, captions="nowhere")
