"""The objects of the hits world: how they look and how they respond to a blow."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sonovid.data.scenes.canvas import (
    Canvas,
    Colour,
    Field,
    Shape,
    box,
    dots,
    ellipse,
    mix_colours,
    ripple_ring,
    rotated_ellipse,
    shade,
    stroke,
    trapezium,
)
from sonovid.data.scenes.random_stream import Number, RandomStream

TABLE = 0.2
BASE = 0.4  # the y coordinate of the ground under the objects
COLOURS: dict[str, Colour] = {
    "red": (0.84, 0.15, 0.13),
    "blue": (0.15, 0.33, 0.82),
    "green": (0.14, 0.6, 0.26),
    "yellow": (0.94, 0.8, 0.14),
    "orange": (0.94, 0.5, 0.1),
    "purple": (0.55, 0.25, 0.7),
    "pink": (0.95, 0.55, 0.7),
    "white": (0.94, 0.94, 0.92),
    "brown": (0.58, 0.37, 0.2),
    "light brown": (0.8, 0.62, 0.4),
    "dark brown": (0.4, 0.25, 0.14),
    "silver": (0.72, 0.75, 0.78),
    "golden": (0.86, 0.68, 0.25),
    "clear": (0.86, 0.93, 0.95),
    "black": (0.2, 0.18, 0.17),
}


@dataclass(frozen=True)
class ThingState:
    """The random choices that determine how an object is painted.

    Attributes:
        hits: (time, strength) of the blows.
        colour: Name of the colour.
        size: Scale.
        x: Horizontal position.
        side: Side from which the stick comes, -1 or 1.
        rng: Random stream of the details.
    """

    hits: list[tuple[Number, Number]]
    colour: str
    size: Number
    x: Number
    side: Number
    rng: RandomStream

    @property
    def rgb(self) -> Colour:
        return COLOURS[self.colour]

    def shiver(self, t: np.ndarray, rate: Number, decay: Number) -> np.ndarray:
        """A damped oscillation after each blow, in [-1, 1]: [t]."""
        total = np.zeros_like(t)
        for time, strength in self.hits:
            since = np.maximum(t - time, 0.0)
            total = total + np.where(t >= time, strength * np.exp(-since / decay) * np.cos(2 * np.pi * rate * since), 0.0)
        return total

    def press(self, t: np.ndarray, decay: Number) -> np.ndarray:
        """Indentation: rises to the strength of a blow (within 15 ms before it) and decays: [t]."""
        total = np.zeros_like(t)
        for time, strength in self.hits:
            since = t - time
            total = np.maximum(
                total, strength * np.where(since >= 0, np.exp(-np.maximum(since, 0) / decay), np.clip(1 + since / 0.015, 0, 1))
            )
        return total


Paint = Callable[[Canvas, np.ndarray, ThingState], tuple[Number, Number]]


@dataclass(frozen=True)
class Thing:
    """An object.

    Attributes:
        material: Its material.
        colours: Its colours.
        phrases: Its names, with {colour}.
        paint: Paints it on all frames and returns the point where the stick hits it.
        plural: Whether the names are plural.
    """

    material: str
    colours: tuple[str, ...]
    phrases: tuple[str, ...]
    paint: Paint
    plural: bool = False


def cylinder_shading(base: Colour, cx: Number | np.ndarray, half: Number, gloss: Number) -> Field:
    """Shading of an upright cylinder lit from the left."""

    def field(x: np.ndarray, y: np.ndarray, at) -> np.ndarray:
        u = (x - at(cx)) / half + 0 * y
        body = mix_colours(shade(base, 0.45), base, 0.95 - 0.5 * u**2 - 0.25 * u)
        return body + (1 - body) * (gloss * np.exp(-(((u + 0.45) / 0.14) ** 2)))[..., None]

    return field


def paint_shadow(canvas: Canvas, cx: Number | np.ndarray, half: Number) -> None:
    canvas.fill(ellipse(cx, BASE, half * 1.15, 0.045), (0.05, 0.05, 0.06), 0.4, 3.0)


def wooden_block(canvas: Canvas, t: np.ndarray, state: ThingState) -> tuple[Number, Number]:
    w, h = 0.24 * state.size, 0.25 * state.size
    paint_shadow(canvas, state.x, w)
    canvas.animate(len(t))
    dip = 0.012 * state.shiver(t, 5, 0.1)
    top = BASE - h + dip
    canvas.fill(box(state.x - w, top, state.x + w, BASE + 0.02 + 0 * t, 0.012), shade(state.rgb, 0.9))
    canvas.fill(box(state.x - w, top, state.x + w, top + 0.055, 0.012), shade(state.rgb, 1.3))
    for k, y in enumerate((0.1, 0.15, 0.2)):
        if y < h:
            bend = 0.01 * (k - 1)
            canvas.fill(stroke(state.x - w + 0.02, top + y, state.x, top + y + bend, 0.006), shade(state.rgb, 0.6))
            canvas.fill(stroke(state.x, top + y + bend, state.x + w - 0.02, top + y, 0.006), shade(state.rgb, 0.6))
    return state.x + 0.04 * state.side, BASE - h


def wooden_box(canvas: Canvas, t: np.ndarray, state: ThingState) -> tuple[Number, Number]:
    w, h = 0.21 * state.size, 0.3 * state.size
    paint_shadow(canvas, state.x, w)
    canvas.animate(len(t))
    top = BASE - h + 0.012 * state.shiver(t, 5, 0.1)
    base = BASE + 0.02 + 0 * t
    canvas.fill(box(state.x - w, top, state.x + w, base), state.rgb)
    for share in (0.33, 0.66):
        y = top + (base - top) * share
        canvas.fill(stroke(state.x - w, y, state.x + w, y, 0.008), shade(state.rgb, 0.55))
    for x in (state.x - w + 0.03, state.x + w - 0.03):
        canvas.fill(box(x - 0.03, top, x + 0.03, base), shade(state.rgb, 0.75))
    canvas.fill(box(state.x - w - 0.015, top, state.x + w + 0.015, top + 0.04), shade(state.rgb, 1.25))
    return state.x + 0.04 * state.side, BASE - h


def metal_can(canvas: Canvas, t: np.ndarray, state: ThingState) -> tuple[Number, Number]:
    w, h = 0.15 * state.size, 0.34 * state.size
    paint_shadow(canvas, state.x, w)
    canvas.animate(len(t))
    cx = state.x - state.side * 0.018 * state.shiver(t, 9, 0.16)
    top = BASE - h
    body = cylinder_shading(state.rgb, cx, w, 0.9)
    canvas.fill(ellipse(cx, BASE, w, 0.04), body)
    canvas.fill(box(cx - w, top, cx + w, BASE), body)
    for y in (top + 0.3 * h, top + 0.7 * h):
        canvas.fill(box(cx - w, y, cx + w, y + 0.016), shade(state.rgb, 0.5))
    canvas.fill(ellipse(cx, top, w, 0.045), shade(state.rgb, 0.55))
    canvas.fill(ellipse(cx, top + 0.004, w - 0.02, 0.03), shade(state.rgb, 1.45))
    return state.x + 0.03 * state.side, top - 0.015


def metal_pan(canvas: Canvas, t: np.ndarray, state: ThingState) -> tuple[Number, Number]:
    w, h = 0.24 * state.size, 0.2 * state.size
    paint_shadow(canvas, state.x, w * 0.9)
    canvas.animate(len(t))
    cx = state.x - state.side * 0.018 * state.shiver(t, 9, 0.16)
    top = BASE - h
    body = cylinder_shading(state.rgb, cx, w, 0.9)
    for side in (-1, 1):
        canvas.fill(stroke(cx + side * w, top + 0.07, cx + side * (w + 0.06), top + 0.06, 0.022), (0.15, 0.15, 0.17))
    canvas.fill(trapezium(cx, top, BASE + 0.02, w, w * 0.86), body)
    # The lid, with its knob away from the stick.
    canvas.fill(ellipse(cx, top, w + 0.015, 0.05), shade(state.rgb, 0.6))
    canvas.fill(ellipse(cx, top - 0.01, w - 0.005, 0.04), body)
    canvas.fill(ellipse(cx - 0.11 * state.side, top - 0.04, 0.035, 0.03), (0.15, 0.15, 0.17))
    return state.x + 0.05 * state.side, top - 0.035


def paint_glass(canvas: Canvas, shape: Shape, inner: Shape, rgb: Colour) -> None:
    """Paints a transparent body with a darker rim."""
    rim = Shape(shape.bounds, lambda x, y, at: np.maximum(shape.distance(x, y, at), -inner.distance(x, y, at)))
    canvas.fill(shape, rgb, 0.38)
    canvas.fill(rim, shade(rgb, 0.55), 0.9)


def glass_bottle(canvas: Canvas, t: np.ndarray, state: ThingState) -> tuple[Number, Number]:
    w, h = 0.12 * state.size, 0.48 * state.size
    paint_shadow(canvas, state.x, w)
    canvas.animate(len(t))
    cx = state.x - state.side * 0.012 * state.shiver(t, 11, 0.14)
    top, neck, rim = BASE - h, 0.045, 0.018
    shoulder = top + 0.2 * h

    def outline(grow: Number) -> Shape:
        body = box(cx - w - grow, shoulder + 0.02 - grow, cx + w + grow, BASE + 0.02 + grow, 0.07)
        throat = box(cx - neck - grow, top - grow, cx + neck + grow, shoulder + 0.1)
        return Shape(
            (cx - w, top, cx + w, BASE + 0.02), lambda x, y, at: np.minimum(body.distance(x, y, at), throat.distance(x, y, at))
        )

    paint_glass(canvas, outline(0.0), outline(-rim), state.rgb)
    canvas.fill(stroke(cx - 0.5 * w, shoulder + 0.1, cx - 0.5 * w, BASE - 0.05, 0.014), (1.0, 1.0, 1.0), 0.9)
    canvas.fill(box(cx - neck - 0.01, top - 0.005, cx + neck + 0.01, top + 0.03, 0.01), shade(state.rgb, 0.6))
    return state.x + 0.01 * state.side, top - 0.005


def glass_jar(canvas: Canvas, t: np.ndarray, state: ThingState) -> tuple[Number, Number]:
    w, h = 0.17 * state.size, 0.32 * state.size
    paint_shadow(canvas, state.x, w)
    canvas.animate(len(t))
    cx = state.x - state.side * 0.012 * state.shiver(t, 11, 0.14)
    top, rim = BASE - h, 0.018
    outer = box(cx - w, top + 0.03, cx + w, BASE + 0.02, 0.05)
    inner = box(cx - w + rim, top + 0.03 + rim, cx + w - rim, BASE + 0.02 - rim, 0.04)
    paint_glass(canvas, outer, inner, state.rgb)
    canvas.fill(stroke(cx - 0.6 * w, top + 0.1, cx - 0.6 * w, BASE - 0.06, 0.016), (1.0, 1.0, 1.0), 0.9)
    canvas.fill(ellipse(cx, top + 0.02, w * 0.85, 0.04), shade(state.rgb, 0.6))
    canvas.fill(ellipse(cx, top + 0.02, w * 0.85 - 0.02, 0.024), shade(state.rgb, 1.5))
    return state.x + 0.75 * w * state.side, top


def plastic_bucket(canvas: Canvas, t: np.ndarray, state: ThingState) -> tuple[Number, Number]:
    w, h = 0.22 * state.size, 0.34 * state.size
    paint_shadow(canvas, state.x, w * 0.8)
    canvas.animate(len(t))
    cx = state.x - state.side * 0.01 * state.shiver(t, 6, 0.12)
    top = BASE - h
    # Upside down, as a drum.
    canvas.fill(trapezium(cx, top, BASE + 0.01, 0.74 * w, w), cylinder_shading(state.rgb, cx, w, 0.45))
    canvas.fill(box(cx - w - 0.015, BASE - 0.04, cx + w + 0.015, BASE + 0.02, 0.015), shade(state.rgb, 0.7))
    canvas.fill(ellipse(cx, top + 0.01 * state.press(t, 0.1), 0.74 * w, 0.04), shade(state.rgb, 1.3))
    return state.x + 0.03 * state.side, top - 0.01


def plastic_cup(canvas: Canvas, t: np.ndarray, state: ThingState) -> tuple[Number, Number]:
    w, h = 0.16 * state.size, 0.32 * state.size
    paint_shadow(canvas, state.x, w * 0.8)
    canvas.animate(len(t))
    cx = state.x - state.side * 0.02 * state.shiver(t, 7, 0.13)
    top = BASE - h
    canvas.fill(trapezium(cx, top, BASE + 0.02, w, 0.72 * w), cylinder_shading(state.rgb, cx, w, 0.45))
    canvas.fill(box(cx - 0.86 * w, BASE - 0.16, cx + 0.86 * w, BASE - 0.12), (0.96, 0.96, 0.96), 0.9)
    canvas.fill(ellipse(cx, top, w + 0.012, 0.045), shade(state.rgb, 1.35))
    canvas.fill(ellipse(cx, top + 0.003, w - 0.014, 0.028), shade(state.rgb, 0.45))
    return state.x + 0.8 * w * state.side, top - 0.02


def cushion(canvas: Canvas, t: np.ndarray, state: ThingState) -> tuple[Number, Number]:
    w, h = 0.27 * state.size, 0.26 * state.size
    paint_shadow(canvas, state.x, w)
    canvas.animate(len(t))
    dent = state.press(t, 0.3)
    top = BASE - h
    body = box(state.x - w, top, state.x + w, BASE + 0.03, 0.1)
    hollow = rotated_ellipse(state.x + 0.02 * state.side + 0 * t, top - 0.02, 0.12, 0.02 + 0.1 * dent, 0.0 * t)
    dented = Shape(body.bounds, lambda x, y, at: np.maximum(body.distance(x, y, at), -hollow.distance(x, y, at)))
    canvas.fill(
        dented, lambda x, y, at: mix_colours(shade(state.rgb, 1.2), shade(state.rgb, 0.5), (y - top) / (h + 0.03) + 0 * x)
    )
    for side in (-1, 1):
        canvas.fill(
            stroke(state.x + side * (w - 0.02), top + 0.02, state.x + side * (w - 0.07), top + 0.09, 0.008),
            shade(state.rgb, 0.45),
        )
        canvas.fill(
            stroke(state.x + side * (w - 0.02), BASE, state.x + side * (w - 0.07), BASE - 0.06, 0.008), shade(state.rgb, 0.45)
        )
    return state.x + 0.02 * state.side, top


def folded_cloth(canvas: Canvas, t: np.ndarray, state: ThingState) -> tuple[Number, Number]:
    w, h = 0.27 * state.size, 0.23 * state.size
    paint_shadow(canvas, state.x, w)
    canvas.animate(len(t))
    dent = 0.035 * state.press(t, 0.3)
    layer = h / 3
    for k in range(3):
        top = BASE + 0.02 - (k + 1) * layer + dent * (k + 1) / 3
        edge = 0.015 * ((k * 2) % 3 - 1)
        canvas.fill(
            box(state.x - w + edge, top, state.x + w + edge, top + layer + 0.012, 0.028), shade(state.rgb, 1.2 - 0.28 * (k == 1))
        )
        canvas.fill(
            stroke(state.x - w + edge + 0.02, top + layer, state.x + w + edge - 0.02, top + layer, 0.007), shade(state.rgb, 0.45)
        )
    return state.x + 0.03 * state.side, BASE + 0.02 - h


def spray_particles(
    state: ThingState, t: np.ndarray, number: int, speed: Number, size: Number, at: tuple[Number, Number]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Particles that each blow throws up: x, y, radius [p t]. The radius is 0 when a particle is not in the air."""
    xs, ys, rs = [], [], []
    for k, (time, strength) in enumerate(state.hits):
        rng = state.rng.substream("spray", k)
        for _ in range(number):
            angle, fast = rng.uniform(-1.0, 1.0), rng.uniform(0.5, 1.0) * speed * (0.35 + 0.65 * strength)
            radius = size * rng.uniform(0.6, 1.2)
            since = t - time
            y = at[1] - fast * np.cos(0.8 * angle) * since + 3.2 * since**2 / 2
            xs.append(at[0] + fast * np.sin(1.1 * angle) * since)
            ys.append(y)
            rs.append(np.where((since >= 0) & (y <= at[1] + 0.06), radius, 0.0))
    return np.array(xs), np.array(ys), np.array(rs)


