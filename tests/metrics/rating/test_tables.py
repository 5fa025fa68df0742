import json
import xml.etree.ElementTree as ET

import pytest
from small_study import answers, folders, save

from sonovid.metrics.rating import tables
from sonovid.metrics.rating.analysis import analyse
from sonovid.metrics.rating.answers import read
from sonovid.metrics.rating.study import draw


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    path = tmp_path_factory.mktemp("systems")
    systems = {"a|<b>": folders(path, systems=("ours",))["ours"], "theirs": folders(path, systems=("theirs",))["theirs"]}
    study = draw(systems, task="joint", questions="mmldm", clips=4, raters=3)

    def mark(rater):
        return lambda system, item, question: min(5, int(item[-1]) + (system == "theirs") + (rater == "2"))

    files = [save(path / f"{r}.json", answers(study, r, mark(r), leave_out=2 * (r == "3"))) for r in study.raters]
    return analyse(study, read(files, study))


def test_text_has_every_score_and_names_what_tests_depend_on(result):
    said = tables.text(result)
    for found in result.opinions:
        assert f"{found.mean:.2f}" in said
    assert "zeros by pratt" in said
    assert "Raters who did not finish: 1, counted as far as they got: rater 3 (6 of 8)." in said
    assert "p (Holm)" in said
    assert max(map(len, said.splitlines())) < 200


def test_markdown_tables_are_whole_though_names_hold_bars(result):
    lines = tables.markdown(result).splitlines()
    rows = [line.replace("\\|", "") for line in lines if line.startswith("|")]
    assert len(rows) == (6 + 2) + (3 + 2) + (3 + 2)
    assert {row.count("|") for row in rows} == {10}


def test_json_holds_everything_unrounded_and_no_blind_names(result):
    record = json.loads(json.dumps(tables.record(result)))
    assert [found["mean"] for found in record["opinions"]] == [found.mean for found in result.opinions]
    assert [pair["p"] for pair in record["comparisons"]] == [pair.p for pair in result.comparisons]
    assert record["scale"] == [0, 5]
    assert not [clip.id for clip in result.study.clips if clip.id in json.dumps(record)]


def test_html_needs_nothing_beside_it_and_escapes_names(result):
    page = tables.html(result)
    assert "<b>" not in page
    assert "a|&lt;b&gt;" in page
    assert "src=" not in page
    assert "<svg" in page


def test_box_plots_are_drawn_to_scale(result):
    drawing = ET.fromstring(tables.box_plots(result))
    space = "{http://www.w3.org/2000/svg}"
    boxes = drawing.findall(f".//{space}rect")
    assert len(boxes) == len(result.opinions)
    for box, found in zip(boxes, result.opinions, strict=True):
        mark = tables.HEIGHT / 5
        assert float(box.get("height")) == pytest.approx((found.box.third_quarter - found.box.first_quarter) * mark, abs=0.11)
        assert float(box.get("y")) == pytest.approx(tables.TOP + (5 - found.box.third_quarter) * mark, abs=0.06)
