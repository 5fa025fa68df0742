"""Shared base of the landscape and kitchen worlds: the setting of a scene with its intensity curve and events."""

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
    """The random choices of one scene.

    Attributes:
        kind: Class of the scene.
        look: Its colour or time of day, as a word.
        strength: Overall strength in [0.4, 1].
        rng: Random stream of the details.
        events: (time, strength) of the events, to some seconds past the end of the clip.
    """

    kind: str
    look: str
    strength: Number
    rng: RandomStream
    events: list[tuple[Number, Number]] = field(default_factory=list)

    def intensity(self, t: np.ndarray, pace: Number = 0.45) -> np.ndarray:
        """A smooth curve in [0.15, 1] times `strength` that drives both video and audio: [t]. pace: Rate of change in Hz."""
        rng = self.rng.substream("intensity")
        total = np.zeros_like(t)
        for k in range(3):
            rate = pace * (1 + k) * rng.uniform(0.7, 1.3)
            total = total + np.sin(2 * np.pi * (rate * t + rng.uniform())) / (1 + k)
        return self.strength * (0.15 + 0.85 * np.clip(0.5 + 0.36 * total, 0.0, 1.0))

    def since(self, t: np.ndarray, k: int, lag: Number = 0.0) -> np.ndarray:
        """Time since event k plus `lag`, or -1 before it: [t]."""
        age = t - self.events[k][0] - lag
        return np.where(age >= 0, age, -1.0)


@dataclass(frozen=True)
class SceneKind:
    """A class of scenes.

    Attributes:
        looks: Its variants.
        phrases: Caption templates with {look}, {when} (the look as a time of day) or {amount}.
        paint: Paints the frames.
        play: Adds the audio.
        gaps: Shortest and longest time between events; None if there are no discrete events.
        echo: Delay of a second event, such as the thunder after lightning.
    """

    looks: tuple[str, ...]
    phrases: tuple[str, ...]
    paint: Callable[[Canvas, np.ndarray, Setting], None]
    play: Callable[[Track, Setting], None]
    gaps: tuple[Number, Number] | None = None
    echo: Callable[[Setting], Number] | None = None


def sample_times(track: Track) -> np.ndarray:
    return np.arange(len(track.samples)) / track.rate


def add_noise(track: Track, rng: RandomStream, band: tuple[Number, Number], loud: np.ndarray | Number) -> None:
    """Adds steady noise in a band (Hz) under an envelope `loud`, [n] or a number.

    The noise is drawn in order and filtered causally, so that a longer track begins exactly as a shorter one.
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
    """Colours of the sky at the top and at the horizon, by time of day."""
    return {
        "day": ((0.42, 0.66, 0.92), (0.78, 0.88, 0.96)),
        "evening": ((0.36, 0.3, 0.52), (0.96, 0.62, 0.38)),
        "night": ((0.05, 0.07, 0.17), (0.14, 0.18, 0.32)),
        "grey": ((0.45, 0.5, 0.56), (0.66, 0.7, 0.73)),
    }[look]


def make_world(name: str, kinds: dict[str, SceneKind]) -> World:
    """Builds a world in which each scene has one of these kinds."""

    def draw_setting(seed: int, until: Number) -> Setting:
        rng = RandomStream(name, seed)
        key = rng.choice(sorted(kinds))
        kind = kinds[key]
        setting = Setting(key, rng.choice(kind.looks), rng.uniform(0.45, 1.0), rng.substream("parts"))
        if kind.gaps is None:
            return setting
        times = rng.substream("times")
        time = times.uniform(0.1, min(1.0, kind.gaps[1]))
        # Later events may already be visible, such as an approaching wave.
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