def water_basin(canvas: Canvas, t: np.ndarray, state: ThingState) -> tuple[Number, Number]:
    w = 0.34 * state.size
    water: Colour = (0.2, 0.5, 0.82)
    paint_shadow(canvas, state.x, w)
    canvas.fill(trapezium(state.x, 0.2, BASE + 0.05, w, 0.78 * w), cylinder_shading(state.rgb, state.x, w, 0.2))
    canvas.fill(ellipse(state.x, 0.2, w + 0.015, 0.1), shade(state.rgb, 1.3))
    surface = ellipse(state.x, 0.205, w - 0.02, 0.078)
    canvas.fill(surface, water)
    canvas.animate(len(t))
    spot = (state.x + 0.03 * state.side, 0.2)
    for time, strength in state.hits:
        for lag in (0.0, 0.16):
            since = t - time - lag
            grown = np.maximum(since, 0.0) * 0.5 + 0.03
            ring = ripple_ring(surface, *spot, grown, 0.018)
            canvas.fill(ring, (0.85, 0.94, 1.0), np.where(since >= 0, strength * np.exp(-np.maximum(since, 0) / 0.35), 0.0))
    canvas.fill(dots(*spray_particles(state, t, 7, 1.25, 0.02, spot)), (0.75, 0.88, 1.0))
    return spot[0], spot[1] + 0.02


