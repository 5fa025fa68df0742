"""Bounces: a ball of some material and colour falls and bounces under varying gravity, with exact contact times."""

from dataclasses import dataclass

import numpy as np

from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.data.scenes.canvas import Canvas, Colour, Field, box, disc, ellipse, mix_colours, shade, stroke
from sonovid.data.scenes.materials import add_strike
from sonovid.data.scenes.random_stream import Number, RandomStream
from sonovid.data.scenes.track import Track
from sonovid.data.scenes.world import World, events_in_clip, frame_times

FLOOR = 0.3
COLOURS: dict[str, Colour] = {
    "red": (0.86, 0.13, 0.12),
    "blue": (0.13, 0.3, 0.85),
    "green": (0.1, 0.6, 0.22),
    "yellow": (0.95, 0.82, 0.1),
    "orange": (0.97, 0.5, 0.06),
    "purple": (0.55, 0.2, 0.72),
    "white": (0.95, 0.95, 0.93),
    "clear": (0.9, 0.93, 0.95),
    "pink": (0.97, 0.5, 0.68),
    "brown": (0.55, 0.33, 0.15),
    "silver": (0.72, 0.75, 0.79),
    "golden": (0.88, 0.68, 0.2),
    "black": (0.12, 0.12, 0.14),
}
BALLS = {
    "rubber": ("red", "blue", "green", "yellow", "black"),
    "plastic": ("red", "blue", "orange", "pink", "white", "purple"),
    "wood": ("brown", "orange"),
    "metal": ("silver", "golden"),
    "glass": ("green", "blue", "clear", "purple"),
}
RESTITUTION = {"rubber": 0.86, "plastic": 0.78, "wood": 0.6, "metal": 0.66, "glass": 0.7}
FLOORS = {"wood": 1.0, "stone": 1.03, "metal": 1.0, "carpet": 0.82}
FLOOR_LOOK: dict[str, Colour] = {
    "wood": (0.64, 0.44, 0.25),
    "stone": (0.52, 0.53, 0.54),
    "metal": (0.42, 0.5, 0.6),
    "carpet": (0.48, 0.2, 0.28),
}
WALLS: tuple[Colour, ...] = ((0.8, 0.86, 0.92), (0.9, 0.87, 0.8), (0.82, 0.9, 0.84), (0.87, 0.84, 0.9))
ADJECTIVE = {"wood": "wooden"}


@dataclass(frozen=True)
class Flight:
    """One throw of a ball. Contact k is at times[k] with downward speed speeds[k].

    Attributes:
        start: When the ball appears, at height `drop` above the floor.
        end: When it is gone.
        settle: When it stops bouncing and starts to roll away.
    """

    start: Number
    end: Number
    settle: Number
    x: Number
    drift: Number
    leave: Number
    gravity: Number
    drop: Number
    times: tuple[Number, ...]
    speeds: tuple[Number, ...]


@dataclass(frozen=True)
class Scene:
    material: str
    colour: str
    floor: str
    radius: Number
    gravity: Number
    drop: Number
    restitution: Number
    balls: int
    wall: Colour
    light: Number


def draw_scene(seed: int) -> Scene:
    rng = RandomStream("bounces", seed)
    material, floor = rng.choice(sorted(BALLS)), rng.choice(sorted(FLOORS))
    balls = 2 if rng.chance(0.15) else 1
    drop, fall = rng.uniform(0.42, 0.66), rng.uniform(0.3, 0.46)
    return Scene(
        material=material,
        colour=rng.choice(BALLS[material]),
        floor=floor,
        radius=rng.uniform(0.085, 0.12),
        gravity=2 * drop / fall**2,
        drop=drop,
        restitution=min(0.88, RESTITUTION[material] * FLOORS[floor] * rng.uniform(0.95, 1.04)) * (0.82 if balls == 2 else 1.0),
        balls=balls,
        wall=rng.choice(WALLS),
        light=rng.uniform(0.9, 1.05),
    )


