from sonovid.calibration.findings import Finding, Level, OffsetErrors
from sonovid.calibration.tables import by_rate, number, offset_error_table, overview, signed, table


def finding(metric="sync", name="shift", fps=25.0, *, plot_effects=(-0.5, -2.0), responds=True, order=1.0):
    degrees = (-40.0, 40.0) if name == "shift" else (1.0, 2.0)
    levels = tuple(Level(d, 0.5, e / 10, e / 10 - 0.1, e / 10 + 0.1, e, 4) for d, e in zip(degrees, plot_effects, strict=True))
    return Finding(metric, name, fps, 0.75, 0.1, 4, levels, responds, order)


def test_every_cell_says_how_much_and_whether_in_order():
    text = overview(
        [
            finding(),
            finding(name="blur", order=0.2),
            finding(name="noise", responds=False),
            finding(name="freeze", order=-1.0),
            finding(fps=8.0, plot_effects=(-9.0, -9.0)),
        ],
        25.0,
    )
    row = next(line for line in text.splitlines() if "sync" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == ["sync", "0.75", "-2.00", "-", "-", "-2.00·", "-2.00~", "-2.00!", "-", "-"]


def test_rates_stand_below_each_other():
    rows = by_rate([finding(), finding(fps=8.0), finding(name="swap", plot_effects=(-1.0, -3.0)), finding("alone")]).splitlines()
    assert len(rows) == 2 + 2
    assert "-0.50 / -2.00" in rows[2]
    assert [row.split("|")[2].strip() for row in rows[2:]] == ["8", "25"]
    assert "-3.00" in rows[3]
    assert "-3.00" not in rows[2]


def test_errors_of_offsets():
    text = offset_error_table(
        [OffsetErrors("offset", "hits", 25.0, -12.345, 4.0, 0.9, 1.0), OffsetErrors("offset", "all", 8.0, *[float("nan")] * 4)]
    )
    assert "-12.3" in text
    assert "0.90" in text


def test_columns_are_even():
    lines = table(["a", "b"], [["word", "1"], ["w", "23.5"]]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[0].startswith("| a    |")
    assert lines[2].endswith("   1 |")


def test_numbers_in_words():
    assert [signed(0.123), signed(-12.4), signed(float("nan"))] == ["+0.12", "-12", "-"]
    assert [number(0.12345), number(float("nan"))] == ["0.123", "-"]
