"""Landscape scenes with fire and sky: thunder and lightning, wind, a crackling fire, explosions."""

import numpy as np

from sonovid.data.scenes.canvas import Canvas, Colour, Shape, box, disc, dots, ellipse, rotated_ellipse, shade, stroke
from sonovid.data.scenes.random_stream import Number
from sonovid.data.scenes.setting import SceneKind, Setting, add_noise, sample_times, sky_colours
from sonovid.data.scenes.track import Track


def thunder_delay(setting: Setting) -> float:
    """Delay between lightning and thunder in seconds, for the distance of the strike at the speed of sound."""
    return setting.rng.substream("distance").uniform(0.12, 0.6)


def paint_thunder(canvas: Canvas, t: np.ndarray, setting: Setting) -> None:
    top, low = {
        "night": ((0.04, 0.05, 0.13), (0.15, 0.16, 0.3)),
        "evening": ((0.16, 0.1, 0.24), (0.42, 0.26, 0.34)),
        "grey": ((0.2, 0.23, 0.28), (0.36, 0.4, 0.45)),
    }[setting.look]
    canvas.backdrop(top, low)
    rng = setting.rng.substream("clouds")
    for k in range(6):
        x, y = -0.5 + 0.2 * k + rng.uniform(-0.08, 0.08), -0.42 + rng.uniform(-0.05, 0.08)
        canvas.fill(ellipse(x, y, rng.uniform(0.16, 0.24), rng.uniform(0.08, 0.13)), shade(top, rng.uniform(1.12, 1.3)), 1.0, 4.0)
    canvas.animate(len(t))
    flash = np.zeros_like(t)
    for k, (_, strength) in enumerate(setting.events):
        age = setting.since(t, k)
        again = setting.rng.substream("again", k).uniform(0.12, 0.2)
        lit = np.exp(-np.maximum(age, 0) / 0.13) + 0.6 * np.where(age >= again, np.exp(-np.maximum(age - again, 0) / 0.1), 0)
        flash = np.maximum(flash, np.where(age >= 0, strength * lit, 0.0))
    canvas.image += (np.array((0.75, 0.78, 0.95)) - canvas.image) * (0.75 * np.minimum(flash, 1.0))[:, None, None, None]
    near = 0.65 - thunder_delay(setting)
    for k in range(len(setting.events)):
        age = setting.since(t, k)
        shown = np.where(age >= 0, np.clip(1.35 - np.maximum(age, 0) / 0.2, 0, 1), 0.0)
        bolt = setting.rng.substream("bolt", k)
        x, y = bolt.uniform(-0.3, 0.3), -0.42
        for step in range(7):
            nx, ny = x + bolt.uniform(-0.1, 0.1), y + 0.11
            canvas.fill(stroke(x + 0 * t, y, nx, ny, 0.012 + 0.016 * near), (1.0, 1.0, 0.86), shown)
            if step in (2, 4):
                canvas.fill(stroke(nx + 0 * t, ny, nx + bolt.uniform(-0.16, 0.16), ny + 0.12, 0.009), (0.95, 0.95, 1.0), shown)
            x, y = nx, ny
    ground = Shape((-99.0, 0.2, 99.0, 99.0), lambda x, y, at: 0.7 * (0.33 + 0.04 * np.sin(5 * x + 1) + 0.02 * np.sin(13 * x) - y))
    canvas.fill(ground, (0.05, 0.08, 0.07))
    canvas.fill(ground, (0.12, 0.18, 0.16), np.minimum(flash, 1.0))


def play_thunder(track: Track, setting: Setting) -> None:
    t = sample_times(track)
    rumble = np.zeros_like(t)
    lag = thunder_delay(setting)
    for k, (time, strength) in enumerate(setting.events):
        rng = setting.rng.substream("rumble", k)
        age = t - time - lag
        rolls = np.zeros_like(t)
        for _ in range(5):
            rolls += rng.uniform(0.2, 0.7) * np.exp(-(((age - rng.uniform(0.1, 1.6)) / rng.uniform(0.08, 0.25)) ** 2))
        rumble += np.where(
            age >= 0, strength * (np.exp(-np.maximum(age, 0) / 0.5) + rolls * np.exp(-np.maximum(age, 0) / 1.2)), 0.0
        )
        crack = strength * (0.75 - lag)
        track.add_burst(time + lag, rng, band=(100, 800 + 3500 * crack), seconds=0.5, gain=0.15 + 0.35 * crack)
    add_noise(track, setting.rng.substream("low"), (35, 180), 0.07 * rumble)
    add_noise(track, setting.rng.substream("rain"), (2500, 6000), 0.004)


