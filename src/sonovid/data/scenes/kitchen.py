"""Kitchen: chopping, a running tap, sizzling and a clattering lid (after EPIC-Sounds, Huh et al. 2023)."""

import numpy as np

from sonovid.data.scenes.canvas import Canvas, Colour, box, disc, dots, ellipse, mix_colours, shade, stroke, trapezium
from sonovid.data.scenes.materials import add_strike
from sonovid.data.scenes.random_stream import Number
from sonovid.data.scenes.setting import SceneKind, Setting, add_noise, make_world, sample_times
from sonovid.data.scenes.track import Track

TILES: Colour = (0.86, 0.89, 0.88)
COUNTER: Colour = (0.5, 0.47, 0.45)
COLOURS: dict[str, Colour] = {
    "silver": (0.74, 0.77, 0.8),
    "golden": (0.87, 0.68, 0.25),
    "black": (0.16, 0.16, 0.18),
    "red": (0.84, 0.16, 0.14),
    "blue": (0.15, 0.33, 0.8),
    "green": (0.15, 0.56, 0.26),
    "carrot": (0.97, 0.52, 0.1),
    "cucumber": (0.2, 0.6, 0.22),
    "leek": (0.82, 0.9, 0.66),
    "sausage": (0.66, 0.27, 0.18),
}


def paint_room(canvas: Canvas) -> None:
    canvas.backdrop(TILES, shade(TILES, 0.92), 0.22, COUNTER)
    for k in range(-6, 7):
        canvas.fill(box(k * 0.25 - 0.004, -99, k * 0.25 + 0.004, 0.22), shade(TILES, 0.9))
    for y in (-0.28, -0.03):
        canvas.fill(box(-99, y - 0.004, 99, y + 0.004), shade(TILES, 0.9))
    canvas.fill(box(-99, 0.22, 99, 0.24), shade(COUNTER, 1.3))


def lift_height(t: np.ndarray, setting: Setting, high: Number, still: Number) -> np.ndarray:
    """A height, [t]: 0 at each event, where it rests for the share `still` of the time to the next, then rises and drops."""
    height = high * (1 - np.clip((t - setting.events[0][0]) / 0.25 + 1.0, 0.0, 1.0) ** 2)
    for (time, _), (following, _) in zip(setting.events, setting.events[1:], strict=False):
        share = np.clip(((t - time) / (following - time) - still) / (1 - still), 0.0, 1.0)
        height = np.where((t >= time) & (t < following), high * np.sin(np.pi * share**1.6), height)
    return height


def paint_chopping(canvas: Canvas, t: np.ndarray, setting: Setting) -> None:
    food = COLOURS[setting.look]
    paint_room(canvas)
    canvas.fill(box(-0.44, 0.33, 0.44, 0.42, 0.03), (0.74, 0.54, 0.32))
    canvas.fill(box(-0.44, 0.33, 0.44, 0.355, 0.012), (0.86, 0.68, 0.44))
    canvas.animate(len(t))
    # The knife moves to the right and leaves slices behind.
    first = setting.events[0][0]
    where = -0.22 + 0.3 * np.mod(np.maximum(t - first, 0.0) / 4.0, 1.0)
    canvas.fill(
        box(where, 0.19 + 0 * t, 0.36 + 0 * t, 0.33 + 0 * t, 0.05),
        lambda x, y, at: mix_colours(shade(food, 1.25), shade(food, 0.6), (y - 0.19) / 0.14 + 0 * x),
    )
    canvas.fill(ellipse(where + 0.01, 0.26 + 0 * t, 0.025, 0.068), shade(food, 1.5))
    for k in range(6):
        x = -0.26 - 0.035 * k + 0 * t
        cut = np.clip((where + 0.24) * 25 - k + 1.0, 0.0, 1.0)
        canvas.fill(ellipse(x, 0.275 + 0.006 * k, 0.026, 0.055), shade(food, 0.75), cut)
        canvas.fill(ellipse(x, 0.275 + 0.006 * k, 0.016, 0.042), shade(food, 1.5), cut)
    edge = 0.33 - lift_height(t, setting, 0.26, 0.15)
    canvas.fill(box(where - 0.035, edge - 0.2, where + 0.035, edge, 0.012), (0.8, 0.83, 0.86))
    canvas.fill(box(where - 0.035, edge - 0.2, where - 0.015, edge, 0.008), (0.97, 0.98, 1.0))
    canvas.fill(box(where - 0.028, edge - 0.4, where + 0.028, edge - 0.2, 0.02), (0.16, 0.12, 0.11))


