"""Lengths of results and their windows."""

from fractions import Fraction

import numpy as np
import pytest

from sonovid.core.av import Task
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.pipelines.timeline import plan_timeline

OWN = Geometry(8, Fraction(8), 16, 16, 8000)


def test_without_input_the_length_is_at_most_the_model_s():
    assert (
        plan_timeline(Task.JOINT, None, None, None, OWN).num_frames,
        plan_timeline(Task.JOINT, None, None, 0.5, OWN).num_frames,
    ) == (
        8,
        4,
    )
    with pytest.raises(ValueError, match="1 s at most"):
        plan_timeline(Task.JOINT, None, None, 1.5, OWN)


def test_an_input_clip_defines_the_length_and_the_windows():
    frames = np.zeros((75, 4, 4, 3), np.uint8)
    found = plan_timeline(Task.VIDEO_TO_AUDIO, Clip(frames, None, fps=Fraction(30)), None, None, OWN)
    assert (found.num_frames, found.starts, found.seconds) == (20, [0, 7, 12], Fraction(5, 2))
    assert found.num_samples(OWN) == 20000
    with pytest.raises(ValueError, match="lacks the video"):
        plan_timeline(Task.VIDEO_TO_AUDIO, Clip(None, np.zeros((1, 9), np.float32)), None, None, OWN)
