"""Results in JSON: what goes in comes out; and how records of two results differ."""

import json
import math
import statistics
from dataclasses import replace
from functools import partial

import measured
import pytest

from sonovid.metrics import record, results
from sonovid.metrics.frechet import frechet
from sonovid.metrics.results import Evaluation, Result, Skipped


def result(name="fvd_x", **values):
    basic = {
        "family": "fvd",
        "what": "",
        "better": "lower",
        "unit": "",
        "source": "",
        "value": 1.5,
        "generated": 4,
        "reference": 5,
    }
    return Result(name, **{**basic, **values})


def evaluation(title="ours", *found, **common):
    return Evaluation(title, found or (result(),), record={"reference": {"sha256": "a" * 64}, "seed": 0, **common})


def test_json_and_back(tmp_path):
    one = Evaluation(
        "ours",
        (result(clips={"a": 1.0, "b": math.nan}, draws=(1.0, 2.0), left_out={"ours": {"c": "short"}}, warnings=("w",)),),
        (Skipped("m", "f", "why"),),
        ("two",),
        {"seed": 0},
    )
    results.save(one, tmp_path / "a.json")
    back = results.load(tmp_path / "a.json")
    assert back.to_json() == one.to_json()
    assert math.isnan(back["fvd_x"].clips["b"])
    assert math.isnan(back["fvd_x"].low)
    assert back["fvd_x"].value == 1.5
    json.loads((tmp_path / "a.json").read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_other_files_are_refused(tmp_path):
    for text in ("{", "[]", "{}", '{"format": 99, "results": []}'):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(ValueError, match=r"x.json: (not JSON|expected a file that)"):
            results.load(tmp_path / "x.json")
    with pytest.raises(KeyError, match="available are fvd_x"):
        evaluation()["other"]


def test_equal_records_do_not_differ_though_the_clips_do():
    first = evaluation("ours", generated={"title": "ours", "sha256": "1", "clips": 4})
    second = evaluation("theirs", generated={"title": "theirs", "sha256": "2", "clips": 4})
    assert record.record_differences(first, second) == []


def test_what_bars_a_comparison_and_what_only_warns():
    first = evaluation(
        "ours", result(record={"estimator": "frechet(ddof=1)", "extractors": [{"name": "i3d", "generated": {"fps": 8}}]})
    )
    second = evaluation(
        "theirs", result(record={"estimator": "frechet(ddof=0)", "extractors": [{"name": "i3d", "generated": {"fps": 10}}]})
    )
    found = {one.line: one.prevents_comparison for one in record.record_differences(first, second)}
    assert found == {
        "estimator: ours frechet(ddof=1), theirs frechet(ddof=0)": True,
        "extractors.i3d.generated.fps: ours 8, theirs 10": True,
    }
    other = replace(second, record={**second.record, "reference": {"sha256": "b" * 64}, "seed": 1})
    common = [(one.line, one.prevents_comparison) for one in record.record_differences(first, other) if not one.metric]
    assert common == [("reference.sha256: ours aaaaaaaaaaaa..., theirs bbbbbbbbbbbb...", True), ("seed: ours 0, theirs 1", False)]


def test_functions_are_described_by_name_and_settings():
    assert record.describe_function(frechet) == "frechet(ddof=1)"
    assert record.describe_function(partial(frechet, ddof=0)) == "frechet(ddof=0)"

    def made(power):
        def function(x):
            return x**power

        return function

    assert record.describe_function(made(3)) == "test_functions_are_described_by_name_and_settings(power=3)"


def test_what_makes_a_number_of_many_clips_is_named():
    assert record.estimator(measured.TIME) == "mean over clips of in_time"
    assert record.estimator(measured.PAIR) == "mean over clips of level_difference"
    assert record.estimator(replace(measured.TIME, summary=statistics.median)) == "median over clips of in_time"
    assert record.estimator(measured.PER_CLIP) == "mean over clips of per_clip(ddof=1) of features"
