"""Seconds, frames, samples, mel frames and latent steps, converted in one place. No other file multiplies by a rate."""

from dataclasses import dataclass, replace
from fractions import Fraction
from numbers import Integral, Real
from typing import Any


def as_rate(value: Any) -> Fraction:
    """A frame rate as an exact fraction, in frames per second.

    Takes fractions, integers, strings ("30000/1001", "29.97") and floats; the broadcast rates 23.976, 29.97, 47.952, 59.94 and
    119.88, which are decimal abbreviations of n * 1000/1001, are taken for what they abbreviate.

    Raises:
        ValueError: not a number, or not above zero.
    """
    try:
        rate = _exactly(value)
    except (ValueError, ZeroDivisionError, TypeError, OverflowError):
        raise ValueError(f"frame rate {value!r}: expected a number above zero, such as 25, 29.97 or 30000/1001") from None
    if rate <= 0:
        raise ValueError(f"frame rate {value!r}: expected a number above zero")
    for whole in (24, 30, 48, 60, 120):
        broadcast = Fraction(whole * 1000, 1001)
        if rate != whole and abs(rate - broadcast) < Fraction(1, 200):
            return broadcast
    return rate


def _exactly(value: Any) -> Fraction:
    """A number as a fraction; of a float, also one of NumPy, what it is written as: 1.8 is 9/5."""
    if isinstance(value, Integral):
        return Fraction(int(value))
    if isinstance(value, Real) and not isinstance(value, Fraction):
        return Fraction(str(value))
    return Fraction(value)


def as_seconds(value: Any) -> Fraction:
    """A length in seconds as an exact fraction; a float means what it is written as, so that 1.8 is 9/5.

    Raises:
        ValueError: not a number, or not above zero.
    """
    try:
        length = _exactly(value)
    except (ValueError, ZeroDivisionError, TypeError, OverflowError):
        length = Fraction(0)
    if length <= 0:
        raise ValueError(f"seconds={value}: expected a length above zero")
    return length


def count(seconds: "Fraction | float | int", rate: "Fraction | int") -> int:
    """How many frames, samples or steps of `rate` per second lie in `seconds`: the nearest whole number."""
    return round(Fraction(seconds) * Fraction(rate))


def duration(count: int, rate: "Fraction | int") -> Fraction:
    """How long `count` frames, samples or steps of `rate` per second last, in seconds, exactly."""
    return Fraction(count) / Fraction(rate)


@dataclass(frozen=True)
class Geometry:
    """The extent of a clip: what a model was made for, or what a clip is cut to.

    The frames decide the length; the sound has as many samples as last equally long, to the nearest sample.
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
        return duration(self.num_frames, self.fps)

    @property
    def num_samples(self) -> int:
        return count(self.seconds, self.sample_rate)

    def with_duration(self, seconds: "Fraction | float | int") -> "Geometry":
        """The same rates and size, with the number of frames nearest to `seconds`, at least one."""
        return replace(self, num_frames=max(1, count(seconds, self.fps)))

    def to_config(self) -> dict:
        """Plain values for JSON; the rate is written as a fraction, so that nothing is rounded."""
        return {
            "num_frames": self.num_frames,
            "fps": str(self.fps),
            "height": self.height,
            "width": self.width,
            "sample_rate": self.sample_rate,
        }

    @classmethod
    def from_config(cls, config: dict) -> "Geometry":
        return cls(**{**config, "fps": as_rate(config["fps"])})
