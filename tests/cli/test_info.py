"""sonovid info of media files."""

from fractions import Fraction

import numpy as np
import pytest
from media_samples import make, numbered
from PIL import Image

from sonovid.cli import main
from sonovid.cli.info import describe_media
from sonovid.pipelines import loading


def test_the_pictures_that_are_shown_are_counted(tmp_path):
    """Frames are counted, not computed from header and rate: a gap of one second is in the middle."""
    stamps = [*range(10), *range(20, 30)]

    path = make(
        tmp_path / "a.mkv", frames=numbered(20), stamps=stamps, base=Fraction(1, 10), waveform=np.zeros((1, 48000), np.float32)
    )
    facts = describe_media(str(path))
    assert "20 in all" in facts["pictures"]
    assert "at varying times" in facts["pictures"]
    assert facts["sound"] == "16000 Hz, 1 channel"
    held = make(tmp_path / "b.mp4", frames=numbered(10), base=Fraction(1, 10), codec="libx264", last=30)
    assert describe_media(str(held)) == {
        "length": "3.900 s",
        "pictures": "48x32, 10 per second, 10 in all, the last held for 3.00 s",
    }


@pytest.mark.parametrize("name", ["missing.mp4", "clips/missing.mp4", "owner/film.webm", "frames/%04d.png"])
def test_the_hub_is_not_asked_for_media_files(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loading, "locate", lambda what: pytest.fail(f"looked for a model {what}"))
    assert main(["info", name]) == 2
    error = capsys.readouterr().err
    assert "no such file" in error or "does not exist" in error


def test_limits_hold_for_info_too(tmp_path, capsys):
    path = tmp_path / "wide.gif"
    Image.new("P", (9000, 4000)).save(path)
    assert main(["info", str(path)]) == 2
    assert "pixels" in capsys.readouterr().err


def test_numbered_pictures(tmp_path, capsys):
    for i, picture in enumerate(numbered(3)):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    assert main(["info", str(tmp_path)]) == 0
    assert "48x32, 3 numbered files" in capsys.readouterr().out
