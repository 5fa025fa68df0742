"""Setting: what one landscape is made of, its intensity over time and the times of what happens in it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.signal import butter, sosfilt

from sonovid.data.scenes.canvas import Canvas, Colour
from sonovid.data.scenes.draws import Draws
from sonovid.data.scenes.track import Track


@dataclass(frozen=True)
class Setting:
    """strength: how strong all of it is, in [0.4, 1]. look: a word for its colour or time of day; events: (time, strength) of
    what happens, from before time zero to past the end of the clip."""

    kind: str
    look: str
    strength: float
    draws: Draws
    events: list[tuple[float, float]] = field(default_factory=list)

    def intensity(self, t: np.ndarray, pace: float = 0.45) -> np.ndarray:
        """A smooth curve in [0.15, 1] times `strength`, by which both picture and sound are driven: [t]. pace: Hz."""
        draws = self.draws.sub("intensity")
        total = np.zeros_like(t)
        for k in range(3):
            rate = pace * (1 + k) * draws.uniform(0.7, 1.3)
            total = total + np.sin(2 * np.pi * (rate * t + draws.uniform())) / (1 + k)
        return self.strength * (0.15 + 0.85 * np.clip(0.5 + 0.36 * total, 0.0, 1.0))

    def since(self, t: np.ndarray, k: int, lag: float = 0.0) -> np.ndarray:
        """Time since event k plus `lag`, -1 before it: [t]."""
        age = t - self.events[k][0] - lag
        return np.where(age >= 0, age, -1.0)


@dataclass(frozen=True)
class Kind:
    """A class of landscape. looks: its variants by word. gaps: shortest and longest time between events, None where nothing
    discrete happens. lead: how long before the clip events are looked for. sounding: the lag of a second event, such as thunder.
    phrases: captions with {look}."""

    looks: tuple[str, ...]
    phrases: tuple[str, ...]
    paint: Callable[[Canvas, np.ndarray, Setting], None]
    play: Callable[[Track, Setting], None]
    gaps: tuple[float, float] | None = None
    lead: float = 2.5
    echo: Callable[[Setting], float] | None = None


def sample_times(track: Track) -> np.ndarray:
    return np.arange(len(track.sound)) / track.rate


def hiss(track: Track, draws: Draws, band: tuple[float, float], loud: np.ndarray | float) -> None:
    """Adds steady noise in a band (Hz) under an envelope `loud`, [n] or one number.

    The noise is drawn in order and filtered causally, so that a longer track begins as a shorter one does.
    """
    warm = track.length(0.05)
    nyquist = track.rate / 2
    low, high = band[0] / nyquist, min(band[1] / nyquist, 0.97)
    shape = butter(1, [low, high], "band", output="sos") if low < high else butter(1, low, "high", output="sos")
    noise = sosfilt(shape, draws.noise(warm + len(track.sound)))[warm:]
    track.sound += noise * (loud / np.sqrt(max(high - low, 0.01)))


def sky(look: str) -> tuple[Colour, Colour]:
    """The colours of the sky at the top and at the horizon, by time of day."""
    return {
        "day": ((0.42, 0.66, 0.92), (0.78, 0.88, 0.96)),
        "evening": ((0.36, 0.3, 0.52), (0.96, 0.62, 0.38)),
        "night": ((0.05, 0.07, 0.17), (0.14, 0.18, 0.32)),
        "grey": ((0.45, 0.5, 0.56), (0.66, 0.7, 0.73)),
    }[look]
