"""Landscape scenes with water: rain, waves, a waterfall, bubbles under water, a boot that squishes in a puddle."""

import numpy as np

from sonovid.data.scenes.canvas import At, Canvas, Colour, Shape, box, disc, dots, ellipse, ripple_ring, shade, stroke
from sonovid.data.scenes.random_stream import Number
from sonovid.data.scenes.setting import SceneKind, Setting, add_noise, sample_times, sky_colours
from sonovid.data.scenes.track import Track


def paint_rain(canvas: Canvas, t: np.ndarray, setting: Setting) -> None:
    top, low = sky_colours(setting.look)
    grey = {"day": 0.75, "evening": 0.7, "night": 1.0, "grey": 0.85}[setting.look]
    canvas.backdrop(shade(top, grey), shade(low, grey), 0.26, (0.22, 0.3, 0.24))
    rng = setting.rng.substream("rain")
    for k in range(4):
        x = -0.45 + 0.3 * k + rng.uniform(-0.08, 0.08)
        canvas.fill(ellipse(x, -0.44, rng.uniform(0.2, 0.3), 0.1), shade(low, 0.6 * grey), 0.9, 5.0)
        canvas.fill(ellipse(x + 0.1, 0.26, rng.uniform(0.15, 0.3), rng.uniform(0.05, 0.12)), (0.16, 0.25, 0.2))
    canvas.fill(box(-99, 0.26, 99, 99), (0.24, 0.31, 0.28))
    canvas.fill(ellipse(rng.uniform(-0.1, 0.1), 0.4, 0.36, 0.07), reflected_sky(low, grey))
    canvas.animate(len(t))
    level = setting.intensity(t)
    slant = rng.uniform(-0.12, 0.12)
    for k in range(44):
        fast, phase, x = rng.uniform(1.5, 2.1), rng.uniform(0, 1), rng.uniform(-0.6, 0.6)
        y = -0.65 + 1.15 * np.mod(phase + fast * t / 1.15, 1.0)
        shown = np.clip((level - k / 44) * 6 + 0.3, 0.0, 1.0)
        canvas.fill(stroke(x + slant * y, y, x + slant * (y + 0.11), y + 0.11, 0.007), (0.86, 0.92, 1.0), shown * 0.85)
    for k in range(9):
        x, phase = rng.uniform(-0.32, 0.32), rng.uniform()
        age = np.mod(phase + 2.2 * t, 1.0)
        ripple = ellipse(x, 0.4 + 0.05 * (phase - 0.5), 0.01 + 0.06 * age, 0.004 + 0.018 * age)
        canvas.fill(ripple, (0.95, 0.97, 1.0), (1 - age) * np.clip((level - k / 9) * 5 + 0.3, 0, 1))


def reflected_sky(low: Colour, grey: Number) -> Colour:
    return shade(low, 0.8 * grey)


def play_rain(track: Track, setting: Setting) -> None:
    level = setting.intensity(sample_times(track))
    add_noise(track, setting.rng.substream("hiss"), (2500, 7000), 0.1 * level)
    add_noise(track, setting.rng.substream("wet"), (500, 2500), 0.035 * level**2)
    drops = setting.rng.substream("drops")
    time = 0.0
    while time < len(track.samples) / track.rate:
        time += drops.uniform(0.01, 0.09)
        loud = setting.intensity(np.array([time]))[0]
        if drops.chance(loud):
            track.add_chirp(time, low=drops.uniform(900, 2500), high=drops.uniform(2500, 4500), seconds=0.03, gain=0.12 * loud)


def wave_shape(top: np.ndarray, bottom: np.ndarray, phase: Number) -> Shape:
    """A wavy bar across the whole image."""

    def distance(x: np.ndarray, y: np.ndarray, at: At) -> np.ndarray:
        wavy = y - 0.012 * np.sin(9 * x + phase)
        return np.maximum(at(top) - wavy, wavy - at(bottom))

    return Shape((-99.0, top - 0.02, 99.0, bottom + 0.02), distance)


def wash_shape(reach: np.ndarray, phase: Number, foam: np.ndarray | None = None) -> Shape:
    """The water that has run up the beach to y=`reach`, or only the foam along its edge, with half width `foam`."""

    def distance(x: np.ndarray, y: np.ndarray, at: At) -> np.ndarray:
        past = y - at(reach) - 0.02 * np.sin(11 * x + phase)
        return np.maximum(past, 0.12 - y) if foam is None else np.abs(past) - at(foam)

    return Shape((-99.0, 0.05 + 0 * reach, 99.0, reach + 0.1), distance)