def leaf_pile(canvas: Canvas, t: np.ndarray, state: ThingState) -> tuple[Number, Number]:
    w, h = 0.32 * state.size, 0.2 * state.size
    tones = [shade(state.rgb, f) for f in (0.6, 0.8, 1.0, 1.2, 1.4)]
    paint_shadow(canvas, state.x, w)
    canvas.fill(ellipse(state.x, BASE, w * 0.95, h * 0.8), shade(state.rgb, 0.5))
    rng = state.rng.substream("leaves")
    places = []
    for k in range(34):
        u, v = rng.uniform(-1, 1), rng.uniform(0, 1) ** 0.8
        height = h * (1 - u * u) * v
        places.append((state.x + w * u, BASE + 0.02 - height, rng.uniform(-1.2, 1.2), tones[k % 5]))
    places.sort(key=lambda place: place[1], reverse=True)
    for x, y, angle, tone in places[:-8]:
        canvas.fill(rotated_ellipse(x, y, 0.06, 0.026, angle), tone)
    canvas.animate(len(t))
    jump = state.press(t, 0.25)
    for k, (x, y, angle, tone) in enumerate(places[-8:]):
        canvas.fill(
            rotated_ellipse(x + 0 * t, y - 0.05 * jump * (1 - 0.1 * k), 0.06, 0.026, angle + 0.9 * jump * (-1) ** k), tone
        )
    top = (state.x + 0.02 * state.side, BASE + 0.02 - h)
    for k, (time, strength) in enumerate(state.hits):
        for j in range(6):
            since = t - time
            flown = np.maximum(since, 0.0)
            aside = rng.substream(k, j).uniform(-1, 1)
            rise = 0.9 * (0.5 + 0.5 * strength) * flown * np.exp(-flown / 0.22) - 0.12 * flown
            x = top[0] + aside * 0.42 * (1 - np.exp(-flown / 0.3)) + 0.03 * np.sin(9 * flown + j)
            y = top[1] - rise * (0.7 + 0.5 * rng.substream(k, j, "up").uniform())
            fade = np.where(since >= 0, np.clip(1.6 - flown / 0.5, 0.0, 1.0), 0.0)
            canvas.fill(rotated_ellipse(x, y, 0.05, 0.022, 7 * flown * aside + j), tones[j % 5], fade)
    return top


