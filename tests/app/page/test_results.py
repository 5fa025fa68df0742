"""The results tab, with and without a file of results."""

import json
import math

import pytest

from sonovid.app.page import results
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


@pytest.mark.parametrize("text", ["no json", "[]", "{}", '{"systems": [{}]}'])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=r"not JSON|expected a file that"):
        results.render_results(tmp_path / "x.json")