def paint_waves(canvas: Canvas, t: np.ndarray, setting: Setting) -> None:
    top, low = sky_colours(setting.look)
    dark = 0.5 if setting.look == "night" else 1.0
    sea: Colour = shade((0.1, 0.42, 0.62), dark)
    canvas.backdrop(top, low, -0.12, sea)
    if setting.look != "grey":
        canvas.fill(disc(0.26, -0.34, 0.06), (1.0, 0.93, 0.7) if setting.look != "night" else (0.9, 0.92, 0.95))
    canvas.fill(box(-99, -0.12, 99, -0.1), shade(sea, 1.3))
    canvas.fill(box(-99, 0.24, 99, 99), shade((0.87, 0.76, 0.55), dark))
    canvas.animate(len(t))
    foam: Colour = shade((0.97, 0.98, 1.0), 0.75 if setting.look == "night" else 1.0)
    for k, (time, strength) in enumerate(setting.events):
        age = t - time
        coming = np.clip((age + 1.6) / 1.6, 0.0, 1.0)
        crest = -0.1 + 0.28 * coming**1.6
        rise = 0.012 + 0.075 * strength * coming**2
        waiting = ((age > -1.6) & (age < 0)).astype(float)
        swell = waiting * np.minimum(1.0, coming * 3)
        canvas.fill(wave_shape(crest - rise, crest + 0.02, 1.7 * k), shade(sea, 0.62), swell)
        canvas.fill(wave_shape(crest - rise, crest - rise * 0.5, 1.7 * k), shade(sea, 1.6), swell)
        swept = np.maximum(age, 0.0)
        reach = 0.18 + (0.08 + 0.2 * strength) * np.sin(np.minimum(swept / 1.1, 1.0) * np.pi * 0.62)
        white = np.where(age >= 0, np.exp(-swept / 0.55), 0.0)
        canvas.fill(wash_shape(reach, 2.3 * k), shade(sea, 1.15), np.minimum(1.0, white * 1.8))
        edge = wash_shape(reach, 2.3 * k, (0.02 + 0.06 * strength) * np.exp(-swept / 0.5))
        canvas.fill(edge, foam, np.minimum(1.0, white * 1.6))


def play_waves(track: Track, setting: Setting) -> None:
    t = sample_times(track)
    roar, spray = np.full_like(t, 0.02), np.zeros_like(t)
    for time, strength in setting.events:
        age = t - time
        # A wave becomes audible only when it is visible.
        coming = 0.22 * np.exp(np.minimum(age, 0) / 0.35) * np.clip((age + 1.6) / 1.6, 0.0, 1.0)
        swell = np.where(age < 0, coming, np.exp(-np.maximum(age, 0) / 0.35))
        roar += 0.2 * strength * swell
        spray += 0.16 * strength * np.where(age >= 0, np.exp(-np.maximum(age, 0) / 0.6), 0.0)
    add_noise(track, setting.rng.substream("roar"), (90, 700), 0.7 * roar)
    add_noise(track, setting.rng.substream("spray"), (900, 6000), 0.8 * spray)


def paint_waterfall(canvas: Canvas, t: np.ndarray, setting: Setting) -> None:
    top, low = sky_colours(setting.look)
    dark = {"day": 1.0, "evening": 0.8, "night": 0.45, "grey": 0.85}[setting.look]
    canvas.backdrop(top, low, 0.3, shade((0.13, 0.42, 0.55), dark))
    rng = setting.rng.substream("rock")
    rock: Colour = shade((0.38, 0.36, 0.34), dark)
    x, half = rng.uniform(-0.08, 0.08), rng.uniform(0.12, 0.17)
    canvas.fill(box(-99, -0.28, 99, 0.32), rock)
    canvas.fill(box(-99, -0.32, 99, -0.26), shade((0.25, 0.5, 0.2), dark))
    for _ in range(12):
        cx, cy = rng.uniform(-0.5, 0.5), rng.uniform(-0.22, 0.28)
        canvas.fill(ellipse(cx, cy, rng.uniform(0.04, 0.1), rng.uniform(0.02, 0.05)), shade(rock, rng.choice((0.75, 0.85, 1.12))))
    canvas.animate(len(t))
    level = setting.intensity(t, 0.35)
    wide = half * (0.45 + 0.65 * level)
    canvas.fill(box(x - wide, -0.31, x + wide, 0.34), shade((0.72, 0.86, 0.95), dark))
    for k in range(16):
        place, phase, fast = -0.95 + 1.9 * (k + 0.5) / 16, rng.uniform(), rng.uniform(0.9, 1.3)
        y = -0.4 + 0.72 * np.mod(phase + fast * t, 1.0)
        tone = (1.0, 1.0, 1.0) if k % 3 else (0.5, 0.7, 0.85)
        canvas.fill(stroke(x + place * wide, np.maximum(y, -0.3), x + place * wide, y + 0.16, 0.01), shade(tone, dark), 0.9)
    for k in range(7):
        sway = 0.03 * np.sin(2 * np.pi * (rng.uniform(0.6, 1.4) * t + rng.uniform()))
        canvas.fill(
            disc(x + (k - 3) * 0.075 + sway, 0.34 + 0.5 * np.abs(sway), 0.03 + 0.085 * level),
            shade((0.97, 0.98, 1.0), dark),
            0.55,
            4.0,
        )


