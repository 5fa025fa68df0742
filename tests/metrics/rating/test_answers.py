import json
from dataclasses import replace

import pytest
from small_study import answers, folders, save

from sonovid.metrics.rating.answers import read
from sonovid.metrics.rating.study import draw


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return draw(folders(tmp_path_factory.mktemp("systems")), task="audio-to-video", questions="cmmd", clips=4, raters=3)


def marks(system, item, question):
    return {"ours": 4, "theirs": 2, "reference": 5}[system] - (question == "video_quality")


def test_marks_come_back_with_their_systems(study, tmp_path):
    found = read([save(tmp_path / f"{r}.json", answers(study, r, marks)) for r in ("2", "1")], study)
    assert len(found.ratings) == 2 * 12 * 2
    assert all(rating.value == marks(rating.system, rating.item, rating.question) for rating in found.ratings)
    assert [rater.rater for rater in found.raters] == ["1", "2"]
    assert all(rater.finished and rater.rated == 12 for rater in found.raters)


def test_csv_says_the_same_as_json(study, tmp_path):
    first, second = (answers(study, r, marks) for r in ("1", "2"))
    lines = ["study,rater,clip,question,rating,plays,seconds,unplayable"]
    for part in (first, second):
        for row in part["answers"]:
            lines += [f"{part['study']},{part['rater']},{row['clip']},{q},{v},1,3.2,false" for q, v in row["ratings"].items()]
        lines.append(lines[0])
    (tmp_path / "all.csv").write_text("\n".join(lines) + "\n")
    assert read([tmp_path / "all.csv"], study) == read([save(tmp_path / "all.json", [first, second])], study)


def test_the_unfinished_are_counted_and_kept(study, tmp_path):
    content = answers(study, "1", marks, leave_out=5)
    del content["answers"][0]["ratings"]["video_quality"]
    content["answers"][1].update(unplayable=True, ratings={})
    found = read([save(tmp_path / "1.json", content)], study)
    (rater,) = found.raters
    assert (rater.rated, rater.unplayable, rater.clips, rater.finished) == (5, 1, 12, False)
    assert len(found.ratings) == 7 * 2 - 1 - 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.update(study="other"), "answers to study 'other'"),
        (lambda c: c.update(rater="9"), "the study has raters 1, 2, 3"),
        (lambda c: c["answers"][0].update(clip="zzz"), "clip 'zzz' was not shown to rater 1"),
        (lambda c: c["answers"][0]["ratings"].update(beauty=3), "question 'beauty'; the study asked video_quality"),
        (lambda c: c["answers"][0]["ratings"].update(video_quality=6), "rating 6; expected a whole number from 1 to 5"),
        (lambda c: c["answers"][0]["ratings"].update(video_quality=0), "rating 0"),
        (lambda c: c["answers"][0]["ratings"].update(video_quality=2.5), r"rating 2\.5"),
        (lambda c: c["answers"][0]["ratings"].update(video_quality=True), "rating True"),
        (lambda c: c["answers"][0]["ratings"].update(video_quality=None), "rating None"),
        (lambda c: c["answers"].append(c["answers"][0]), "is rated twice"),
        (lambda c: c["answers"].clear(), "no ratings in"),
        (lambda c: c["answers"].append(7), "an answer without clip"),
        (lambda c: c.update(format="mine"), "not the answers of a rating study"),
    ],
)
def test_what_is_foreign_is_refused_in_one_line(study, tmp_path, change, said):
    content = answers(study, "1", marks)
    change(content)
    with pytest.raises(ValueError, match=said) as caught:
        read([save(tmp_path / "1.json", content)], study)
    assert "\n" not in str(caught.value)


def test_a_rater_comes_once(study, tmp_path):
    paths = [save(tmp_path / f"{name}.json", answers(study, "1", marks)) for name in "ab"]
    with pytest.raises(ValueError, match=r"rater 1 is in .*a\.json already"):
        read(paths, study)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", "", "expected the answers"),
        ("a.json", "{", "not JSON"),
        ("a.csv", "study,rater,clip\n", "no column 'question'"),
        ("a.csv", "study,rater,clip,question,rating\na,b\n", "line 2: expected 5 fields"),
        ("a.csv", "study,rater,clip,question,rating\na,1,b,c,4\n", "line 2: answers to study 'a'"),
        ("a.json", json.dumps(["x"]), "not the answers"),
    ],
)
def test_files_of_another_kind_are_refused(study, tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=said):
        read([tmp_path / name], study)


def test_a_clip_of_another_rater_s_part_is_foreign(study, tmp_path):
    content = answers(study, "1", marks)
    content["rater"] = "2"
    read([save(tmp_path / "same.json", content)], study)
    parts = replace(study, raters={**study.raters, "2": study.raters["2"][:3]})
    with pytest.raises(ValueError, match="was not shown to rater 2"):
        read([save(tmp_path / "part.json", content)], parts)
