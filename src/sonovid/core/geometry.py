"""Conversions between seconds, frames, samples and latent steps. All arithmetic with rates is in this module.

Rates and durations are exact fractions.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from numbers import Integral, Real
from typing import Any


def as_rate(value: Any) -> Fraction:
    """A frame rate as an exact fraction, in frames per second.

    Args:
        value: a fraction, an integer, a string ("30000/1001", "29.97") or a float. The broadcast rates 23.976, 29.97, 47.952,
            59.94 and 119.88 are decimal abbreviations of n * 1000/1001 and are converted to these fractions.

    Raises:
        ValueError: not a number, or not above zero.
    """
    try:
        rate = _to_fraction(value)
    except (ValueError, ZeroDivisionError, TypeError, OverflowError):
        raise ValueError(f"frame rate {value!r}: expected a number above zero, such as 25, 29.97 or 30000/1001") from None
    if rate <= 0:
        raise ValueError(f"frame rate {value!r}: expected a number above zero")
    for whole in (24, 30, 48, 60, 120):
        broadcast = Fraction(whole * 1000, 1001)
        if rate != whole and abs(rate - broadcast) < Fraction(1, 200):
            return broadcast
    return rate


def _to_fraction(value: Any) -> Fraction:
    """A number as a fraction. A float, also one of NumPy, is taken in its decimal notation: 1.8 is 9/5."""
    if isinstance(value, Integral):
        return Fraction(int(value))
    if isinstance(value, Real) and not isinstance(value, Fraction):
        return Fraction(str(value))
    return Fraction(value)


def as_seconds(value: Any) -> Fraction:
    """A duration in seconds as an exact fraction. A float is taken in its decimal notation: 1.8 is 9/5.

    Raises:
        ValueError: not a number, or not above zero.
    """
    try:
        length = _to_fraction(value)
    except (ValueError, ZeroDivisionError, TypeError, OverflowError):
        length = Fraction(0)
    if length <= 0:
        raise ValueError(f"seconds={value}: expected a length above zero")
    return length


def count(seconds: "Fraction | float | int", rate: "Fraction | int") -> int:
    """The number of frames, samples or steps in `seconds` at `rate` per second, rounded to the nearest integer."""
    return round(Fraction(seconds) * Fraction(rate))


def duration(count: int, rate: "Fraction | int") -> Fraction:
    """The exact duration in seconds of `count` frames, samples or steps at `rate` per second."""
    return Fraction(count) / Fraction(rate)


@dataclass(frozen=True)
class Geometry:
    """Length, rates and frame size of a clip, or of the window that a model generates.

    The number of frames defines the length. The audio has as many samples as fit that length, rounded to the nearest sample.

    Args:
        num_frames: number of frames.
        fps: frames per second, converted with `as_rate`.
        height: of the frames, in pixels.
        width: of the frames, in pixels.
        sample_rate: of the audio, in samples per second.

    Raises:
        ValueError: a value that is not above zero.
    """

    num_frames: int
    fps: Fraction
    height: int
    width: int
    sample_rate: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "fps", as_rate(self.fps))
        for name in ("num_frames", "height", "width", "sample_rate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected a whole number above zero")

    @property
    def seconds(self) -> Fraction:
        """Duration in seconds."""
        return duration(self.num_frames, self.fps)

    @property
    def num_samples(self) -> int:
        """Number of audio samples of each channel."""
        return count(self.seconds, self.sample_rate)

    def with_duration(self, seconds: "Fraction | float | int") -> "Geometry":
        """The same rates and size with the number of frames, at least one, that is nearest to `seconds`."""
        return replace(self, num_frames=max(1, count(seconds, self.fps)))

    def to_config(self) -> dict:
        """Plain values for JSON. The frame rate is a fraction in text, so nothing is rounded."""
        return {
            "num_frames": self.num_frames,
            "fps": str(self.fps),
            "height": self.height,
            "width": self.width,
            "sample_rate": self.sample_rate,
        }

    @classmethod
    def from_config(cls, config: dict) -> "Geometry":
        """The geometry of a config; see `to_config`."""
        return cls(**{**config, "fps": as_rate(config["fps"])})