def attributes(seed: int) -> dict[str, str]:
    scene = draw_scene(seed)
    return {
        "world": "bounces",
        "material": scene.material,
        "colour": scene.colour,
        "floor": scene.floor,
        "balls": ("one", "two")[scene.balls - 1],
    }


def draw_flights(seed: int, ball: int, until: Number) -> list[Flight]:
    """Draws all throws of one ball that start before `until`: fall, contacts until the bounces are too small, rolling away."""
    scene = draw_scene(seed)
    flights: list[Flight] = []
    start = 0.0 if ball == 0 else RandomStream("bounces", seed, "second").uniform(0.12, 0.3)
    while start < until:
        rng = RandomStream("bounces", seed, ball, len(flights))
        drop = scene.drop * rng.uniform(0.85, 1.05)
        # The first fall begins before the clip, so that the first contact time varies.
        lead = rng.uniform(0.0, 0.16) if not flights and ball == 0 else 0.0
        time = start - lead + (2 * drop / scene.gravity) ** 0.5
        speed = scene.gravity * (time - start + lead)
        top = speed
        times, speeds = [], []
        while True:
            times.append(time)
            speeds.append(speed)
            speed *= scene.restitution
            pause = 2 * speed / scene.gravity
            if pause < 0.16 or speed < 0.22 * top:
                break
            time += pause
        settle = times[-1] + 2 * speed / scene.gravity
        side = -0.2 + 0.4 * ball if scene.balls == 2 else 0.0
        x = side + rng.uniform(-0.16, 0.16) * (0.3 if scene.balls == 2 else 1.0)
        drift = rng.uniform(-0.08, 0.08) * (0.3 if scene.balls == 2 else 1.0)
        leave = 1.0 if x + drift * (settle - start) > 0 else -1.0
        flights.append(
            Flight(start - lead, settle + 0.5, settle, x, drift, leave, scene.gravity, drop, tuple(times), tuple(speeds))
        )
        start = settle + 0.35
    return flights


