"""Systems side by side: what differs is found, what does not is not, and what may not be compared is not compared."""

import math
from dataclasses import replace
from fractions import Fraction

import measured
import numpy as np
import pytest

from sonovid import media
from sonovid.core.clip import Clip
from sonovid.metrics.compare import compare
from sonovid.metrics.evaluate import EvaluationConfig, evaluate_all
from sonovid.metrics.report import cells
from sonovid.metrics.results import Evaluation, Result
from sonovid.metrics.sets import open_set


def system(title, mean, *, seed, metric="sync", better="higher", spread=0.1, count=40, record=None):
    values = mean + spread * np.random.default_rng(seed).standard_normal(count)
    clips = {f"{i:03d}": float(v) for i, v in enumerate(values)}
    result = Result(
        metric,
        "f",
        "",
        better,
        "",
        "",
        float(values.mean()),
        count,
        count,
        std=spread / count**0.5,
        clips=clips,
        record=record or {},
    )
    return Evaluation(title, (result,), record={"reference": {"sha256": "a"}})


def test_a_true_difference_is_found_and_noise_is_not():
    a, b, c = system("a", 0.5, seed=0), system("b", 0.7, seed=1), system("c", 0.7, seed=2)
    found = compare([a, b, c])
    assert found.between("sync", "a", "b").significant()
    assert not found.between("sync", "c", "b").significant()
    assert found.between("sync", "a", "b").difference == pytest.approx(-0.2, abs=0.06)
    assert sorted(found.best("sync", [a, b, c]).items()) == [("a", ""), ("b", "best"), ("c", "same")] or sorted(
        found.best("sync", [a, b, c]).items()
    ) == [("a", ""), ("b", "same"), ("c", "best")]


def test_p_is_corrected_for_all_comparisons():
    systems = [system(name, 0.5 + 0.03 * i, seed=i) for i, name in enumerate("abcd")]
    found = compare(systems).comparisons
    assert len(found) == 6
    assert all(one.adjusted >= one.p for one in found)
    assert max(one.adjusted / one.p for one in found if one.adjusted < 1) > 1


def test_equal_systems_are_seldom_told_apart():
    wrong = sum(
        any(one.significant() for one in compare([system("a", 0, seed=2 * i), system("b", 0, seed=2 * i + 1)]).comparisons)
        for i in range(40)
    )
    assert wrong <= 6


def test_offsets_count_by_how_far_they_are_off():
    early = system("early", -80.0, seed=0, better="zero", spread=5.0)
    near = system("near", 20.0, seed=1, better="zero", spread=5.0)
    found = compare([early, near])
    assert found.comparisons[0].difference == pytest.approx(60, abs=4)
    assert found.best("sync", [early, near]) == {"early": "", "near": "best"}


def distance(title, value, draws, alike="x"):
    result = Result(
        "fvd", "f", "", "lower", "", "", value, 40, 40, std=float(np.std(draws)), draws=tuple(draws), alike=alike, record={}
    )
    return Evaluation(title, (result,), record={"reference": {"sha256": "a"}})


def test_distances_drawn_alike_are_pairs():
    noise = np.random.default_rng(0).standard_normal(200) * 10
    a, b = distance("a", 100.0, 100 + noise), distance("b", 104.0, 104 + noise + np.linspace(-1, 1, 200))
    assert compare([a, b]).comparisons[0].significant()
    apart = distance("b", 104.0, 104 + noise, alike="y")
    assert not compare([a, apart]).comparisons[0].significant()
    same = compare([a, replace(a, title="b")]).comparisons[0]
    assert (same.difference, same.p) == (0, 1)


def test_numbers_of_other_kinds_are_not_compared():
    a, b = system("a", 0.5, seed=0, record={"estimator": "f"}), system("b", 0.9, seed=1, record={"estimator": "g"})
    (one,) = compare([a, b]).comparisons
    assert one.barred == "estimator: a f, b g"
    assert math.isnan(one.p)
    assert not one.significant()
    other = replace(system("b", 0.9, seed=1), record={"reference": {"sha256": "b"}})
    assert compare([system("a", 0.5, seed=0), other]).comparisons[0].barred.startswith("reference.sha256")


def test_names_must_tell_systems_apart():
    with pytest.raises(ValueError, match="different titles"):
        compare([system("a", 0, seed=0), system("a", 0, seed=1)])


def read_at(fps, name="farneback"):
    return {"extractors": [{"name": name, "reading": {"fps": None}, "generated": {"clips": 40, "fps": fps}}]}


def test_another_frame_rate_is_never_ranked():
    """AV-Align's window is one frame: the same clips score higher at 8 frames per second than at 16."""
    slow, fast = system("slow", 0.416, seed=0, record=read_at(8.0)), system("fast", 0.319, seed=1, record=read_at(16.0))
    found = compare([slow, fast])
    assert "extractors.farneback.generated.fps: slow 8.0, fast 16.0" in found.comparisons[0].barred
    assert math.isnan(found.comparisons[0].p)
    assert found.best("sync", [slow, fast]) == {"slow": "", "fast": ""}
    # A third system does not bring the ranking back.
    third = system("third", 0.2, seed=2, record=read_at(16.0))
    assert set(compare([slow, fast, third]).best("sync", [slow, fast, third]).values()) == {""}
    alike = compare([fast, third])
    assert alike.best("sync", [fast, third])["fast"] == "best"


def test_what_should_be_one_is_no_better_above():
    over, near = system("over", 1.6, seed=0, better="one"), system("near", 0.95, seed=1, better="one")
    found = compare([over, near])
    assert found.best("sync", [over, near]) == {"over": "", "near": "best"}
    assert found.comparisons[0].difference == pytest.approx(0.6 - 0.09, abs=0.08)


def test_folders_of_two_frame_rates_are_measured_and_not_ranked(tmp_path):
    systems = []
    for title, fps in (("eight", 8), ("sixteen", 16)):
        (tmp_path / title).mkdir()
        for i in range(4):
            one = measured.clip(i)
            frames = np.repeat(one.frames, fps // 8, axis=0)
            media.write(tmp_path / title / f"{i}.mkv", Clip(frames, one.waveform, Fraction(fps), one.sample_rate))
        systems.append(open_set(tmp_path / title))
    both = evaluate_all(systems, None, [measured.TIME], EvaluationConfig(resamples=5))
    found = compare(both)
    assert "fps: eight 8.0, sixteen 16.0" in found.comparisons[0].barred
    assert all("≠" in cell for cell in cells.comparison_table(both, found).rows[0][1:3])
