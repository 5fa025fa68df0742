"""F1 over many clips: against its definition, and two systems that differ or do not."""

import numpy as np
import pytest

from sonovid.benchmark import event_f1
from sonovid.metrics.alignment import agreement


def test_f1_is_that_of_all_clips_together():
    found = [[0.1, 0.5], [1.0], []]
    true = [[0.15], [0.2, 1.05], [0.3]]
    rows = event_f1.match_counts(found, true)
    assert rows.tolist() == [[1, 3], [1, 3], [0, 1]]
    one = event_f1.f1(rows)
    assert one.value == pytest.approx(agreement(list(zip(found, true, strict=True))).f1) == pytest.approx(4 / 7)
    assert one.low <= one.value <= one.high
    assert event_f1.f1(event_f1.match_counts([[]], [[]])) == (0, 0, 0)


def test_a_true_difference_is_found_and_none_is_not():
    draw = np.random.default_rng(0)
    true = [np.sort(draw.uniform(0, 2, 4)).tolist() for _ in range(60)]
    good = [[t + draw.normal(0, 0.02) for t in clip] for clip in true]
    bad = [draw.uniform(0, 2, 4).tolist() for _ in true]
    alike = [[t + draw.normal(0, 0.02) for t in clip] for clip in true]
    rows = [event_f1.match_counts(one, true) for one in (good, bad, alike)]
    assert event_f1.permutation_test(rows[0], rows[1]) < 0.001
    assert event_f1.permutation_test(rows[0], rows[2]) > 0.05
    assert event_f1.permutation_test(rows[0], rows[0]) == 1
    assert np.isnan(event_f1.permutation_test(rows[0][:0], rows[1][:0]))
