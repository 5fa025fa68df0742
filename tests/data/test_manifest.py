"""Manifests: reading folders and files, the held-out split, and errors for malformed input."""

import json

import pytest

from sonovid.data import manifest
from sonovid.data.manifest import Entry


@pytest.fixture
def folder(tmp_path):
    for name in ("b.mp4", "a.MP4", "rain/c.webm", ".hidden/d.mp4", "notes.doc", "sound.wav"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "b.txt").write_text("a ball\n bounces\n")
    (tmp_path / "b.json").write_text(json.dumps({"events": [0.5, 1], "label": "ball", "caption": "not this"}))
    (tmp_path / "a.json").write_text(json.dumps({"caption": "from the facts"}))
    return tmp_path


def test_a_folder_is_read_in_order_with_what_lies_beside(folder):
    a, b, c = manifest.read(folder)
    assert [entry.name for entry in (a, b, c)] == ["a.MP4", "b.mp4", "rain/c.webm"]
    assert (b.caption, b.label, b.events) == ("a ball bounces", "ball", (0.5, 1.0))
    assert (a.caption, a.label, c.label) == ("from the facts", "", "rain")
    assert [entry.name for entry in manifest.read(folder, include_audio=True)][-1] == "sound.wav"


def test_csv_and_jsonl_say_the_same(folder):
    (folder / "m.csv").write_text("video,text,label,start,seconds,events\nb.mp4,a ball,toy,1.5,2,0.25;1\na.MP4,,,,,\n")
    rows = [
        {"media_path": "b.mp4", "caption": "a ball", "label": "toy", "start": 1.5, "seconds": 2, "events": [0.25, 1]},
        {"path": "a.MP4"},
    ]
    (folder / "m.jsonl").write_text("\n\n".join(map(json.dumps, rows)))
    first, second = manifest.read(folder / "m.csv")
    assert first == Entry(str(folder / "b.mp4"), "a ball", "toy", 1.5, 2.0, (0.25, 1.0), "b.mp4")
    assert second == Entry(str(folder / "a.MP4"), name="a.MP4")
    assert manifest.read(folder / "m.jsonl") == [first, second]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("m.csv", "path,captoin\nb.mp4,x\n", "line 2: column 'captoin': did you mean 'caption'"),
        ("m.csv", "caption\nx\n", "line 2: no path"),
        ("m.csv", "path,caption\nb.mp4\n", "line 2: expected 2 fields"),
        ("m.csv", "path,start\nb.mp4,soon\n", "line 2: start='soon': expected seconds"),
        ("m.csv", "path,seconds\nb.mp4,0\n", "line 2: seconds is 0"),
        ("m.csv", "path\nb.mp4\nx.mp4\ny.mp4\n", r"no such files: x.mp4 \(line 3\), y.mp4 \(line 4\)"),
        ("m.csv", "", "empty"),
        ("m.jsonl", '{"path": "b.mp4"}\n{"path": \n', "line 2: not JSON"),
        ("m.jsonl", '["b.mp4"]\n', "line 1: expected an object"),
        ("m.jsonl", '{"path": "b.mp4", "start": -1}\n', "line 1: start=-1"),
        ("m.jsonl", '{"path": "b.mp4", "events": ["a"]}\n', "line 1: events='a'"),
        ("m.txt", "b.mp4\n", "expected a folder, a .csv or .jsonl manifest"),
    ],
)
def test_bad_manifests_are_told_by_their_line(folder, name, text, said):
    (folder / name).write_text(text)
    with pytest.raises(ValueError, match=said):
        manifest.read(folder / name)


def test_nothing_there_is_said(tmp_path):
    with pytest.raises(ValueError, match="no such folder or file"):
        manifest.read(tmp_path / "none")
    with pytest.raises(ValueError, match="no video files there"):
        manifest.read(tmp_path)


def test_binary_text_and_facts_are_refused_by_name(folder):
    (folder / "b.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"b\.txt: not UTF-8"):
        manifest.read(folder)
    (folder / "b.txt").unlink()
    (folder / "a.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"a\.json: expected an object"):
        manifest.read(folder)


def test_scenes_alternate_between_worlds_from_the_seed_on():
    entries = manifest.read("scenes:hits+bounces:4:seed=10")
    assert [entry.scene for entry in entries] == [("hits", 10), ("bounces", 11), ("hits", 12), ("bounces", 13)]
    assert manifest.read("scenes:hits:2") == manifest.read("scenes:hits:2:seed=0")


@pytest.mark.parametrize(
    "source", ["scenes:hits", "scenes:hits:many", "scenes:hits:0", "scenes:hits:5:sed=3", "scenes:hits:5:seed=x"]
)
def test_scenes_written_wrongly_are_shown_rightly(source):
    with pytest.raises(ValueError, match="expected scenes:WORLD"):
        manifest.read(source)


def test_a_misspelt_world_gets_the_near_miss():
    with pytest.raises(ValueError, match="did you mean 'bounces'"):
        manifest.read("scenes:bounce:3")


def test_what_is_held_out_stays_so_when_files_are_added():
    entries = manifest.read("scenes:hits:400:seed=0")
    training, held_out = manifest.split(entries, 0.1)
    assert sorted(training + held_out, key=lambda e: e.scene) == entries
    assert 15 < len(held_out) < 80
    _, later = manifest.split(manifest.read("scenes:hits:600:seed=0"), 0.1)
    assert set(held_out) <= set(later)


def test_stretches_of_one_file_are_not_torn_apart():
    entries = [Entry(f"{i // 10}.mp4", start=float(i)) for i in range(200)]
    training, held_out = manifest.split(entries, 0.3)
    assert held_out
    assert not {entry.path for entry in training} & {entry.path for entry in held_out}


def test_small_sets_keep_at_least_one_on_each_side():
    two = [Entry("a.mp4"), Entry("b.mp4")]
    training, held_out = manifest.split(two, 0.01)
    assert len(training) == len(held_out) == 1
    assert manifest.split(two[:1], 0.5) == (two[:1], [])
    assert manifest.split(two, 0.0) == (two, [])
    with pytest.raises(ValueError, match="share"):
        manifest.split(two, 1.0)