def paint_wind(canvas: Canvas, t: np.ndarray, setting: Setting) -> None:
    top, low = sky_colours(setting.look)
    dark = {"day": 1.0, "evening": 0.8, "night": 0.4, "grey": 0.85}[setting.look]
    canvas.backdrop(top, low, 0.3, shade((0.4, 0.6, 0.26), dark))
    canvas.animate(len(t))
    gust = setting.intensity(t, 0.5)
    rng = setting.rng.substream("tree")
    foot = rng.uniform(-0.22, 0.0)
    flutter = 0.012 * gust * np.sin(2 * np.pi * 5.5 * t)
    bend = 0.3 * gust + flutter
    previous = (foot + 0 * t, 0.34 + 0 * t)
    for k in range(1, 5):
        part = k / 4
        point = (foot + bend * part**2 * 0.8, 0.34 - 0.42 * part + 0.06 * bend * part)
        canvas.fill(stroke(*previous, *point, 0.036 - 0.005 * k), shade((0.4, 0.27, 0.16), dark))
        previous = point
    green: Colour = shade((0.18, 0.5, 0.2), dark)
    for k, (dx, dy, r) in enumerate(
        ((-0.1, 0.0, 0.1), (0.1, 0.02, 0.1), (0.0, -0.1, 0.12), (0.02, 0.02, 0.1), (-0.05, -0.08, 0.08))
    ):
        lean = bend * (0.15 + 0.3 * (0.1 - dy)) + flutter * (k - 2)
        canvas.fill(
            ellipse(previous[0] + dx + lean, previous[1] + dy + 0.2 * np.abs(lean), r * (1 + 0.5 * gust), r * (1 - 0.25 * gust)),
            shade(green, 0.85 + 0.1 * k),
        )
    for k in range(16):
        x = -0.48 + 0.064 * k
        tip = (0.03 + 0.12 * gust) * (1 + 0.3 * np.sin(2 * np.pi * (3 * t + 0.37 * k)))
        canvas.fill(stroke(x + 0 * t, 0.47, x + tip, 0.38 + 0.4 * tip, 0.01), shade((0.25, 0.48, 0.16), dark))
    # Leaves have moved by the integral of the wind's intensity, computed in small steps.
    fine = np.arange(2 + int(t[-1] * 50)) * 0.02
    way = np.concatenate([[0.0], np.cumsum(setting.intensity(fine[1:], 0.5) * 0.02)])
    blown = np.interp(t, fine, way)
    for k in range(9):
        y, phase, fast = rng.uniform(-0.4, 0.35), rng.uniform(), rng.uniform(1.2, 2.0)
        x = -0.6 + 1.2 * np.mod(phase + fast * blown, 1.0)
        canvas.fill(
            rotated_ellipse(x, y + 0.05 * np.sin(6 * t + k), 0.035, 0.016, 8 * blown + k), shade((0.85, 0.55, 0.15), dark)
        )


def play_wind(track: Track, setting: Setting) -> None:
    gust = setting.intensity(sample_times(track), 0.5)
    # Three noise bands with different exponents: the stronger the wind, the higher it howls.
    add_noise(track, setting.rng.substream("low"), (100, 350), 0.08 * gust)
    add_noise(track, setting.rng.substream("middle"), (350, 800), 0.12 * gust**2)
    add_noise(track, setting.rng.substream("high"), (800, 1800), 0.16 * gust**3.5)


