"""A written manifest is read back unchanged."""

from dataclasses import replace

import pytest

from sonovid.data import manifest, manifest_writer
from sonovid.data.entry import Entry


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_entries_come_back(suffix, tmp_path, caplog):
    (tmp_path / "far").mkdir()
    (tmp_path / "here" / "deep").mkdir(parents=True)
    files = [tmp_path / "here" / "deep" / "a.mp4", tmp_path / "here" / 'b, "ü".mp4', tmp_path / "far" / "c.mp4"]
    for file in files:
        file.touch()
    entries = [
        Entry(str(files[0]), 'a "dog", barking', "dog", 1.5, 2.0, (0.25, 0.5), "deep/a.mp4"),
        Entry(str(files[1]), name='b, "ü".mp4'),
        Entry(str(files[2]), "rain", name=str(files[2])),
    ]
    manifest_writer.write(tmp_path / "here" / f"list{suffix}", entries, {"score_of_clips": {"deep/a.mp4": 0.5}})
    assert manifest.read(tmp_path / "here" / f"list{suffix}") == entries
    assert "score_of_clips" in caplog.text
    assert "0.5" in (tmp_path / "here" / f"list{suffix}").read_text()


def test_what_cannot_be_listed_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"\.jsonl or \.csv"):
        manifest_writer.write(tmp_path / "a.txt", [])
    with pytest.raises(ValueError, match="does not exist"):
        manifest_writer.write(tmp_path / "none" / "a.csv", [])
    with pytest.raises(ValueError, match="is a scene"):
        manifest_writer.write(tmp_path / "a.csv", [replace(Entry("", name="hits/1"), scene=("hits", 1))])
