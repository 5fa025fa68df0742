from fractions import Fraction

import pytest
from small_files import empty, film, text

from sonovid.core.geometry import Geometry
from sonovid.data import clips, manifest
from sonovid.data.datasets.audioset import read

TITLES = 'index,mid,display_name\n0,/m/09x0r,"Speech"\n1,/m/05zppz,"Male speech, man speaking"\n2,/m/0bt9lr,"Dog"\n'
HEAD = "# Segments csv created Sun Mar  5 10:54:31 2017\n# num_ytids=3\n# YTID, start_seconds, end_seconds, positive_labels\n"
BALANCED = (
    HEAD
    + '--4gqARaEJE, 0.000, 10.000, "/m/0bt9lr,/m/09x0r"\n'
    + '-0RWZT-miFs, 420.000, 430.000, "/m/0bt9lr"\n'
    + 'aaaaaaaaaaa, 30.500, 40.500, "/m/05zppz"\n'
)
UNBALANCED = HEAD + 'bbbbbbbbbbb, 30.000, 40.000, "/m/09x0r"\nccccccccccc, 7.000, 17.000, "/m/09x0r"\n'


@pytest.fixture
def folder(tmp_path):
    text(tmp_path / "csv" / "balanced_train_segments.csv", BALANCED)
    text(tmp_path / "csv" / "unbalanced_train_segments.csv", UNBALANCED)
    text(tmp_path / "csv" / "class_labels_indices.csv", TITLES)
    names = ("a/--4gqARaEJE.mp4", "a/-0RWZT-miFs_420000_430000.mp4", "a/aaaaaaaaaaa_30.500_40.500.mp4", "b/Ybbbbbbbbbbb_30.mkv")
    return empty(tmp_path, *names)


def test_clips_are_found_by_their_names_and_captioned_with_their_sounds(folder, caplog):
    entries = read(folder)
    assert [(entry.name, entry.caption, entry.label) for entry in entries] == [
        ("a/--4gqARaEJE.mp4", "Dog, Speech", ""),
        ("a/-0RWZT-miFs_420000_430000.mp4", "Dog", "Dog"),
        ("a/aaaaaaaaaaa_30.500_40.500.mp4", "Male speech, man speaking", "Male speech, man speaking"),
        ("b/Ybbbbbbbbbbb_30.mkv", "Speech", "Speech"),
    ]
    assert "1 of 5 clips of the train split are missing: ccccccccccc" in caplog.text
    assert len(read(folder, split="balanced")) == 3
    assert [entry.name for entry in read(folder, split="unbalanced")] == ["b/Ybbbbbbbbbbb_30.mkv"]


@pytest.mark.parametrize(
    "stem",
    ["x_30", "x_000030", "x_30000", "x_30_40", "x_30.000_40.000", "x_30.0_40.0", "x_30000_40000", "x", "Yx", "Yx_30_40"],
)
def test_the_ways_of_naming_files_are_found(tmp_path, stem):
    text(tmp_path / "eval_segments.csv", HEAD + 'x, 30.000, 40.000, "/m/0bt9lr"\n')
    text(tmp_path / "class_labels_indices.csv", TITLES)
    empty(tmp_path, f"{stem}.mp4")
    assert [entry.label for entry in read(tmp_path, split="eval")] == ["Dog"]


def test_a_filtered_part_is_read_by_its_ids(folder, caplog):
    text(folder / "good.txt", "-0RWZT-miFs\nbbbbbbbbbbb\n")
    assert [entry.label for entry in read(folder, only="good.txt")] == ["Dog", "Speech"]
    assert len(read(folder, only=str(folder / "good.txt"), split="all")) == 2
    assert not caplog.text
    assert [entry.label for entry in manifest.read(f"audioset:{folder}:split=balanced:only=good.txt")] == ["Dog"]


def test_ten_seconds_are_cut_into_windows_of_four(tmp_path):
    text(tmp_path / "eval_segments.csv", HEAD + 'x, 0.000, 10.000, "/m/0bt9lr"\n')
    text(tmp_path / "class_labels_indices.csv", TITLES)
    film(tmp_path / "x_0_10.mp4", 10)
    geometry = Geometry(16, Fraction(4), 16, 16, 8000)
    found = [clip for _, clip in clips.stream_clips(clips.find_windows(read(tmp_path, split="eval"), geometry), geometry)]
    assert [(clip.frames.shape, clip.waveform.shape[1], clip.label) for clip in found] == [((16, 16, 16, 3), 32000, "Dog")] * 2


@pytest.mark.parametrize(
    ("name", "content", "options", "said"),
    [
        (
            "balanced_train_segments.csv",
            "x,soon,10,/m/0bt9lr\n",
            {"split": "balanced"},
            "line 1: expected YouTube id, first second",
        ),
        ("balanced_train_segments.csv", HEAD + "x, 1.0\n", {"split": "balanced"}, "line 4: expected"),
        ("eval_segments.csv", HEAD + 'x, 0, 10, "/m/none"\n', {"split": "eval"}, "line 4: '/m/none' is not among the codes"),
        ("eval_segments.csv", HEAD + 'x, 0, 10, "/m/0bt9lr"\n', {"split": "eval"}, "none of 1 clips of the eval split was found"),
        ("class_labels_indices.csv", TITLES, {"split": "eval"}, r"no eval_segments\.csv in"),
        ("class_labels_indices.csv", "index,name\n", {}, "no column 'mid'"),
        ("none.txt", "zzzzzzzzzzz\n", {"only": "csv/none.txt"}, r"no such clips in .* among the 1 ids of csv/none\.txt"),
        ("none.txt", "", {"only": "nowhere.txt"}, "only=nowhere.txt: no such file"),
        ("none.txt", "", {"split": "test"}, "split=test: expected train, balanced, unbalanced, eval, all"),
    ],
)
def test_what_does_not_fit_is_said(folder, name, content, options, said):
    text(folder / "csv" / name, content)
    with pytest.raises(ValueError, match=said):
        read(folder, **options)