def paint_fire(canvas: Canvas, t: np.ndarray, setting: Setting) -> None:
    walls: dict[str, tuple[Colour, Colour]] = {
        "night": ((0.04, 0.05, 0.11), (0.1, 0.08, 0.1)),
        "evening": ((0.25, 0.2, 0.35), (0.6, 0.38, 0.3)),
        "dark": ((0.02, 0.02, 0.02), (0.08, 0.05, 0.04)),
    }
    canvas.backdrop(*walls[setting.look], 0.3, (0.14, 0.1, 0.08))
    canvas.animate(len(t))
    level = setting.intensity(t, 0.6)
    canvas.fill(disc(0.0, 0.15, 0.25 + 0.25 * level), (1.0, 0.5, 0.1), 0.14 + 0.2 * level, 20.0)
    rng = setting.rng.substream("flames")
    for colour, size in (((0.9, 0.22, 0.05), 1.0), ((1.0, 0.55, 0.08), 0.72), ((1.0, 0.9, 0.4), 0.42)):
        for k in range(5):
            x = (k - 2) * 0.085 * size**0.5
            tall = (
                size
                * (0.2 + 0.36 * level)
                * (1 - 0.14 * abs(k - 2))
                * (1 + 0.25 * np.sin(2 * np.pi * (rng.uniform(2.5, 4.5) * t + rng.uniform())))
            )
            wide = 0.085 * size**0.6
            sway = 0.25 * tall * np.sin(2 * np.pi * (rng.uniform(1.2, 2.4) * t + rng.uniform()))

            def flame(x: np.ndarray, y: np.ndarray, at, x0: Number = x, tall=tall, wide: Number = wide, sway=sway) -> np.ndarray:
                up = (0.34 - y) / at(tall)
                half = wide * np.sqrt(np.clip(up + 0.25, 0.0, 2.0)) * np.clip(1 - up, 0.0, 1.0) * 1.5
                side = np.abs(x - x0 - at(sway) * np.clip(up, 0, 1) ** 2) - half
                return np.maximum(side, np.maximum(-0.2 - up, up - 1.0) * 0.2) * 0.6

            canvas.fill(Shape((x - 0.3, 0.34 - 1.15 * tall, x + 0.3, 0.36 + 0.3 * tall), flame), colour, 0.9)
    for ax, ay, bx, by in ((-0.24, 0.4, 0.2, 0.34), (0.24, 0.4, -0.2, 0.34), (-0.2, 0.41, 0.22, 0.42)):
        canvas.fill(stroke(ax, ay, bx, by, 0.032), (0.28, 0.16, 0.09))
        canvas.fill(disc(ax, ay, 0.024), (0.5, 0.33, 0.2))
    for k, (_, strength) in enumerate(setting.events):
        sparks = setting.rng.substream("sparks", k)
        age = setting.since(t, k)
        up = np.maximum(age, 0.0)
        number = 4 + int(5 * strength)
        aside, fast = sparks.uniforms(number, -1, 1)[:, None], sparks.uniforms(number, 0.5, 1.0)[:, None] * (0.6 + 0.8 * strength)
        x = 0.6 * aside * (1 - np.exp(-up / 0.4)) + 0.02 * np.sin(20 * up + 9 * aside)
        y = 0.28 - fast * (1 - np.exp(-up / 0.4)) * 0.9
        canvas.fill(
            dots(x, y, np.where((age >= 0) & (age < 0.7), 0.016 + 0.01 * strength, 0.0) + 0 * y),
            (1.0, 0.88, 0.45),
            np.clip(1.6 - up / 0.4, 0, 1),
        )


def play_fire(track: Track, setting: Setting) -> None:
    level = setting.intensity(sample_times(track), 0.6)
    add_noise(track, setting.rng.substream("roar"), (60, 350), 0.035 * level)
    add_noise(track, setting.rng.substream("breath"), (600, 3000), 0.008 * level)
    small = setting.rng.substream("small")
    time = 0.0
    while time < len(track.samples) / track.rate:
        time += small.uniform(0.01, 0.1)
        track.add_burst(time, small, band=(1500, 7000), seconds=0.008, gain=small.uniform(0.01, 0.06))
    for k, (time, strength) in enumerate(setting.events):
        rng = setting.rng.substream("crack", k)
        track.add_burst(time, rng, band=(700, 3000 + 4500 * strength), seconds=0.03 + 0.03 * strength, gain=0.25 + 0.4 * strength)


