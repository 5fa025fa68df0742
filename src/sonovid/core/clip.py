"""Clip: pictures and their sound with what is known about them, as they travel between files, worlds and codecs."""

from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from sonovid.core.geometry import Geometry, as_rate, duration

# What may be given as a rate; a clip has it as a fraction.
if TYPE_CHECKING:
    Rate = Fraction
else:
    Rate = Real | str


@dataclass(frozen=True)
class Clip:
    """Pictures, sound, or both. Both start at time zero.

    frames: uint8 [t h w 3], RGB, or None for a sound alone.
    waveform: float32 [c n] in [-1, 1], or None for silent pictures.
    fps: frames per second, exactly; a number such as 24 or 29.97 becomes the fraction it stands for. sample_rate: samples per
        second.
    caption: what is seen and heard, in words. label: a class name. events: times of known events, in seconds.
    """

    frames: np.ndarray | None
    waveform: np.ndarray | None
    fps: Rate = Fraction(25)
    sample_rate: int = 16000
    caption: str = ""
    label: str = ""
    events: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.frames is None and self.waveform is None:
            raise ValueError("a clip needs frames or a waveform")
        object.__setattr__(self, "fps", as_rate(self.fps))
        object.__setattr__(self, "sample_rate", int(self.sample_rate))
        if self.frames is not None and (self.frames.dtype != np.uint8 or self.frames.ndim != 4 or self.frames.shape[-1] != 3):
            raise ValueError(f"frames: got {self.frames.dtype} {self.frames.shape}, expected uint8 [t h w 3]")
        if self.waveform is not None and (self.waveform.dtype != np.float32 or self.waveform.ndim != 2):
            raise ValueError(f"waveform: got {self.waveform.dtype} {self.waveform.shape}, expected float32 [c n]")

    @property
    def seconds(self) -> Fraction:
        """The length of the pictures, or of the sound where there are none."""
        if self.frames is not None:
            return duration(len(self.frames), self.fps)
        assert self.waveform is not None
        return duration(self.waveform.shape[1], self.sample_rate)

    @property
    def geometry(self) -> Geometry:
        """The extent of a clip that has pictures."""
        assert self.frames is not None
        return Geometry(len(self.frames), self.fps, self.frames.shape[1], self.frames.shape[2], self.sample_rate)
