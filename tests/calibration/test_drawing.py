import sys

import pytest

from sonovid.calibration.drawing import import_pyplot, plot_effects, plot_shift_response
from sonovid.calibration.findings import Finding, Level
from sonovid.metrics.base import UnavailableError


def finding(name, fps, metric="sync"):
    degrees = (-40.0, 40.0) if name == "shift" else (1.0,)
    levels = tuple(Level(d, 0.5, -0.2, -0.3, -0.1, -1.5, 4) for d in degrees)
    return Finding(metric, name, fps, 0.7, 0.1, 4, levels, True, 1.0)


def test_figures_show_what_was_found(tmp_path):
    findings = [finding("shift", 25.0), finding("shift", 8.0), finding("swap", 25.0), finding("blur", 25.0)]
    findings.append(finding("shift", 25.0, "hears_alone"))
    whole = plot_effects(findings, 25.0, tmp_path / "effects.svg").read_text()
    assert "-1.50" in whole
    assert "hears_alone" in whole
    moved = plot_shift_response(findings, tmp_path / "moved.svg").read_text()
    assert "8 fps" in moved
    assert "25 fps" in moved
    assert "hears_alone" not in moved
    again = plot_shift_response(findings, tmp_path / "again.svg").read_text()
    assert moved == again


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UnavailableError, match=r"pip install 'sonovid\[eval\]'"):
        import_pyplot()