def paint_explosion(canvas: Canvas, t: np.ndarray, setting: Setting) -> None:
    top, low = sky_colours(setting.look)
    dark = {"day": 1.0, "evening": 0.75, "night": 0.4, "grey": 0.85}[setting.look]
    canvas.backdrop(top, low, 0.24, shade((0.55, 0.46, 0.34), dark))
    rng = setting.rng.substream("hills")
    for k in range(3):
        canvas.fill(
            ellipse(-0.4 + 0.4 * k + rng.uniform(-0.1, 0.1), 0.26, 0.3, rng.uniform(0.06, 0.14)),
            shade((0.42, 0.38, 0.32), dark),
        )
    canvas.fill(box(-99, 0.24, 99, 99), shade((0.55, 0.46, 0.34), dark))
    canvas.animate(len(t))
    flash = np.zeros_like(t)
    for k, (_, strength) in enumerate(setting.events):
        age = setting.since(t, k)
        flash = np.maximum(flash, np.where(age >= 0, strength * np.exp(-np.maximum(age, 0) / 0.09), 0.0))
    canvas.image += (np.array((1.0, 0.93, 0.75)) - canvas.image) * (0.7 * flash)[:, None, None, None]
    for k, (_, strength) in enumerate(setting.events):
        ball = setting.rng.substream("ball", k)
        age = setting.since(t, k)
        up = np.maximum(age, 0.0)
        x, y = ball.uniform(-0.2, 0.2), 0.2
        grown = (0.16 + 0.16 * strength) * (1 - np.exp(-up / 0.12))
        smoke = np.where(age >= 0, np.clip(1.25 - up / 1.3, 0.0, 1.0), 0.0)
        fire = np.where(age >= 0, np.clip(1.3 - up / 0.45, 0.0, 1.0), 0.0)
        number = 10
        way, fast = ball.uniforms(number, -1.2, 1.2)[:, None], ball.uniforms(number, 0.7, 1.4)[:, None] * (0.5 + 0.5 * strength)
        px, py = x + fast * np.sin(way) * up, y - fast * np.cos(way) * up + 1.1 * up**2
        canvas.fill(dots(px, py, np.where((age >= 0) & (py < 0.32), 0.016, 0.0)), (0.2, 0.15, 0.12))
        puffs = [(ball.uniform(-0.8, 0.8), ball.uniform(-1.0, 0.1), ball.uniform(0.45, 0.7)) for _ in range(7)]
        for dx, dy, r in puffs:
            canvas.fill(
                disc(x + dx * grown, y + dy * grown - 0.16 * up, r * grown * (1 + 0.5 * up)),
                (0.25, 0.23, 0.22),
                smoke * 0.85,
                3.0,
            )
        for dx, dy, r in puffs:
            canvas.fill(disc(x + 0.8 * dx * grown, y + 0.8 * dy * grown - 0.1 * up, r * grown), (0.97, 0.45, 0.08), fire, 2.0)
        canvas.fill(disc(x, y - 0.35 * grown, 0.6 * grown), (1.0, 0.9, 0.45), fire**2, 3.0)


def play_explosion(track: Track, setting: Setting) -> None:
    for k, (time, strength) in enumerate(setting.events):
        rng = setting.rng.substream("boom", k)
        track.add_burst(time, rng, band=(80, 900 + 3500 * strength), seconds=0.9 + 0.7 * strength, gain=0.3 * strength)
        track.add_burst(time, rng, band=(20, 160), seconds=1.6, gain=0.5 * strength)
        track.add_burst(time + 0.12, rng, band=(300, 2500), seconds=1.2, gain=0.12 * strength, grains=40)
        track.add_modes(time, np.array([42.0, 61.0]), np.array([0.9, 0.6]), np.array([0.3, 0.2]) * strength)


FIRES = {
    "thunder": SceneKind(
        ("night", "evening", "grey"),
        (
            "lightning and thunder {when}",
            "lightning flashes and thunder rolls {when}",
            "{when}, thunder follows lightning",
            "the sound of thunder {when}, storm clouds",
        ),
        paint_thunder,
        play_thunder,
        gaps=(1.1, 2.2),
        echo=thunder_delay,
    ),
    "wind": SceneKind(
        ("day", "evening", "night", "grey"),
        (
            "a tree bends in {amount} wind {when}",
            "{amount} wind blows through a tree {when}",
            "{when}, the wind howls and leaves fly",
            "the sound of {amount} wind {when}",
        ),
        paint_wind,
        play_wind,
    ),
    "fire crackling": SceneKind(
        ("night", "evening", "dark"),
        (
            "a fire crackles {when}",
            "a camp fire crackling {when}",
            "burning logs, a crackling fire, sparks fly {when}",
            "the sound of fire crackling {when}",
        ),
        paint_fire,
        play_fire,
        gaps=(0.18, 0.9),
    ),
    "explosion": SceneKind(
        ("day", "evening", "night", "grey"),
        (
            "an explosion on a plain {when}",
            "a {amount} explosion with fire and smoke {when}",
            "{when}, something explodes",
            "the sound of an explosion {when}",
        ),
        paint_explosion,
        play_explosion,
        gaps=(1.1, 2.4),
    ),
}