def ball_position(flight: Flight, t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Position of the lowest point of the ball, x and height above the floor, and whether the ball is there. All [t]."""
    height = flight.drop - flight.gravity * (t - flight.start) ** 2 / 2
    ends = (*flight.times[1:], flight.settle)
    for time, end in zip(flight.times, ends, strict=True):
        since, up = t - time, flight.gravity * (end - time) / 2
        height = np.where(t >= time, up * since - flight.gravity * since**2 / 2, height)
    height = np.where(t >= flight.settle, 0.0, np.maximum(height, 0.0))
    rolled = np.maximum(t - flight.settle, 0.0)
    x = (
        flight.x
        + flight.drift * (np.minimum(t, flight.settle) - flight.start)
        + rolled * flight.drift
        + flight.leave * 4.0 * rolled**2
    )
    return x, height, (t >= flight.start) & (t < flight.end)


def paint_floor(canvas: Canvas, scene: Scene) -> None:
    wall, floor = shade(scene.wall, scene.light), FLOOR_LOOK[scene.floor]
    canvas.backdrop(wall, shade(wall, 0.86), FLOOR, floor)
    canvas.fill(box(-99, FLOOR, 99, FLOOR + 0.03), shade(floor, 1.25))
    if scene.floor == "wood":
        for y in (0.37, 0.44):
            canvas.fill(stroke(-99, y, 99, y, 0.006), shade(floor, 0.72))
    elif scene.floor == "stone":
        canvas.fill(stroke(-99, 0.4, 99, 0.4, 0.008), shade(floor, 0.72))
        for x in np.arange(-9, 10) * 0.33:
            canvas.fill(stroke(x - 0.05 * x, FLOOR + 0.03, x * 1.1, 0.4, 0.008), shade(floor, 0.72))
    elif scene.floor == "metal":
        for x in np.arange(-9, 10) * 0.4:
            canvas.fill(stroke(x, 0.52, x + 0.18, FLOOR + 0.03, 0.03), shade(floor, 1.3), 0.7, 4.0)
    else:
        canvas.fill(box(-99, 0.42, 99, 0.46), (0.85, 0.72, 0.45))


def ball_shading(material: str, base: Colour, cx: np.ndarray, cy: np.ndarray, r: Number, turn: np.ndarray) -> Field:
    """Colours of a ball lit from the upper left, by material."""

    def field(x: np.ndarray, y: np.ndarray, at) -> np.ndarray:
        u, v = (x - at(cx)) / r, (y - at(cy)) / r
        light = np.clip(0.75 - 0.35 * u - 0.45 * v, 0.0, 1.4)
        spot = np.hypot(u + 0.35, v + 0.4)
        c, s = np.cos(at(turn)), np.sin(at(turn))
        a, b = u * c + v * s, v * c - u * s
        body = mix_colours(shade(base, 0.45), base, light)
        if material == "wood":
            rings = 0.5 + 0.5 * np.cos(9.0 * np.hypot(a, 0.5 * b + 0.6))
            body = mix_colours(shade(base, 0.6), shade(base, 1.3), rings) * (0.55 + 0.5 * light[..., None])
        elif material == "metal":
            band = np.exp(-((v + 0.15) ** 2) / 0.03)
            body = mix_colours(shade(base, 0.3), base, light + 0.2 * np.sin(5 * v))
            body = body + 0.25 * band[..., None]
            body = body + (1 - body) * np.clip(1.6 - spot * 4.0, 0.0, 1.0)[..., None]
        elif material == "plastic":
            body = np.where((np.abs(b) < 0.22)[..., None], mix_colours((0.6, 0.6, 0.6), (1.0, 1.0, 1.0), light), body)
            if base[0] > 0.9 and base[2] > 0.9:
                body = np.where((np.abs(b) < 0.22)[..., None], mix_colours((0.2, 0.2, 0.25), (0.4, 0.4, 0.5), light), body)
            body = body + (1 - body) * (0.8 * np.clip(1.4 - spot * 4.0, 0.0, 1.0))[..., None]
        return np.clip(body, 0.0, 1.0)

    return field


def paint_ball(canvas: Canvas, scene: Scene, flight: Flight, t: np.ndarray) -> None:
    x, height, here = ball_position(flight, t)
    r, base = scene.radius, COLOURS[scene.colour]
    squash = np.zeros_like(t)
    if scene.material in ("rubber", "plastic"):
        soft = 0.34 if scene.material == "rubber" else 0.12
        for time, speed in zip(flight.times, flight.speeds, strict=True):
            squash = np.maximum(squash, soft * speed / flight.speeds[0] * np.exp(-(((t - time) / 0.04) ** 2)))
    ry, rx = r * (1 - squash), r * (1 + 0.7 * squash)
    cy = FLOOR + 0.06 - height - ry
    shown = here.astype(float)
    canvas.fill(
        ellipse(x, FLOOR + 0.06, rx * (1.0 + 0.6 * height), 0.028), (0.05, 0.05, 0.08), shown * 0.5 * np.exp(-2.2 * height), 2.0
    )
    turn = (x - flight.x) / r + 0.6
    ball = ellipse(x, cy, rx, ry)
    if scene.material != "glass":
        canvas.fill(ball, ball_shading(scene.material, base, x, cy, r, turn), shown)
        return
    canvas.fill(ball, shade(base, 1.3), shown * 0.35)
    rim = 0.016
    outline = ellipse(x, cy, rx - rim, ry - rim)
    ring = ellipse(x, cy, rx, ry)
    both = type(ring)(ring.bounds, lambda px, py, at: np.maximum(ring.distance(px, py, at), -outline.distance(px, py, at)))
    canvas.fill(both, shade(base, 0.7), shown * 0.9)
    canvas.fill(ellipse(x + 0.2 * r, cy + 0.45 * r, 0.45 * r, 0.2 * r), shade(base, 1.6), shown * 0.6, 2.0)
    canvas.fill(disc(x - 0.35 * r, cy - 0.38 * r, 0.2 * r), (1.0, 1.0, 1.0), shown)


def caption(seed: int) -> str:
    scene, rng = draw_scene(seed), RandomStream("bounces", seed, "words")
    name = ADJECTIVE.get(scene.material, scene.material)
    floor = ADJECTIVE.get(scene.floor, scene.floor)
    floor = (
        rng.choice((f"a {floor} floor", f"the {floor} floor"))
        if scene.floor != "carpet"
        else rng.choice(("a carpet", "the carpet"))
    )
    if scene.balls == 2:
        ball = rng.choice(
            (
                f"two {scene.colour} {name} balls",
                f"two {name} balls, {scene.colour} ones,",
                f"a pair of {scene.colour} {name} balls",
            )
        )
        plural = not ball.startswith("a pair") or rng.chance(0.5)
    else:
        article = "an" if scene.colour == "orange" else "a"
        ball = rng.choice(
            (
                f"{article} {scene.colour} {name} ball",
                f"{article} {scene.colour} ball made of {scene.material}",
                f"a {name} ball, {scene.colour} in colour,",
            )
        )
        plural = False
    bounce, fall, drop = ("bounce", "fall", "drop") if plural else ("bounces", "falls", "drops")
    be = "are" if plural else "is"
    bare = ball.rstrip(",")
    return rng.choice(
        (
            f"{ball} {bounce} on {floor}",
            f"{ball} {fall} and {bounce} on {floor}",
            f"{ball} {be} bouncing on {floor}",
            f"{ball} {drop} onto {floor} and {bounce}",
            f"on {floor}, {ball} {bounce}",
            f"the sound of {bare} bouncing on {floor}",
            f"{bare} bouncing on {floor}",
        )
    )


def find_contacts(seed: int, until: Number) -> list[tuple[Number, Number, int]]:
    """All contacts before `until`: time, strength in (0, 1], and ball."""
    scene, found = draw_scene(seed), []
    for ball in range(scene.balls):
        for flight in draw_flights(seed, ball, until):
            found += [(time, min(1.0, speed / 3.6), ball) for time, speed in zip(flight.times, flight.speeds, strict=True)]
    return sorted(found)


def render(seed: int, geometry: Geometry) -> Clip:
    scene, t, until = draw_scene(seed), frame_times(geometry), float(geometry.seconds)
    canvas = Canvas(geometry.height, geometry.width)
    paint_floor(canvas, scene)
    canvas.animate(geometry.num_frames)
    for ball in range(scene.balls):
        for flight in draw_flights(seed, ball, until):
            paint_ball(canvas, scene, flight, t)
    track = Track(geometry)
    hits = find_contacts(seed, until)
    for number, (time, strength, ball) in enumerate(hits):
        add_contact(track, seed, scene, number, time, strength, ball)
    return Clip(
        canvas.frames(),
        track.waveform(),
        geometry.fps,
        geometry.sample_rate,
        caption(seed),
        scene.material,
        events_in_clip([hit[0] for hit in hits], geometry),
    )


def add_contact(track: Track, seed: int, scene: Scene, number: int, time: Number, strength: Number, ball: int) -> None:
    """Adds the sound of one contact: mostly that of the ball, with a response of the floor."""
    event = RandomStream("bounces", seed, "contact", number)
    muffled = 0.75 if scene.floor == "carpet" else 1.0
    add_strike(track, time, scene.material, strength * muffled, RandomStream("bounces", seed, "voice", ball), event, gain=1.1)
    add_strike(track, time, scene.floor, strength, RandomStream("bounces", seed, "floor"), event, gain=0.3)


BOUNCES = World("bounces", attributes, render)
