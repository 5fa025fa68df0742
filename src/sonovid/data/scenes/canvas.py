"""Paints anti-aliased shapes, given by signed distances, on all frames at once.

The unit of length is the shorter side of the image. (0, 0) is the centre, x points right and y down. Parameters of a shape are
numbers, or arrays [t] with one value per frame.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sonovid.data.scenes.random_stream import Number

Value = Number | np.ndarray
At = Callable[[Value], Value]  # selects a parameter for the painted frames and broadcasts it against pixel grids
Field = Callable[[np.ndarray, np.ndarray, At], np.ndarray]
Colour = tuple[Number, Number, Number]


@dataclass(frozen=True)
class Shape:
    """A shape.

    Attributes:
        bounds: Left, top, right, bottom.
        distance: Signed distance of points (x, y) from the edge, negative inside.
    """

    bounds: tuple[Value, Value, Value, Value]
    distance: Field


def disc(cx: Value, cy: Value, r: Value) -> Shape:
    return Shape((cx - r, cy - r, cx + r, cy + r), lambda x, y, at: np.hypot(x - at(cx), y - at(cy)) - at(r))


def ellipse(cx: Value, cy: Value, rx: Value, ry: Value) -> Shape:
    """An ellipse. Its distance is the usual first-order approximation, exact at the edge."""

    def distance(x: np.ndarray, y: np.ndarray, at: At) -> np.ndarray:
        u, v = (x - at(cx)) / at(rx), (y - at(cy)) / at(ry)
        k = np.hypot(u, v)
        return k * (k - 1.0) / np.maximum(np.hypot(u / at(rx), v / at(ry)), 1e-9)

    return Shape((cx - rx, cy - ry, cx + rx, cy + ry), distance)


def rotated_ellipse(cx: Value, cy: Value, long: Value, wide: Value, angle: Value) -> Shape:
    """An ellipse rotated by `angle`."""
    r = np.maximum(long, wide)

    def distance(x: np.ndarray, y: np.ndarray, at: At) -> np.ndarray:
        c, s = np.cos(at(angle)), np.sin(at(angle))
        dx, dy = x - at(cx), y - at(cy)
        u, v = (dx * c + dy * s) / at(long), (dy * c - dx * s) / at(wide)
        k = np.hypot(u, v)
        return k * (k - 1.0) / np.maximum(np.hypot(u / at(long), v / at(wide)), 1e-9)

    return Shape((cx - r, cy - r, cx + r, cy + r), distance)


def box(left: Value, top: Value, right: Value, bottom: Value, round: Value = 0.0) -> Shape:
    """An axis-aligned rectangle with corners rounded by a radius."""

    def distance(x: np.ndarray, y: np.ndarray, at: At) -> np.ndarray:
        x0, y0, x1, y1, k = at(left), at(top), at(right), at(bottom), at(round)
        dx = np.abs(x - (x0 + x1) / 2) - (x1 - x0) / 2 + k
        dy = np.abs(y - (y0 + y1) / 2) - (y1 - y0) / 2 + k
        return np.hypot(np.maximum(dx, 0.0), np.maximum(dy, 0.0)) + np.minimum(np.maximum(dx, dy), 0.0) - k

    return Shape((left, top, right, bottom), distance)


def trapezium(cx: Value, top: Value, bottom: Value, wide_top: Value, wide_bottom: Value) -> Shape:
    """A trapezium with half widths `wide_top` and `wide_bottom`."""
    wide = np.maximum(wide_top, wide_bottom)

    def distance(x: np.ndarray, y: np.ndarray, at: At) -> np.ndarray:
        t, b = at(top), at(bottom)
        slope = (at(wide_bottom) - at(wide_top)) / (b - t)
        side = (np.abs(x - at(cx)) - at(wide_top) - slope * (y - t)) / np.sqrt(1.0 + slope * slope)
        return np.maximum(side, np.maximum(t - y, y - b))

    return Shape((cx - wide, top, cx + wide, bottom), distance)


def stroke(ax: Value, ay: Value, bx: Value, by: Value, r: Value) -> Shape:
    """A line from a to b with round ends, of half thickness r."""
    bounds = (np.minimum(ax, bx) - r, np.minimum(ay, by) - r, np.maximum(ax, bx) + r, np.maximum(ay, by) + r)

    def distance(x: np.ndarray, y: np.ndarray, at: At) -> np.ndarray:
        px, py = x - at(ax), y - at(ay)
        dx, dy = at(bx) - at(ax), at(by) - at(ay)
        along = np.clip((px * dx + py * dy) / np.maximum(dx * dx + dy * dy, 1e-12), 0.0, 1.0)
        return np.hypot(px - along * dx, py - along * dy) - at(r)

    return Shape(bounds, distance)


def dots(cx: np.ndarray, cy: np.ndarray, r: np.ndarray) -> Shape:
    """Many discs as one shape; cx, cy, r: [p t]. A radius of zero or below hides a disc."""
    seen = r > 0
    far = np.where(seen, 0.0, 1e9)
    bounds = ((cx - r + far).min(0), (cy - r + far).min(0), (cx + r - far).max(0), (cy + r - far).max(0))

    def distance(x: np.ndarray, y: np.ndarray, at: At) -> np.ndarray:
        nearest = np.full(np.broadcast_shapes(x.shape, y.shape), 1e9)
        for px, py, pr in zip(cx, cy, r, strict=True):
            if (pr > 0).any():
                hidden = at(np.where(pr > 0, 0.0, 1e9))
                nearest = np.minimum(nearest, np.hypot(x - at(px), y - at(py)) - at(pr) + hidden)
        return nearest

    return Shape(bounds, distance)


def ripple_ring(surface: Shape, cx: Number, cy: Number, radius: Value, thick: Number) -> Shape:
    """A ring that spreads on a water surface seen from the side (its height is radius / 3.6), clipped to the surface."""

    def distance(x: np.ndarray, y: np.ndarray, at: At) -> np.ndarray:
        ring = np.abs(np.hypot(x - cx, (y - cy) * 3.6) - at(radius)) - thick
        return np.maximum(ring, surface.distance(x, y, at))

    return Shape(surface.bounds, distance)


class Canvas:
    """The painted frames, float64 [t h w 3] in [0, 1]. It starts with one frame; `animate` repeats it."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width, self.scale = height, width, min(height, width)
        self.image = np.zeros((1, height, width, 3))
        self.x = (np.arange(width) + 0.5 - width / 2) / self.scale
        self.y = (np.arange(height) + 0.5 - height / 2) / self.scale

    def animate(self, num_frames: int) -> None:
        """Repeats what was painted so far in all frames. Shapes painted afterwards may move."""
        self.image = np.repeat(self.image, num_frames, 0)

    def backdrop(self, top: Colour, bottom: Colour, floor: Number | None = None, floor_near: Colour = (0, 0, 0)) -> None:
        """Paints a wall with a vertical gradient from `top` to `bottom` and, below y=`floor`, a floor."""
        depth = np.clip(self.y + 0.5, 0.0, 1.0)[:, None]
        rows = np.array(top) * (1 - depth) + np.array(bottom) * depth
        self.image[:] = rows[None, :, None, :]
        if floor is not None:
            self.fill(box(-99.0, floor, 99.0, 99.0), floor_near)

    def fill(self, shape: Shape, colour: Colour | Field, alpha: Value = 1.0, soft: Number = 0.0) -> None:
        """Paints a shape.

        Args:
            shape: The shape.
            colour: RGB in [0, 1], or a function of the pixel coordinates.
            alpha: Opacity in [0, 1].
            soft: Width of the edge in 64ths of the unit, at least one pixel.
        """
        soft = max(1.0, soft * self.scale / 64)
        count = len(self.image)
        bounds = [np.broadcast_to(np.asarray(edge, float), (count,)) for edge in shape.bounds]
        margin = soft
        left = np.floor((bounds[0] - self.x[0]) * self.scale - margin)
        top = np.floor((bounds[1] - self.y[0]) * self.scale - margin)
        right = np.ceil((bounds[2] - self.x[0]) * self.scale + margin) + 1
        bottom = np.ceil((bounds[3] - self.y[0]) * self.scale + margin) + 1
        left, right = np.clip(left, 0, self.width).astype(int), np.clip(right, 0, self.width).astype(int)
        top, bottom = np.clip(top, 0, self.height).astype(int), np.clip(bottom, 0, self.height).astype(int)
        opacity = np.broadcast_to(np.asarray(alpha, float), (count,))
        chosen = np.flatnonzero((right > left) & (bottom > top) & (opacity > 0))
        if not len(chosen):
            return
        wide, high = int((right - left)[chosen].max()), int((bottom - top)[chosen].max())
        left, top = np.minimum(left[chosen], self.width - wide), np.minimum(top[chosen], self.height - high)
        columns = left[:, None, None] + np.arange(wide)[None, None, :]
        rows = top[:, None, None] + np.arange(high)[None, :, None]
        x, y = self.x[columns], self.y[rows]

        def at(value: Value) -> Value:
            return value[chosen][:, None, None] if isinstance(value, np.ndarray) and value.ndim else value

        cover = np.clip(0.5 - shape.distance(x, y, at) * (self.scale / soft), 0.0, 1.0)
        cover = cover * cover * (3.0 - 2.0 * cover) * opacity[chosen][:, None, None]
        place = (chosen[:, None, None], rows, columns)
        under = self.image[place]
        over = colour(x, y, at) if callable(colour) else np.array(colour)
        self.image[place] = under + (over - under) * cover[..., None]

    def frames(self) -> np.ndarray:
        """Returns the frames as uint8 [t h w 3]."""
        return np.floor(np.clip(self.image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def mix_colours(a: Colour, b: Colour, amount: np.ndarray) -> np.ndarray:
    """Blends from colour a (amount 0) to b (amount 1): [... 3]."""
    share = np.clip(amount, 0.0, 1.0)[..., None]
    return np.array(a) * (1 - share) + np.array(b) * share


def shade(colour: Colour, factor: Number) -> Colour:
    """Darkens a colour (factor below 1) or lightens it towards white (factor above 1, at most 2)."""
    if factor <= 1:
        return (colour[0] * factor, colour[1] * factor, colour[2] * factor)
    k = factor - 1
    return (colour[0] + (1 - colour[0]) * k, colour[1] + (1 - colour[1]) * k, colour[2] + (1 - colour[2]) * k)
