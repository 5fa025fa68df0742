"""Landscape: nine kinds of sounding nature (after Lee et al. 2022), picture and sound driven by the same curves and events."""

import numpy as np

from sonovid.clip import Clip
from sonovid.data.scenes.canvas import Canvas
from sonovid.data.scenes.draws import Draws
from sonovid.data.scenes.fires import FIRES
from sonovid.data.scenes.setting import Kind, Setting
from sonovid.data.scenes.track import Track
from sonovid.data.scenes.waters import WATERS
from sonovid.data.scenes.world import World, frame_times, within
from sonovid.geometry import Geometry

KINDS: dict[str, Kind] = {**WATERS, **FIRES}


def setting(seed: int, until: float) -> Setting:
    draws = Draws("landscape", seed)
    name = draws.pick(sorted(KINDS))
    kind = KINDS[name]
    it = Setting(name, draws.pick(kind.looks), draws.uniform(0.45, 1.0), draws.sub("parts"))
    if kind.gaps is None:
        return it
    # What began before the clip may still be seen; nothing sounds from before it, so that the first event is heard whole.
    times = draws.sub("times")
    time = times.uniform(0.1, min(1.0, kind.gaps[1]))
    while time < until + 2.0:
        it.events.append((time, it.strength * times.uniform(0.6, 1.0)))
        time += times.uniform(*kind.gaps)
    return it


def amount(it: Setting) -> str:
    return "light" if it.strength < 0.7 else "heavy"


def attributes(seed: int) -> dict[str, str]:
    it = setting(seed, 0.0)
    return {"world": "landscape", "kind": it.kind, "look": it.look, "amount": amount(it)}


def caption(it: Setting, seed: int) -> str:
    draws = Draws("landscape", seed, "words")
    return draws.pick(KINDS[it.kind].phrases).format(look=it.look, amount=amount(it))


def render(seed: int, geometry: Geometry) -> Clip:
    it, t = setting(seed, float(geometry.seconds)), frame_times(geometry)
    kind = KINDS[it.kind]
    canvas = Canvas(geometry.height, geometry.width)
    kind.paint(canvas, t, it)
    track = Track(geometry)
    kind.play(track, it)
    times = [time for time, _ in it.events]
    if kind.echo is not None:
        times = times + list(np.array(times) + kind.echo(it))
    events = within([float(time) for time in times], geometry)
    return Clip(canvas.frames(), track.waveform(), geometry.fps, geometry.sample_rate, caption(it, seed), it.kind, events)


LANDSCAPE = World("landscape", attributes, render)
