import json
from collections import Counter
from itertools import pairwise

import pytest
from small_study import clip, folders

from sonovid import media
from sonovid.metrics.rating.study import draw, read_key, write


@pytest.fixture(scope="module")
def systems(tmp_path_factory):
    return folders(tmp_path_factory.mktemp("systems"))


def drawn(systems, **options):
    return draw(systems, **{"task": "joint", "questions": "cmmd", "clips": 3, "raters": 4, **options})


def test_all_systems_show_the_same_items_and_every_rater_all_clips_in_another_order(systems):
    study = drawn(systems)
    assert len(study.clips) == 9
    items = {system: {c.item for c in study.clips if c.system == system} for system in systems}
    assert len(items["ours"]) == 3
    assert items["ours"] == items["theirs"] == items["reference"]
    names = {c.id for c in study.clips}
    assert all(set(order) == names and len(order) == 9 for order in study.raters.values())
    assert len(set(study.raters.values())) == 4


def test_an_item_is_not_shown_twice_in_a_row(systems):
    study = drawn(systems, clips=4, raters=20)
    item = {c.id: c.item for c in study.clips}
    for order in study.raters.values():
        assert all(item[a] != item[b] for a, b in pairwise(order))


def test_a_seed_gives_its_study_again_and_another_gives_another(systems):
    assert drawn(systems, seed=5) == drawn(systems, seed=5)
    assert drawn(systems, seed=5).study != drawn(systems, seed=6).study


def test_groups_divide_the_items_and_are_dealt_in_turn(systems):
    study = drawn(systems, clips=4, raters=4, groups=2)
    item = {c.id: c.item for c in study.clips}
    shown = [{item[name] for name in order} for order in study.raters.values()]
    assert all(len(order) == 6 for order in study.raters.values())
    assert shown[0] == shown[2]
    assert shown[1] == shown[3]
    assert not shown[0] & shown[1]
    assert len(shown[0] | shown[1]) == 4


def test_systems_without_common_items_are_drawn_by_themselves(systems, tmp_path):
    (tmp_path / "others").mkdir()
    for i in range(3):
        media.write(tmp_path / "others" / f"other{i}.mp4", clip(i, 200 + i))
    mixed = {"ours": systems["ours"], "others": tmp_path / "others"}
    with pytest.raises(ValueError, match=r"0 items of the same name in common \(ours 4, others 3\).*--unpaired"):
        drawn(mixed)
    study = drawn(mixed, paired=False)
    assert Counter(c.system for c in study.clips) == {"ours": 3, "others": 3}
    assert not study.paired
    with pytest.raises(ValueError, match="clips=4: others has 3"):
        drawn(mixed, paired=False, clips=4)


def test_what_is_given_to_raters_says_nothing_of_systems(systems, tmp_path):
    study = drawn(systems)
    page, key = write(study, tmp_path / "study", embed_mb=0)
    assert key.parent == page.parent.parent
    given = sorted(path for path in page.parent.rglob("*") if path.is_file())
    assert {path.name for path in given} == {"index.html", *(f"{c.id}.mp4" for c in study.clips)}
    for path in given:
        content = path.read_bytes()
        assert not [
            word
            for word in (b"made by", b"ours", b"theirs", b"item0", b"item1", b"inner")
            if word in content.replace(b"yours", b"")
        ], path
    assert len({path.stat().st_mtime for path in given if path.suffix == ".mp4"}) == 1


def test_clips_are_the_ones_that_the_key_names(systems, tmp_path):
    study = drawn(systems)
    page, key = write(study, tmp_path / "study", embed_mb=0)
    assert read_key(key) == study
    for c in study.clips:
        shown, own = media.read(page.parent / "clips" / f"{c.id}.mp4"), media.read(c.file)
        assert shown.frames.shape == own.frames.shape
        assert abs(int(shown.frames.mean()) - int(own.frames.mean())) <= 2
        assert (shown.fps, shown.sample_rate) == (own.fps, own.sample_rate)


def test_small_studies_are_one_file(systems, tmp_path):
    page, _ = write(drawn(systems), tmp_path / "study", embed_mb=5)
    assert list(page.parent.iterdir()) == [page]


def test_files_may_be_taken_as_they_are(systems, tmp_path):
    study = drawn(systems)
    page, _ = write(study, tmp_path / "study", embed_mb=0, copy=True)
    first = study.clips[0]
    with open(first.file, "rb") as own:
        assert (page.parent / "clips" / f"{first.id}.mp4").read_bytes() == own.read()


def test_the_same_file_in_two_systems_is_told(systems, caplog):
    drawn({**systems, "again": systems["ours"]})
    assert "3 files are in the study more than once" in caplog.text
    assert "again and ours" in caplog.text


def test_folders_that_will_not_do_are_refused(systems, tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        drawn({"ours": tmp_path / "nowhere"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no video files there"):
        drawn({"ours": tmp_path / "empty"})
    with pytest.raises(ValueError, match="no more groups than clips or raters"):
        drawn(systems, groups=4)
    twice = tmp_path / "twice"
    twice.mkdir()
    media.write(twice / "a.mp4", clip(1, 300))
    media.write(twice / "a.mov", clip(1, 300))
    with pytest.raises(ValueError, match="both of the item a"):
        drawn({"ours": twice})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty"):
        write(drawn(systems), tmp_path / "full")


def test_a_clip_without_sound_is_refused(tmp_path):
    silent = tmp_path / "silent"
    silent.mkdir()
    one = clip(1, 300)
    media.write(silent / "a.mp4", type(one)(one.frames, None, one.fps, one.sample_rate))
    with pytest.raises(ValueError, match=r"a\.mp4: has no audio"):
        write(drawn({"ours": silent}, clips=1), tmp_path / "out")


@pytest.mark.parametrize("content", ["no", "[]", "{}", json.dumps({"format": "sonovid-rating-key/1"})])
def test_another_file_is_not_a_key(content, tmp_path):
    (tmp_path / "key.json").write_text(content)
    with pytest.raises(ValueError, match="not the key of a rating study"):
        read_key(tmp_path / "key.json")
