from fractions import Fraction

import numpy as np
import pytest

from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry


def test_frames_define_the_duration():
    clip = Clip(np.zeros((30, 4, 6, 3), np.uint8), np.zeros((2, 100), np.float32), fps=Fraction(30000, 1001), sample_rate=48000)
    assert clip.seconds == Fraction(1001, 1000)
    assert clip.geometry == Geometry(30, Fraction(30000, 1001), 4, 6, 48000)


def test_audio_alone_defines_the_duration():
    assert Clip(None, np.zeros((1, 8000), np.float32), sample_rate=16000).seconds == Fraction(1, 2)


@pytest.mark.parametrize(
    ("frames", "waveform", "message"),
    [
        (None, None, "needs frames or a waveform"),
        (np.zeros((2, 4, 4, 3), np.float32), None, "uint8"),
        (np.zeros((2, 4, 4), np.uint8), None, "uint8"),
        (None, np.zeros(100, np.float32), "float32"),
        (None, np.zeros((1, 100)), "float32"),
    ],
)
def test_other_dtypes_and_shapes_are_refused(frames, waveform, message):
    with pytest.raises(ValueError, match=message):
        Clip(frames, waveform)
