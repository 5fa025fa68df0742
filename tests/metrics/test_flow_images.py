"""Flow as pictures: where something moves there is light, of a colour that tells whither."""

import numpy as np
import pytest

from sonovid.metrics.flow_images import flow_images

pytest.importorskip("cv2")


def moving(step: int) -> np.ndarray:
    """A bright textured square on grey that moves sideways by so many pixels a frame."""
    frames = np.full((5, 48, 64, 3), 90, np.uint8)
    texture = np.random.default_rng(0).integers(120, 255, (16, 16, 1)).repeat(3, -1).astype(np.uint8)
    for index, frame in enumerate(frames):
        x = 24 + step * (index - 2)
        frame[16:32, x : x + 16] = texture
    return frames


def test_what_moves_is_bright_and_its_colour_tells_the_direction():
    right, left = flow_images(moving(2)), flow_images(moving(-2))
    assert right.shape == (5, 48, 64, 3)
    assert (right[0] == right[1]).all()
    for pictures in (right, left):
        assert pictures[2, 20:28, 28:36].max(-1).mean() > 150
        assert pictures[2, :6, :10].max() < 40
    # Rightwards is red (0 degrees), leftwards cyan (180).
    assert right[2, 20:28, 28:36, 0].mean() > right[2, 20:28, 28:36, 1:].mean() + 100
    assert left[2, 20:28, 28:36, 0].mean() < left[2, 20:28, 28:36, 1:].mean() - 100


def test_stillness_is_black():
    assert flow_images(moving(0)).max() < 30
    assert flow_images(moving(1)[:1]).max() == 0