def dirt_mound(canvas: Canvas, t: np.ndarray, state: ThingState) -> tuple[Number, Number]:
    w, h = 0.34 * state.size, 0.2 * state.size
    paint_shadow(canvas, state.x, w)
    canvas.fill(
        Shape(
            (state.x - w, BASE - h, state.x + w, BASE + 0.03),
            lambda x, y, at: np.maximum(
                0.7 * (BASE + 0.02 - h * np.cos(np.clip((x - state.x) / w, -1, 1) * 1.5708) - y), y - BASE - 0.03
            ),
        ),
        lambda x, y, at: mix_colours(shade(state.rgb, 1.2), shade(state.rgb, 0.6), (y - BASE + h) / (h + 0.03) + 0 * x),
    )
    rng = state.rng.substream("clods")
    for _ in range(14):
        u, v = rng.uniform(-0.8, 0.8), rng.uniform(0.05, 0.9)
        x, y = state.x + w * u, BASE + 0.02 - h * np.cos(u * 1.5708) * v
        canvas.fill(ellipse(x, y, rng.uniform(0.014, 0.03), 0.014), shade(state.rgb, rng.choice((0.5, 0.65, 1.35))))
    canvas.animate(len(t))
    spot = (state.x + 0.02 * state.side, BASE + 0.02 - h)
    canvas.fill(ellipse(spot[0], spot[1] + 0.02, 0.05 + 0 * t, 0.001 + 0.04 * state.press(t, 0.6)), shade(state.rgb, 0.5))
    canvas.fill(dots(*spray_particles(state, t, 10, 1.1, 0.021, spot)), shade(state.rgb, 0.6))
    return spot