def play_chopping(track: Track, setting: Setting) -> None:
    for k, (time, strength) in enumerate(setting.events):
        event = setting.rng.substream("cut", k)
        add_strike(track, time, "wood", strength, setting.rng.substream("board"), event, gain=1.1)
        track.add_burst(time, event, band=(1200, 5000), seconds=0.07, gain=0.22 * strength, grains=200)


def tap_flow(t: np.ndarray, setting: Setting) -> np.ndarray:
    """How far the tap is open, [t]: from each event on, for two thirds of the time to the next."""
    flow = np.zeros_like(t)
    for (time, strength), (following, _) in zip(setting.events, setting.events[1:], strict=False):
        closing = time + 0.66 * (following - time)
        flow = np.maximum(flow, strength * np.clip((t - time) / 0.02, 0, 1) * np.clip((closing - t) / 0.08, 0, 1))
    return flow


def paint_tap(canvas: Canvas, t: np.ndarray, setting: Setting) -> None:
    metal = COLOURS[setting.look]
    paint_room(canvas)
    canvas.fill(box(-0.42, 0.2, 0.42, 0.48, 0.06), (0.82, 0.84, 0.86))
    canvas.fill(box(-0.36, 0.23, 0.36, 0.44, 0.05), (0.58, 0.61, 0.65))
    canvas.animate(len(t))
    flow = tap_flow(t, setting)
    wide = 0.012 + 0.04 * flow
    shown = np.clip(flow * 6, 0.0, 1.0)
    canvas.fill(ellipse(0.1 + 0 * t, 0.4, 0.06 + 0.16 * flow, 0.02 + 0.02 * flow), (0.45, 0.7, 0.92), shown)
    canvas.fill(box(0.1 - wide, -0.16, 0.1 + wide, 0.4), (0.5, 0.75, 0.96), shown * 0.95)
    for k in range(5):
        y = -0.2 + 0.5 * np.mod(0.2 * k + 2.6 * t, 1.0)
        canvas.fill(stroke(0.1 + (k - 2) * 0.4 * wide, y, 0.1 + (k - 2) * 0.4 * wide, y + 0.08, 0.008), (0.93, 0.97, 1.0), shown)
        out = np.mod(0.2 * k + 3.1 * t, 1.0)
        canvas.fill(disc(0.1 + (k - 2) * 0.1 * out, 0.38 - 0.3 * out * (1 - out), 0.014), (0.9, 0.96, 1.0), shown)
    canvas.fill(stroke(-0.16, 0.24, -0.16, -0.24, 0.045), metal)
    canvas.fill(stroke(-0.16, -0.26, 0.1, -0.26, 0.045), metal)
    canvas.fill(stroke(0.1, -0.26, 0.1, -0.17, 0.045), metal)
    canvas.fill(stroke(-0.175, 0.2, -0.175, -0.25, 0.012), shade(metal, 1.6))
    turned = 0.6 * np.clip(flow * 3, 0, 1)
    canvas.fill(stroke(-0.16, -0.34, -0.16 + 0.13 * np.cos(turned), -0.34 - 0.13 * np.sin(turned), 0.026), shade(metal, 0.7))


