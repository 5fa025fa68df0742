import json

import pytest

from sonovid.cli import main


@pytest.fixture
def short(tmp_path):
    return ["calibrate", "--worlds", "hits", "--count", "4", "--seconds", "1", "--fps", "8", "--size", "16", "--rates", "none"]


def test_files_are_written_and_never_replaced_unasked(short, tmp_path, capsys):
    out, table = tmp_path / "c.json", tmp_path / "c.md"
    given = [*short, "--metrics", "onsets_f1,motion_onsets_f1", "--json", str(out), "--markdown", str(table)]
    assert main([*given, "--figures", str(tmp_path / "figures"), "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert {one["metric"] for one in json.loads(out.read_text())["findings"]} == {"onsets_f1", "motion_onsets_f1"}
    assert "onsets_f1" in table.read_text()
    assert (tmp_path / "figures" / "calibration-shift.svg").is_file()
    assert main(given) == 2
    assert "exists already; --overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--worlds", "hitz"], "did you mean 'hits'"), (["--metrics", "onsetz"], "onsets_f1"), (["--count", "2"], "at least 4")],
)
def test_mistakes_are_one_line(short, words, message, capsys):
    assert main([*short, "--metrics", "onsets_f1", *words]) == 2
    assert message in capsys.readouterr().err