THINGS: dict[str, Thing] = {
    "block": Thing(
        "wood", ("brown", "light brown", "dark brown"), ("{colour} wooden block", "{colour} block of wood"), wooden_block
    ),
    "box": Thing(
        "wood",
        ("brown", "light brown", "dark brown"),
        ("{colour} wooden box", "{colour} wooden crate", "{colour} box made of wood"),
        wooden_box,
    ),
    "can": Thing(
        "metal",
        ("silver", "golden", "red", "blue", "green"),
        ("{colour} metal can", "{colour} tin can of metal", "{colour} can made of metal"),
        metal_can,
    ),
    "pot": Thing(
        "metal",
        ("silver", "golden"),
        ("{colour} metal pot", "{colour} pot made of metal", "{colour} metal cooking pot"),
        metal_pan,
    ),
    "bottle": Thing(
        "glass", ("green", "blue", "brown", "clear"), ("{colour} glass bottle", "{colour} bottle made of glass"), glass_bottle
    ),
    "jar": Thing("glass", ("clear", "blue", "green"), ("{colour} glass jar", "{colour} jar made of glass"), glass_jar),
    "bucket": Thing(
        "plastic",
        ("red", "blue", "yellow", "green", "orange"),
        ("{colour} plastic bucket", "{colour} bucket made of plastic"),
        plastic_bucket,
    ),
    "cup": Thing(
        "plastic",
        ("red", "blue", "yellow", "pink", "purple"),
        ("{colour} plastic cup", "{colour} cup made of plastic"),
        plastic_cup,
    ),
    "cushion": Thing(
        "cloth", ("red", "blue", "green", "purple", "pink"), ("{colour} cloth cushion", "{colour} cushion of soft cloth"), cushion
    ),
    "towel": Thing(
        "cloth",
        ("white", "red", "blue", "yellow"),
        ("{colour} folded cloth", "{colour} folded towel of cloth", "pile of {colour} cloth"),
        folded_cloth,
    ),
    "basin": Thing(
        "water",
        ("white", "silver", "red", "green"),
        ("{colour} basin of water", "{colour} bowl full of water", "{colour} tub filled with water"),
        water_basin,
    ),
    "leaves": Thing("leaves", ("green", "orange", "brown"), ("pile of {colour} leaves", "heap of {colour} leaves"), leaf_pile),
    "mound": Thing(
        "dirt",
        ("brown", "dark brown", "light brown"),
        ("mound of {colour} dirt", "heap of {colour} dirt", "pile of {colour} dirt"),
        dirt_mound,
    ),
}
