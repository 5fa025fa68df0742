"""Codec quality: measure on a training's own clips, with advice where it is poor."""

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
from sonovid.recipes import codec_quality

GEOMETRY = Geometry(8, Fraction(8), 16, 16, 16000)


class Identity:
    """A codec of one stream that scales its input by `share`, and is lossless for 1."""

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


class Padded(Identity):
    """A codec that returns one frame more than it was given."""

    def decode(self, x, *given):
        return torch.cat([x, x[:, :, -1:]], 2)


def measure(windows, *codecs):
    return codec_quality.measure_quality(
        SeparateCodecs(*codecs), windows, partial(clips.load_clip, geometry=GEOMETRY), torch.device("cpu")
    )


def test_lossless_codecs_have_perfect_quality(windows):
    loss = measure(windows, Identity(), Identity())
    assert loss.clips == 3
    assert loss.psnr > 60
    assert loss.distance == pytest.approx(0, abs=1e-4)
    assert loss.onsets == 1
    assert loss.advice() == []


def test_frames_beyond_the_clip_are_ignored(windows):
    assert measure(windows, Padded(), Identity()) == measure(windows, Identity(), Identity())


def test_poor_quality_is_reported_once_with_advice(windows, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    codec = SeparateCodecs(Identity(0.2), Identity(0.0))
    codec_quality.report_quality(
        codec, windows, partial(clips.load_clip, geometry=GEOMETRY), torch.device("cpu"), tmp_path / "run"
    )
    known = json.loads((tmp_path / "run" / "codecs.json").read_text())
    assert known["psnr"] < 20
    assert known["onsets"] == 0
    assert "codec.frames" in caplog.text
    assert "codec.mel" in caplog.text
    caplog.clear()
    codec_quality.report_quality(
        codec, windows, partial(clips.load_clip, geometry=GEOMETRY), torch.device("cpu"), tmp_path / "run"
    )
    assert not caplog.text, "once for each run"


def test_without_readable_clips_there_is_no_measurement(windows):
    assert measure(windows[:1], Identity(), Identity()) is None
    assert measure([], *AV(Identity(), Identity())) is None