def play_waterfall(track: Track, setting: Setting) -> None:
    level = setting.intensity(sample_times(track), 0.35)
    add_noise(track, setting.rng.substream("low"), (120, 900), 0.1 * level)
    add_noise(track, setting.rng.substream("high"), (900, 5000), 0.14 * level**1.5)


def paint_bubbles(canvas: Canvas, t: np.ndarray, setting: Setting) -> None:
    tone: Colour = {"blue": (0.08, 0.4, 0.75), "green": (0.05, 0.5, 0.42), "dark blue": (0.04, 0.14, 0.42)}[setting.look]
    canvas.backdrop(shade(tone, 1.35), shade(tone, 0.45), 0.42, (0.5, 0.43, 0.28))
    rng = setting.rng.substream("sea")
    for k in range(3):
        x = -0.4 + 0.36 * k + rng.uniform(-0.08, 0.08)
        canvas.fill(stroke(x + 0.16, -0.5, x, 0.2, 0.04), shade(tone, 1.6), 0.18, 6.0)
    source = rng.uniform(-0.15, 0.15)
    canvas.fill(ellipse(source, 0.43, 0.1, 0.045), (0.3, 0.27, 0.24))
    canvas.animate(len(t))
    for _ in range(4):
        x, sway = rng.uniform(-0.48, 0.48), 0.04 * np.sin(2 * np.pi * (0.5 * t + rng.uniform()))
        canvas.fill(stroke(x, 0.45, x + sway, 0.22, 0.016), (0.08, 0.42, 0.22))
    for k, (time, strength) in enumerate(setting.events):
        aside = setting.rng.substream("bubble", k)
        age = t - time
        born = np.clip(age / 0.05, 0.0, 1.0)
        r = (0.03 + 0.055 * strength) * born
        up = np.maximum(age, 0.0)
        along = source + aside.uniform(-0.2, 0.2) * np.minimum(up, 1.2) + 0.03 * np.sin(7 * up + aside.uniform(0, 6))
        y = 0.4 - 0.62 * up * (0.8 + 0.3 * strength)
        here = (age >= 0).astype(float)
        canvas.fill(disc(along, y, r), (0.85, 0.95, 1.0), here * 0.9)
        canvas.fill(disc(along, y, np.maximum(r - 0.016, 0.0)), shade(tone, 1.3), here * 0.9)
        canvas.fill(disc(along - 0.35 * r, y - 0.35 * r, 0.3 * r), (1.0, 1.0, 1.0), here)


def play_bubbles(track: Track, setting: Setting) -> None:
    add_noise(track, setting.rng.substream("deep"), (60, 300), 0.02)
    for k, (time, strength) in enumerate(setting.events):
        rng = setting.rng.substream("tone", k)
        # A bubble of radius r rings near 3.26 / r Hz (Minnaert): large bubbles are low.
        low = 900 - 560 * strength
        track.add_chirp(time, low=low, high=low * 1.9, seconds=0.1 + 0.1 * strength, gain=0.35 + 0.35 * strength)
        for _ in range(2):
            late, small = rng.uniform(0.03, 0.12), rng.uniform(900, 1500)
            track.add_chirp(time + late, low=small, high=small * 1.6, seconds=0.05, gain=0.12)


