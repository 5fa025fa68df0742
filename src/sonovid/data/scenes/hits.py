"""Hits: a wooden stick hits objects of eight materials (after Greatest Hits, Owens et al. 2016)."""

from dataclasses import dataclass

import numpy as np

from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.data.scenes.canvas import Canvas, Colour, disc, shade, stroke
from sonovid.data.scenes.materials import add_strike
from sonovid.data.scenes.random_stream import Number, RandomStream
from sonovid.data.scenes.things import TABLE, THINGS, ThingState
from sonovid.data.scenes.track import Track
from sonovid.data.scenes.world import World, events_in_clip, frame_times

GAINS = {"wood": 1.6, "metal": 1.1, "glass": 1.1, "plastic": 1.15, "cloth": 0.95, "water": 1.0, "leaves": 1.0, "dirt": 1.0}
WALLS: tuple[Colour, ...] = ((0.85, 0.85, 0.8), (0.76, 0.83, 0.88), (0.82, 0.78, 0.84), (0.8, 0.87, 0.8))
GROUNDS: tuple[Colour, ...] = ((0.5, 0.42, 0.36), (0.42, 0.45, 0.5), (0.56, 0.52, 0.45))
TIMES = {1: ("once", "one time"), 2: ("twice", "two times"), 3: ("three times",), 4: ("four times",)}


@dataclass(frozen=True)
class Scene:
    material: str
    thing: str
    colour: str
    size: Number
    x: Number
    side: Number
    wall: Colour
    ground: Colour


def draw_scene(seed: int) -> Scene:
    rng = RandomStream("hits", seed)
    material = rng.choice(sorted({thing.material for thing in THINGS.values()}))
    name = rng.choice(sorted(name for name, thing in THINGS.items() if thing.material == material))
    return Scene(
        material=material,
        thing=name,
        colour=rng.choice(THINGS[name].colours),
        size=rng.uniform(1.0, 1.2),
        x=rng.uniform(-0.1, 0.1),
        side=1.0 if rng.chance(0.5) else -1.0,
        wall=rng.choice(WALLS),
        ground=rng.choice(GROUNDS),
    )


def attributes(seed: int) -> dict[str, str]:
    scene = draw_scene(seed)
    return {"world": "hits", "material": scene.material, "object": scene.thing, "colour": scene.colour}


def draw_blows(seed: int, until: Number) -> list[tuple[Number, Number]]:
    """Draws all blows before `until` and one more: time, and strength in [0.3, 1]. At most four fall in any two seconds."""
    rng = RandomStream("hits", seed, "blows")
    blows: list[tuple[Number, Number]] = []
    time, pace = rng.uniform(0.2, 0.9), rng.uniform(0.4, 1.5)
    while True:
        blows.append((time, rng.uniform(0.3, 1.0)))
        if time >= until:
            return blows
        time += max(0.28, pace * rng.uniform(0.7, 1.4))
        if len(blows) >= 4:
            time = max(time, blows[-4][0] + 2.0)


def stick_height(times: np.ndarray, hits: list[tuple[Number, Number]]) -> np.ndarray:
    """Height of the stick, [t]: 0 at each blow, rising to the strength of the next blow before it."""
    height = np.full(times.shape, hits[0][1])
    before, rest = -9.0, hits[0][1]
    for time, strength in hits:
        gap = time - before
        down, up = min(0.3, 0.5 * gap), min(0.34, 0.5 * gap)
        fall = np.clip((times - (time - down)) / down, 0.0, 1.0)
        rise = np.clip((times - before) / up, 0.0, 1.0)
        level = strength * (1 - fall**2) * (1 - (1 - rise) ** 2)
        height = np.where((times >= before) & (times < time), level, height)
        before, rest = time, strength
    rise = np.clip((times - before) / 0.34, 0.0, 1.0)
    return np.where(times >= before, rest * 0.6 * (1 - (1 - rise) ** 2), height)


def paint_stick(canvas: Canvas, scene: Scene, height: np.ndarray, contact: tuple[Number, Number]) -> None:
    """Paints a drumstick that turns about a hand outside the image."""
    tip, thick = 0.034, 0.02
    cx, cy = contact[0], contact[1] - tip
    pivot_x, pivot_y = cx + 0.72 * scene.side, cy - 0.12
    reach = np.hypot(cx - pivot_x, cy - pivot_y)
    # Tall objects leave less room above them, and the tip has to stay visible.
    high = min(0.62, (cy + 0.44) / reach - 0.1)
    angle = np.arctan2(cy - pivot_y, (cx - pivot_x) * -scene.side) - (0.12 + high * height) * np.minimum(1, height * 8)
    x, y = pivot_x - scene.side * reach * np.cos(angle), pivot_y + reach * np.sin(angle)
    far_x, far_y = pivot_x + scene.side * 3 * np.cos(angle), pivot_y - 3 * np.sin(angle)
    canvas.fill(stroke(x, y, far_x, far_y, thick + 0.008), (0.3, 0.17, 0.07))
    canvas.fill(stroke(x, y, far_x, far_y, thick - 0.002), (0.78, 0.55, 0.3))
    canvas.fill(disc(x, y, tip + 0.006), (0.3, 0.17, 0.07))
    canvas.fill(disc(x, y, tip - 0.004), (0.88, 0.68, 0.42))


def caption(seed: int, number: int) -> str:
    scene, rng = draw_scene(seed), RandomStream("hits", seed, "words")
    thing = THINGS[scene.thing]
    described = rng.choice(thing.phrases).format(colour=scene.colour)
    article = "" if described.startswith(("some ", "water", "leaves")) else "an " if described[0] in "aeiou" else "a "
    thing_words = article + described
    stick = rng.choice(("a wooden stick", "a stick", "a drumstick", "someone with a stick"))
    verb = rng.choice(("hits", "strikes", "beats", "taps"))
    spoken = " " + rng.choice(TIMES[number]) if number in TIMES and rng.chance(0.6) else ""
    return rng.choice(
        (
            f"{stick} {verb} {thing_words}{spoken}",
            f"{thing_words} is struck by {stick}{spoken}" if not thing.plural else f"{thing_words} are struck by {stick}{spoken}",
            f"hitting {thing_words} with a stick{spoken}",
            f"the sound of {stick} hitting {thing_words}{spoken}",
            f"{stick} {verb} {thing_words}{spoken}",
        )
    )


def render(seed: int, geometry: Geometry) -> Clip:
    scene, t = draw_scene(seed), frame_times(geometry)
    hits = draw_blows(seed, float(geometry.seconds))
    canvas = Canvas(geometry.height, geometry.width)
    canvas.backdrop(scene.wall, shade(scene.wall, 0.88), TABLE, scene.ground)
    thing = THINGS[scene.thing]
    contact = thing.paint(
        canvas, t, ThingState(hits, scene.colour, scene.size, scene.x, scene.side, RandomStream("hits", seed, "thing"))
    )
    paint_stick(canvas, scene, stick_height(t, hits), contact)
    track = Track(geometry)
    for number, (time, strength) in enumerate(hits):
        add_strike(
            track,
            time,
            scene.material,
            strength,
            RandomStream("hits", seed, "voice"),
            RandomStream("hits", seed, "blow", number),
            gain=GAINS[scene.material],
        )
    events = events_in_clip([time for time, _ in hits], geometry)
    return Clip(
        canvas.frames(), track.waveform(), geometry.fps, geometry.sample_rate, caption(seed, len(events)), scene.material, events
    )


HITS = World("hits", attributes, render)