def play_tap(track: Track, setting: Setting) -> None:
    flow = tap_flow(sample_times(track), setting)
    add_noise(track, setting.rng.substream("stream"), (1500, 6500), 0.13 * flow)
    add_noise(track, setting.rng.substream("sink"), (250, 900), 0.1 * flow**1.5)


def paint_sizzling(canvas: Canvas, t: np.ndarray, setting: Setting) -> None:
    paint_room(canvas)
    canvas.fill(ellipse(0.0, 0.4, 0.36, 0.05), (0.95, 0.45, 0.1))
    canvas.fill(stroke(0.3, 0.3, 0.6, 0.26, 0.03), (0.12, 0.12, 0.13))
    canvas.fill(trapezium(0.0, 0.28, 0.39, 0.35, 0.29), (0.2, 0.2, 0.22))
    canvas.fill(ellipse(0.0, 0.28, 0.35, 0.075), (0.32, 0.32, 0.35))
    canvas.fill(ellipse(0.0, 0.285, 0.31, 0.058), (0.42, 0.34, 0.2))
    canvas.animate(len(t))
    level = sizzle_level(t, setting)
    y = 0.27 - lift_height(t, setting, 0.34, 0.5)
    if setting.look == "egg":
        canvas.fill(ellipse(0.0 * t, y, 0.19, 0.045), (0.97, 0.97, 0.95))
        canvas.fill(ellipse(0.02 + 0 * t, y - 0.02, 0.07, 0.034), (0.98, 0.74, 0.12))
    elif setting.look == "steak":
        canvas.fill(ellipse(0.0 * t, y, 0.19, 0.055), (0.4, 0.18, 0.13))
        canvas.fill(ellipse(0.0 * t, y - 0.016, 0.17, 0.038), (0.62, 0.28, 0.2))
    else:
        for k in (-1, 1):
            canvas.fill(
                stroke(-0.14 + 0 * t, y + 0.022 * k, 0.14, y + 0.022 * k, 0.028), shade(COLOURS["sausage"], 1.0 + 0.1 * k)
            )
    rng = setting.rng.substream("drops")
    number = 14
    phase, aside, fast = (
        rng.uniforms(number)[:, None],
        rng.uniforms(number, -0.28, 0.28)[:, None],
        rng.uniforms(number, 2, 4)[:, None],
    )
    age = np.mod(phase + fast * t, 1.0)
    live = (np.arange(number)[:, None] / number < level * 1.2).astype(float)
    canvas.fill(dots(aside * (1 + 0.3 * age), 0.26 - 0.5 * age * (1 - age) - 0.04 * fast * 0.3, 0.013 * live), (1.0, 0.9, 0.55))
    for k in range(5):
        rise = np.mod(0.2 * k + 0.5 * t, 1.0)
        x = -0.2 + 0.1 * k + 0.04 * np.sin(6 * rise + k)
        canvas.fill(disc(x, 0.2 - 0.55 * rise, 0.05 + 0.06 * rise), (1.0, 1.0, 1.0), 0.6 * level * (1 - rise), 5.0)


def sizzle_level(t: np.ndarray, setting: Setting) -> np.ndarray:
    """How strongly the pan sizzles, [t]: low between events, high after the tossed food has come down."""
    level = np.full_like(t, 0.2)
    for time, strength in setting.events:
        level = np.maximum(level, strength * np.where(t >= time, np.exp(-np.maximum(t - time, 0) / 0.5), 0.0))
    return level


def play_sizzling(track: Track, setting: Setting) -> None:
    level = sizzle_level(sample_times(track), setting)
    add_noise(track, setting.rng.substream("hiss"), (3000, 7500), 0.15 * level)
    add_noise(track, setting.rng.substream("low"), (500, 1500), 0.02 * level)
    pops = setting.rng.substream("pops")
    time = 0.0
    while time < len(track.samples) / track.rate:
        time += pops.uniform(0.01, 0.07)
        track.add_burst(
            time, pops, band=(1500, 6000), seconds=0.01, gain=0.2 * pops.uniform() * sizzle_level(np.array([time]), setting)[0]
        )


