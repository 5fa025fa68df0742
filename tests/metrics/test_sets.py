"""Sets of clips: names, captions, pairs, and everything that people bring in the wrong form."""

import json
import re
from pathlib import Path

import measured
import pytest

from sonovid import media
from sonovid.core.clip import Clip
from sonovid.metrics import sets
from sonovid.metrics.base import InputSpec


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    return measured.folder(tmp_path_factory.mktemp("sets") / "clips", range(4))


def test_a_folder_is_named_hashed_and_captioned_in_the_order_of_names(clips):
    found = sets.open_set(clips)
    assert [item.name for item in found.items] == ["000", "001", "002", "003"]
    assert found.items[1].caption == "a square, seed 1"
    assert found.title == "clips"
    assert len({item.sha256 for item in found.items}) == 4
    assert found.info == {"clips": 4, "seconds": 1.0, "fps": 8.0, "size": (32, 32), "sample_rate": measured.RATE}


def test_the_hash_of_a_set_does_not_depend_on_where_it_lies(clips, tmp_path):
    for path in clips.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert sets.open_set(tmp_path).sha256 == sets.open_set(clips).sha256
    (tmp_path / "000.txt").write_text("other words")
    assert sets.open_set(tmp_path).sha256 != sets.open_set(clips).sha256


def test_an_empty_folder_and_none_at_all(tmp_path):
    with pytest.raises(ValueError, match="no media files there"):
        sets.open_set(tmp_path)
    with pytest.raises(ValueError, match="no such folder or file"):
        sets.open_set(tmp_path / "nothing")


def test_two_files_of_one_name_are_refused(clips, tmp_path):
    for suffix in (".mp4", ".mov"):
        (tmp_path / f"a{suffix}").write_bytes((clips / "000.mp4").read_bytes())
    with pytest.raises(ValueError, match=r"a.mov and a.mp4 have the same name 'a'"):
        sets.open_set(tmp_path)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.97])
def test_a_truncated_file_among_good_ones_is_left_out_by_name(clips, tmp_path, share):
    for path in clips.glob("*.mp4"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    whole = (clips / "001.mp4").read_bytes()
    (tmp_path / "001.mp4").write_bytes(whole[: int(len(whole) * share)])
    found = sets.open_set(tmp_path)
    assert [item.name for item in found.items] == ["000", "002", "003"]
    assert [one.name for one in found.left_out] == ["001"]
    assert re.search("cut short|truncated", found.left_out[0].reason)
    (line,) = sets.set_warnings(found, None)
    assert line.startswith(f"{found.title}: 1 of 4 files left out: 001: ")


def test_nothing_readable_is_an_error(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no film")
    with pytest.raises(ValueError, match="none of its 1 files can be read; the first: a: "):
        sets.open_set(tmp_path)


def test_a_sound_of_no_numbers_is_seen_when_it_is_read(tmp_path):
    measured.no_numbers(tmp_path / "a.wav")
    # Not before: only decoding shows it. See test_extraction.
    assert len(sets.open_set(tmp_path)) == 1


def test_pairs_by_name_or_by_last_part(clips, tmp_path):
    inner = tmp_path / "deep" / "er"
    inner.mkdir(parents=True)
    for name in ("001.mp4", "003.mp4"):
        (inner / name).write_bytes((clips / name).read_bytes())
    deep, flat = sets.open_set(tmp_path), sets.open_set(clips)
    assert [(a.name, b.name) for a, b in sets.pair_by_name(deep, flat)] == [("deep/er/001", "001"), ("deep/er/003", "003")]
    lines = "\n".join(sets.set_warnings(deep, flat))
    assert "2 pairs by name, of 2 clips" in lines
    assert "0 and 2 are without a partner" in lines
    assert "2 files lie in both sets" in lines


def test_copies_and_other_rates_are_said(clips, tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes((clips / "000.mp4").read_bytes())
    assert any("1 of 2 files are copies" in line for line in sets.set_warnings(sets.open_set(tmp_path), None))


def test_lists_and_captions(clips, tmp_path):
    rows = [{"path": str(clips / "002.mp4"), "caption": "two"}, {"path": str(clips / "000.mp4"), "caption": "none"}]
    listed = tmp_path / "list.jsonl"
    listed.write_text("\n".join(map(json.dumps, rows)))
    found = sets.open_set(listed)
    assert [(item.name, item.caption) for item in found.items] == [("000", "none"), ("002", "two")]
    (tmp_path / "words.json").write_text(json.dumps({"000.mp4": "a  dog\n", "001": "a cat"}))
    words = sets.read_captions(tmp_path / "words.json")
    assert words == {"000": "a dog", "001": "a cat"}
    assert [item.caption for item in sets.open_set(clips, captions=words).items][:2] == ["a dog", "a cat"]
    (tmp_path / "words.csv").write_text("name,caption\n000,a dog\n")
    assert sets.read_captions(tmp_path / "words.csv") == {"000": "a dog"}
    (tmp_path / "bad.jsonl").write_text('{"path": "nowhere.mp4"}\n')
    with pytest.raises(ValueError, match=r"bad.jsonl line 1: no such file: nowhere.mp4"):
        sets.open_set(tmp_path / "bad.jsonl")
    with pytest.raises(ValueError, match=r"x.json: no such"):
        sets.read_captions(tmp_path / "x.json")


def test_captions_come_from_the_partner_where_there_are_none(clips, tmp_path):
    for path in clips.glob("*.mp4"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "001.txt").write_text("its own")
    build_network = sets.fill_captions(sets.open_set(tmp_path), sets.open_set(clips))
    assert [item.caption for item in build_network.items][:2] == ["a square, seed 0", "its own"]


def bare(clips, folder, names, *, sound):
    """Clips without the other stream."""
    folder.mkdir()
    for name in names:
        clip = media.read(clips / f"{name}.mp4")
        path = folder / f"{name}{'.wav' if sound else '.mkv'}"
        media.write(path, Clip(None if sound else clip.frames, clip.waveform if sound else None, clip.fps, clip.sample_rate))
    return sets.open_set(folder)


def test_sounds_alone_have_the_pictures_of_their_partners_beside_them(clips, tmp_path):
    reference = sets.open_set(clips)
    partners = {item.name: item for item in reference.items}
    sounds = bare(clips, tmp_path / "sounds", ("000", "001"), sound=True)
    found = sets.borrow_streams(sounds, reference)
    assert [item.video_source for item in found.items] == [partners["000"], partners["001"]]
    assert not any(item.audio_source for item in found.items)
    assert found.items[0].source(InputSpec(video=True)) is partners["000"]
    assert found.items[0].source(InputSpec(audio=True)) is found.items[0]
    assert found.info["fps"] == 8
    assert found.sha256 != sounds.sha256
    assert any("2 of 2 clips have no video" in line for line in sets.set_warnings(found, reference))
    films = sets.borrow_streams(bare(clips, tmp_path / "films", ("002",), sound=False), reference)
    assert films.items[0].audio_source is partners["002"]


def test_a_clip_that_lacks_what_others_have_is_lent_nothing(clips, tmp_path):
    bare(clips, tmp_path / "mixed", ("000",), sound=True)
    (tmp_path / "mixed" / "001.mp4").write_bytes((clips / "001.mp4").read_bytes())
    mixed = sets.open_set(tmp_path / "mixed")
    assert sets.borrow_streams(mixed, sets.open_set(clips)) == mixed
