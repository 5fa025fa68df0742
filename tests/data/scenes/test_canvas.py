"""Canvas: shapes cover the area they should, edges are smooth, frames are independent."""

import numpy as np
import pytest

from sonovid.data.scenes.canvas import Canvas, box, disc, dots, ellipse, rotated_ellipse, stroke, trapezium

WHITE = (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        (disc(0.03, -0.02, 0.2), np.pi * 0.04),
        (ellipse(0.0, 0.0, 0.3, 0.15), np.pi * 0.045),
        (rotated_ellipse(0.0, 0.0, 0.3, 0.15, 0.7), np.pi * 0.045),
        (box(-0.21, -0.1, 0.2, 0.13), 0.41 * 0.23),
        (trapezium(0.0, -0.1, 0.1, 0.3, 0.2), 0.5 * 0.2),
        (stroke(-0.2, -0.1, 0.2, 0.1, 0.05), 0.1 * np.hypot(0.4, 0.2) + np.pi * 0.0025),
        (dots(np.array([[-0.2], [0.2]]), np.zeros((2, 1)), np.full((2, 1), 0.1)), 2 * np.pi * 0.01),
    ],
)
def test_shapes_cover_their_area(shape, area):
    canvas = Canvas(64, 64)
    canvas.fill(shape, WHITE)
    assert canvas.image[0, :, :, 0].mean() == pytest.approx(area, rel=0.03)


def test_a_tiny_step_moves_the_picture_a_little():
    pictures = []
    for x in (0.0, 0.002):
        canvas = Canvas(32, 32)
        canvas.fill(disc(x, 0.0, 0.2), WHITE)
        pictures.append(canvas.image)
    change = np.abs(pictures[0] - pictures[1])
    assert 0 < change.max() < 0.15


def test_each_frame_takes_its_own_values():
    x = np.array([-0.2, 0.0, 9.0, 0.2])
    many = Canvas(20, 30)
    many.animate(4)
    many.fill(disc(x, 0.0, 0.1), WHITE, np.array([1.0, 0.5, 1.0, 1.0]))
    for k, alpha in enumerate((1.0, 0.5, 1.0, 1.0)):
        one = Canvas(20, 30)
        one.fill(disc(float(x[k]), 0.0, 0.1), WHITE, alpha)
        assert np.allclose(many.image[k], one.image[0])
    assert not many.image[2].any()


def test_frames_are_rounded_to_bytes():
    canvas = Canvas(4, 4)
    canvas.image[:] = np.array((-0.2, 0.502, 1.3))
    assert canvas.frames().dtype == np.uint8
    assert canvas.frames()[0, 0, 0].tolist() == [0, 128, 255]
