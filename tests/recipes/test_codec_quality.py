"""What codecs lose is measured on a training's own clips, and much of it comes with advice."""

import json
import logging
from fractions import Fraction
from functools import partial

import pytest
import torch

from sonovid.codecs.separate import SeparateCodecs
from sonovid.core.av import AV
from sonovid.core.geometry import Geometry
from sonovid.data import clips, manifest
from sonovid.recipes import codec_quality as codec_loss

GEOMETRY = Geometry(8, Fraction(8), 16, 16, 16000)


class Kept:
    """A codec of one stream that loses nothing, but what it is told to."""

    def __init__(self, share=1.0):
        self.share = share

    def encode(self, x):
        return x * self.share

    def decode(self, x, *given):
        return x


@pytest.fixture(scope="module")
def windows():
    gone = clips.Window(manifest.Entry("gone.mp4", name="gone"))
    return [gone, *clips.find_windows(manifest.read("scenes:hits:3"), GEOMETRY)]


class Padded(Kept):
    """A codec that gives back a frame more than it was given."""

    def decode(self, x, *given):
        return torch.cat([x, x[:, :, -1:]], 2)


def measured(windows, *codecs):
    return codec_loss.measure(SeparateCodecs(*codecs), windows, partial(clips.load_clip, geometry=GEOMETRY), torch.device("cpu"))


def test_codecs_that_keep_everything_lose_nothing(windows):
    loss = measured(windows, Kept(), Kept())
    assert loss.clips == 3
    assert loss.psnr > 60
    assert loss.distance == pytest.approx(0, abs=1e-4)
    assert loss.onsets == 1
    assert loss.advice() == []


def test_frames_beyond_the_clip_are_not_measured(windows):
    assert measured(windows, Padded(), Kept()) == measured(windows, Kept(), Kept())


def test_what_is_lost_is_counted_and_comes_with_advice(windows, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    codec = SeparateCodecs(Kept(0.2), Kept(0.0))
    codec_loss.tell(codec, windows, partial(clips.load_clip, geometry=GEOMETRY), torch.device("cpu"), tmp_path / "run")
    known = json.loads((tmp_path / "run" / "codecs.json").read_text())
    assert known["psnr"] < 20
    assert known["onsets"] == 0
    assert "codec.frames" in caplog.text
    assert "codec.mel" in caplog.text
    caplog.clear()
    codec_loss.tell(codec, windows, partial(clips.load_clip, geometry=GEOMETRY), torch.device("cpu"), tmp_path / "run")
    assert not caplog.text, "once for each run"


def test_nothing_readable_measures_nothing(windows):
    assert measured(windows[:1], Kept(), Kept()) is None
    assert measured([], *AV(Kept(), Kept())) is None
