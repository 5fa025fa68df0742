"""sonovid metrics: the tables and the details of a metric."""

import pytest

from sonovid.cli import main
from sonovid.metrics import catalogue


@pytest.fixture(autouse=True)
def _bare(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("SONOVID_WEIGHTS", str(tmp_path))


@pytest.mark.parametrize("columns", [100, 140])
def test_every_metric_has_one_line_within_the_terminal(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["metrics", "all"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line for line in lines[1 : lines.index("")]}
    assert set(rows) == set(catalogue.metrics())
    assert max(map(len, rows.values())) <= columns
    assert rows["onsets_f1"].endswith("  pairs")
    assert rows["fvd_i3d400"].endswith("  reference, fetch")
    assert rows["clap_score_htsat_unfused"].endswith("  captions, fetch")
    families = [line.split()[1] for line in rows.values()]
    assert families == sorted(families, key=list(catalogue.families()).index)


def test_a_named_one_is_told_in_full(capsys):
    assert main(["metrics", "fvd_i3d400,offset_scenes"]) == 0
    first, second = capsys.readouterr().out.split("\n\n")
    assert first.splitlines()[0] == "fvd_i3d400"
    for fact in ("family   fvd", "lower is better", "needs    reference", "fetch it from https://", "Unterthiner"):
        assert fact in first
    for fact in ("closer to zero is better; in ms", catalogue.metrics()["offset_scenes"].what):
        assert fact in second
    assert "fetch" not in second


def test_a_misspelt_one_is_one_line(capsys):
    assert main(["metrics", "pnsr"]) == 2
    assert "did you mean psnr" in capsys.readouterr().err


@pytest.mark.parametrize("columns", [100, 160])
def test_without_a_name_there_is_a_line_to_a_family(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["metrics"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line for line in lines[1 : lines.index("")]}
    assert list(rows) == list(catalogue.families())
    assert max(map(len, rows.values())) <= columns
    assert len(lines) < 40
    # What is at hand comes first, what is not in brackets.
    assert f"1 of {len(catalogue.families()['fvd'])}" in rows["fvd"]
    assert "fvd_scenes (fvd_i3d400" in rows["fvd"]
    assert "0 of 2" in rows["desync"]
