"""Setting: what one landscape is made of, its intensity over time and the times of what happens in it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.signal import butter, sosfilt

from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.data.scenes.canvas import Canvas, Colour
from sonovid.data.scenes.random_stream import Number, RandomStream
from sonovid.data.scenes.track import Track
from sonovid.data.scenes.world import World, events_in_clip, frame_times

TIME_OF_DAY = {
    "day": "by day",
    "evening": "in the evening",
    "night": "at night",
    "grey": "under a grey sky",
    "dark": "in the dark",
}


@dataclass(frozen=True)
class Setting:
    """strength: how strong all of it is, in [0.4, 1]. look: a word for its colour or time of day; events: (time, strength) of
    what happens, to some seconds past the end of the clip."""

    kind: str
    look: str
    strength: Number
    rng: RandomStream
    events: list[tuple[Number, Number]] = field(default_factory=list)

    def intensity(self, t: np.ndarray, pace: Number = 0.45) -> np.ndarray:
        """A smooth curve in [0.15, 1] times `strength`, by which both picture and sound are driven: [t]. pace: Hz."""
        rng = self.rng.substream("intensity")
        total = np.zeros_like(t)
        for k in range(3):
            rate = pace * (1 + k) * rng.uniform(0.7, 1.3)
            total = total + np.sin(2 * np.pi * (rate * t + rng.uniform())) / (1 + k)
        return self.strength * (0.15 + 0.85 * np.clip(0.5 + 0.36 * total, 0.0, 1.0))

    def since(self, t: np.ndarray, k: int, lag: Number = 0.0) -> np.ndarray:
        """Time since event k plus `lag`, -1 before it: [t]."""
        age = t - self.events[k][0] - lag
        return np.where(age >= 0, age, -1.0)


@dataclass(frozen=True)
class SceneKind:
    """A class of landscape. looks: its variants by word. gaps: shortest and longest time between events, None where nothing
    discrete happens. echo: the lag of a second event, such as the thunder after its lightning.
    phrases: captions with {look}, {when} (the same as a time of day) or {amount}."""

    looks: tuple[str, ...]
    phrases: tuple[str, ...]
    paint: Callable[[Canvas, np.ndarray, Setting], None]
    play: Callable[[Track, Setting], None]
    gaps: tuple[Number, Number] | None = None
    echo: Callable[[Setting], Number] | None = None


def sample_times(track: Track) -> np.ndarray:
    return np.arange(len(track.samples)) / track.rate


def add_noise(track: Track, rng: RandomStream, band: tuple[Number, Number], loud: np.ndarray | Number) -> None:
    """Adds steady noise in a band (Hz) under an envelope `loud`, [n] or one number.

    The noise is drawn in order and filtered causally, so that a longer track begins as a shorter one does.
    """
    warm = track.length(0.05)
    nyquist = track.rate / 2
    low, high = band[0] / nyquist, min(band[1] / nyquist, 0.97)
    if low >= high:
        return  # the band lies above what this sample rate can hold
    shape = butter(1, [low, high], "band", output="sos")
    noise = sosfilt(shape, rng.noise(warm + len(track.samples)))[warm:]
    track.samples += noise * (loud / np.sqrt(max(high - low, 0.01)))


def sky_colours(look: str) -> tuple[Colour, Colour]:
    """The colours of the sky at the top and at the horizon, by time of day."""
    return {
        "day": ((0.42, 0.66, 0.92), (0.78, 0.88, 0.96)),
        "evening": ((0.36, 0.3, 0.52), (0.96, 0.62, 0.38)),
        "night": ((0.05, 0.07, 0.17), (0.14, 0.18, 0.32)),
        "grey": ((0.45, 0.5, 0.56), (0.66, 0.7, 0.73)),
    }[look]


def make_world(name: str, kinds: dict[str, SceneKind]) -> World:
    """A world whose scenes are each of one kind."""

    def draw_setting(seed: int, until: Number) -> Setting:
        rng = RandomStream(name, seed)
        key = rng.choice(sorted(kinds))
        kind = kinds[key]
        setting = Setting(key, rng.choice(kind.looks), rng.uniform(0.45, 1.0), rng.substream("parts"))
        if kind.gaps is None:
            return setting
        times = rng.substream("times")
        time = times.uniform(0.1, min(1.0, kind.gaps[1]))
        # What is to come may be seen already, such as a wave on its way.
        while time < until + 2.0:
            setting.events.append((time, setting.strength * times.uniform(0.6, 1.0)))
            time += times.uniform(*kind.gaps)
        return setting

    def attributes(seed: int) -> dict[str, str]:
        setting = draw_setting(seed, 0.0)
        return {"world": name, "kind": setting.kind, "look": setting.look}

    def caption(seed: int, setting: Setting) -> str:
        amount = "light" if setting.strength < 0.7 else "heavy"
        phrase = RandomStream(name, seed, "words").choice(kinds[setting.kind].phrases)
        return phrase.format(look=setting.look, when=TIME_OF_DAY.get(setting.look, setting.look), amount=amount)

    def render(seed: int, geometry: Geometry) -> Clip:
        setting = draw_setting(seed, float(geometry.seconds))
        kind = kinds[setting.kind]
        canvas = Canvas(geometry.height, geometry.width)
        kind.paint(canvas, frame_times(geometry), setting)
        track = Track(geometry)
        kind.play(track, setting)
        times = [time for time, _ in setting.events]
        if kind.echo is not None:
            times = times + [time + kind.echo(setting) for time in times]
        waveform = track.waveform()
        return Clip(
            canvas.frames(),
            waveform,
            geometry.fps,
            geometry.sample_rate,
            caption(seed, setting),
            setting.kind,
            events_in_clip(times, geometry),
        )

    return World(name, attributes, render)