def paint_clatter(canvas: Canvas, t: np.ndarray, setting: Setting) -> None:
    pot = COLOURS[setting.look]
    paint_room(canvas)
    canvas.fill(ellipse(0.0, 0.42, 0.3, 0.04), (0.05, 0.05, 0.06), 0.4, 3.0)
    for side in (-1, 1):
        canvas.fill(stroke(side * 0.24, 0.2, side * 0.33, 0.19, 0.026), shade(pot, 0.5))
    canvas.fill(
        trapezium(0.0, 0.12, 0.42, 0.25, 0.23),
        lambda x, y, at: mix_colours(shade(pot, 0.5), shade(pot, 1.25), 0.9 - 1.5 * np.abs(x + 0.08) / 0.33 + 0 * y),
    )
    canvas.fill(ellipse(0.0, 0.12, 0.25, 0.05), shade(pot, 0.3))
    canvas.animate(len(t))
    y = 0.1 - lift_height(t, setting, 0.3, 0.45)
    tilt = np.zeros_like(t)
    for k, (_, strength) in enumerate(setting.events):
        age = setting.since(t, k)
        tilt = tilt + np.where(
            age >= 0, strength * 0.05 * np.exp(-np.maximum(age, 0) / 0.15) * np.sin(45 * np.maximum(age, 0)), 0.0
        )
    canvas.fill(stroke(-0.25 + 0 * t, y + tilt, 0.25, y - tilt, 0.026), shade(pot, 0.7))
    canvas.fill(ellipse(0.0 * t, y - 0.02, 0.22, 0.045), shade(pot, 1.2))
    canvas.fill(ellipse(-0.08 + 0 * t, y - 0.03, 0.07, 0.015), shade(pot, 1.7))
    canvas.fill(disc(0.0 * t, y - 0.075, 0.034), (0.12, 0.12, 0.13))


def play_clatter(track: Track, setting: Setting) -> None:
    for k, (time, strength) in enumerate(setting.events):
        event = setting.rng.substream("fall", k)
        add_strike(track, time, "metal", strength, setting.rng.substream("lid"), event, gain=1.0)
        late, loud = 0.0, strength
        for _ in range(4):
            late, loud = late + event.uniform(0.03, 0.07), loud * 0.6
            add_strike(track, time + late, "metal", loud, setting.rng.substream("lid"), event, gain=0.7)


KITCHEN = make_world(
    "kitchen",
    {
        "chopping": SceneKind(
            ("carrot", "cucumber", "leek"),
            ("a knife is chopping a {look} on a board", "chopping a {look} in the kitchen", "the sound of chopping a {look}"),
            paint_chopping,
            play_chopping,
            gaps=(0.28, 0.7),
        ),
        "tap": SceneKind(
            ("silver", "golden", "black"),
            (
                "a {look} tap runs into a sink",
                "water runs from a {look} tap",
                "the sound of a {look} kitchen tap, water in a sink",
            ),
            paint_tap,
            play_tap,
            gaps=(0.8, 1.8),
        ),
        "sizzling": SceneKind(
            ("egg", "steak", "sausage"),
            (
                "a sizzling pan, {look} on the fire",
                "frying {look}, sizzling in a pan",
                "the sound of {look} sizzling in a hot pan",
            ),
            paint_sizzling,
            play_sizzling,
            gaps=(0.9, 1.7),
        ),
        "clatter": SceneKind(
            ("silver", "red", "blue", "green"),
            (
                "the lid of a {look} pot falls with a clatter",
                "clatter of a lid on a {look} pot",
                "a {look} pot and the clatter of its lid",
            ),
            paint_clatter,
            play_clatter,
            gaps=(0.6, 1.3),
        ),
    },
)
