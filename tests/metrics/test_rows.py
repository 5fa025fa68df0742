import numpy as np
import pytest

from sonovid.metrics.rows import check_row_pair, check_rows, rows_by_clip

ROWS = np.arange(12.0).reshape(4, 3)


def test_rows_become_float64_without_a_copy_where_they_are():
    assert check_rows(ROWS, "features") is ROWS
    assert check_rows(ROWS.astype(np.float32), "features").dtype == np.float64


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (ROWS[:1], "got 1 row of features; expected at least 2"),
        (ROWS[:0], "got 0 rows"),
        (np.where(ROWS == 4, np.nan, ROWS), r"1 of 4 rows contain NaN or infinity \(rows 1\)"),
        (np.where(ROWS > 7, np.inf, ROWS), r"2 of 4 rows .*\(rows 2, 3\)"),
        (ROWS[:, :0], "expected rows of features"),
    ],
)
def test_rows_that_would_spoil_a_number_are_refused(rows, said):
    with pytest.raises(ValueError, match=said) as caught:
        check_rows(rows, "generated")
    assert "generated" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_widths_are_refused():
    with pytest.raises(ValueError, match="generated is 3 wide, reference 2"):
        check_row_pair(ROWS, ROWS[:, :2])


def test_rows_of_a_clip_stay_together_in_order_of_appearance():
    groups = rows_by_clip([7, 2, 7, 5, 2, 7], 6)
    assert [group.tolist() for group in groups] == [[0, 2, 5], [1, 4], [3]]
    assert [group.tolist() for group in rows_by_clip(None, 3)] == [[0], [1], [2]]
    with pytest.raises(ValueError, match="clip of each of 3 rows"):
        rows_by_clip([1, 2], 3)