def paint_squish(canvas: Canvas, t: np.ndarray, setting: Setting) -> None:
    boot: Colour = {"red": (0.85, 0.15, 0.15), "yellow": (0.95, 0.8, 0.1), "green": (0.15, 0.5, 0.25), "blue": (0.15, 0.3, 0.75)}[
        setting.look
    ]
    canvas.backdrop((0.7, 0.76, 0.72), (0.6, 0.64, 0.56), 0.12, (0.42, 0.33, 0.23))
    puddle = ellipse(0.0, 0.36, 0.42, 0.1)
    canvas.fill(ellipse(0.0, 0.36, 0.45, 0.12), (0.33, 0.25, 0.17))
    canvas.fill(puddle, (0.45, 0.55, 0.6))
    canvas.animate(len(t))
    lowered = np.clip((t - setting.events[0][0]) / 0.4 + 1.0, 0.0, 1.0)
    height = 0.3 * (1 - lowered**2)
    for (time, _), (following, _) in zip(setting.events, [*setting.events[1:], (1e9, 0.0)], strict=True):
        gap = min(following - time, 2.0)
        share = np.clip((t - time) / gap, 0.0, 1.0)
        up = np.sin(np.pi * np.clip((share - 0.22) / 0.78, 0.0, 1.0) ** 0.8)
        height = np.where((t >= time) & (t < following), 0.3 * up, height)
    spot, ground = 0.0, 0.37
    for k, (_, strength) in enumerate(setting.events):
        age = setting.since(t, k)
        grown = 0.12 + 0.5 * np.maximum(age, 0)
        ring = ripple_ring(puddle, spot, 0.37, grown, 0.02)
        canvas.fill(ring, (0.85, 0.92, 0.96), np.where(age >= 0, strength * np.exp(-np.maximum(age, 0) / 0.3), 0.0))
    sole = ground - height
    canvas.fill(box(spot - 0.1, sole - 0.7, spot + 0.05, sole - 0.02), boot)
    canvas.fill(box(spot - 0.1, sole - 0.11, spot + 0.15, sole, 0.045), boot)
    canvas.fill(box(spot - 0.11, sole - 0.025, spot + 0.16, sole, 0.01), (0.18, 0.16, 0.15))
    canvas.fill(stroke(spot - 0.07, sole - 0.5, spot - 0.07, sole - 0.08, 0.012), shade(boot, 1.6), 0.8)
    for k, (_, strength) in enumerate(setting.events):
        rng = setting.rng.substream("splash", k)
        age = setting.since(t, k)
        number = 10
        way, fast = rng.uniforms(number, -1, 1)[:, None], rng.uniforms(number, 0.6, 1.3)[:, None] * (0.4 + 0.6 * strength)
        x = spot + 0.02 + way * (0.12 + 0.7 * fast * np.maximum(age, 0))
        y = ground - 1.3 * fast * np.maximum(age, 0) + 2.2 * np.maximum(age, 0) ** 2
        canvas.fill(dots(x, y, np.where((age >= 0) & (y < ground + 0.05), 0.022, 0.0) + 0 * y), (0.75, 0.85, 0.9))


def play_squish(track: Track, setting: Setting) -> None:
    for k, (time, strength) in enumerate(setting.events):
        rng = setting.rng.substream("squelch", k)
        track.add_burst(time, rng, band=(250, 900 + 1800 * strength), seconds=0.28, gain=0.3 * strength, grains=90)
        for j in range(5):
            late = 0.0 if j == 0 else rng.uniform(0.02, 0.2)
            low = rng.uniform(180, 420)
            track.add_chirp(
                time + late, low=low, high=low * rng.uniform(2.0, 4.0), seconds=rng.uniform(0.06, 0.14), gain=0.35 * strength
            )


WATERS = {
    "rain": SceneKind(
        ("day", "evening", "night", "grey"),
        (
            "rain falls on a meadow {when}",
            "{amount} rain on a field with a puddle {when}",
            "{when}, it is raining, {amount} rain",
            "the sound of {amount} rain {when}",
        ),
        paint_rain,
        play_rain,
    ),
    "waves": SceneKind(
        ("day", "evening", "night", "grey"),
        (
            "waves break on a beach {when}",
            "{when}, {amount} waves roll onto the sand",
            "{amount} waves crash on the shore {when}",
            "the sound of waves on a beach {when}",
        ),
        paint_waves,
        play_waves,
        gaps=(0.9, 1.9),
    ),
    "waterfall": SceneKind(
        ("day", "evening", "night", "grey"),
        (
            "a waterfall pours down a cliff {when}",
            "water falls over rocks, a {amount} waterfall {when}",
            "{when}, a {amount} waterfall roars",
            "the sound of a waterfall {when}",
        ),
        paint_waterfall,
        play_waterfall,
    ),
    "underwater bubbles": SceneKind(
        ("blue", "green", "dark blue"),
        (
            "bubbles rise under water, {look} sea",
            "underwater bubbles in {look} water",
            "{look} water in which bubbles rise from the ground",
            "the sound of bubbles under {look} water",
        ),
        paint_bubbles,
        play_bubbles,
        gaps=(0.16, 0.8),
    ),
    "squishing water": SceneKind(
        ("red", "yellow", "green", "blue"),
        (
            "a {look} boot squishes in a puddle",
            "squishing water under a {look} rubber boot",
            "a {look} boot steps into wet mud, squishing water",
            "the sound of a {look} boot squishing in water",
        ),
        paint_squish,
        play_squish,
        gaps=(0.45, 1.0),
    ),
}
