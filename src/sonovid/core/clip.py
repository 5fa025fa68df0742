"""Clip: frames and waveform with their rates, caption, label and events."""

from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from sonovid.core.geometry import Geometry, as_rate, duration

# Types that are accepted as a frame rate; a clip stores it as a fraction.
if TYPE_CHECKING:
    Rate = Fraction
else:
    Rate = Real | str


@dataclass(frozen=True)
class Clip:
    """A video, an audio, or both. Both start at time zero.

    Args:
        frames: uint8 [t h w 3], RGB; None for an audio alone.
        waveform: float32 [c n] in [-1, 1]; None for a silent video.
        fps: frames per second, exactly; a number such as 24 or 29.97 is converted with `as_rate`.
        sample_rate: samples per second.
        caption: description of the content.
        label: class name.
        events: times of known events, in seconds.

    Raises:
        ValueError: neither frames nor waveform, or one of another dtype or shape.
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
        """Duration of the video, or of the audio where there is no video."""
        if self.frames is not None:
            return duration(len(self.frames), self.fps)
        assert self.waveform is not None
        return duration(self.waveform.shape[1], self.sample_rate)

    @property
    def geometry(self) -> Geometry:
        """The geometry of a clip with frames."""
        assert self.frames is not None
        return Geometry(len(self.frames), self.fps, self.frames.shape[1], self.frames.shape[2], self.sample_rate)
