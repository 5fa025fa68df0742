"""The results tab, with and without a file of results."""

import json
import math
from fractions import Fraction

import pytest

from sonovid.app.page import results
from sonovid.benchmark import report
from sonovid.benchmark.held_out import HeldOut
from sonovid.benchmark.scoring import Pair, Score, Scores
from sonovid.core.geometry import Geometry
from sonovid.metrics.results import FORMAT, Evaluation, Skipped, save


def test_without_a_file_the_tab_says_how_to_make_one():
    assert "sonovid app --table" in results.render_results(None)


def test_evaluations_and_comparisons_are_shown(tmp_path):
    from sonovid.metrics.results import Result

    one = Result("onsets_f1", "alignment", "events", "higher", "", "ours", 0.5, generated=4, reference=0)
    first, second = (Evaluation(title, (one,), (Skipped("fvd", "video", "no weights"),)) for title in ("<ours>", "theirs"))
    save(first, tmp_path / "one.json")
    html = results.render_results(tmp_path / "one.json")
    assert "&lt;ours&gt;" in html
    assert "0.5000" in html
    assert "no weights" in html
    both = {"format": FORMAT, "systems": [json.loads(each.to_json()) for each in (first, second)], "comparisons": []}
    for each in both["systems"]:
        del each["format"]
    (tmp_path / "both.json").write_text(json.dumps(both))
    assert [each.title for each in results.load_results(tmp_path / "both.json")] == ["<ours>", "theirs"]
    assert not math.isnan(results.load_results(tmp_path / "both.json")[1]["onsets_f1"].value)


def test_the_table_of_a_benchmark_is_shown(tmp_path):
    nan = float("nan")
    held_out = HeldOut(("hits", "bounces"), 4, 90_000_000, Geometry(16, Fraction(8), 64, 64, 16000))
    numbers = [
        Score("joint", "fvd_scenes", "a distance", "lower", system, value, nan, nan, 6.0, None, 4)
        for system, value in (("<ours>", 8.25), ("theirs", 20.5))
    ]
    pair = Pair("joint", "fvd_scenes", "<ours>", "theirs", 0.01, nan)
    scores = Scores(tuple(numbers), (pair,), ("a note & more",), {"<ours>": {"parameters": 7}, "theirs": {}}, held_out)
    (tmp_path / "results.json").write_text(report.to_json(scores))
    again = report.from_json((tmp_path / "results.json").read_text())
    assert report.rows(again) == report.rows(scores)
    html = results.render_results(tmp_path / "results.json")
    for words in (
        "&lt;ours&gt;",
        "8.25",
        "20.5",
        "fvd_scenes",
        "4 held-out scenes of hits, bounces",
        "a note &amp; more",
        "parameters",
    ):
        assert words in html
    assert "<ours>" not in html
    (tmp_path / "results.json").write_text('{"held_out": {}, "scores": []}')
    with pytest.raises(ValueError, match=r"expected results\.json of sonovid benchmark"):
        results.render_results(tmp_path / "results.json")


@pytest.mark.parametrize("text", ["no json", "[]", "{}", '{"systems": [{}]}'])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=r"not JSON|expected a file that"):
        results.render_results(tmp_path / "x.json")
