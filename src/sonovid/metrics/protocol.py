"""A protocol that all clips are brought to before anything is measured: how much of each, at which frame rate and size.

av-benchmark cuts to 8 s; the SVG baseline's paper measures 4 s at 8 frames per second and 256x256. An extractor then reads what
the protocol leaves, at its own rate and size where it has one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from sonovid import media
from sonovid.core.clip import Clip
from sonovid.core.geometry import count
from sonovid.media import FrameStream, MediaError
from sonovid.media.pictures import fitted
from sonovid.metrics.base import Reading, SetFacts


@dataclass(frozen=True)
class Protocol:
    """What clips are brought to; None leaves them as they are.

    seconds: the most that counts, from the beginning, above zero. fps: frames per second, above zero, each the picture on screen
    at its time. size: (h, w) in pixels; pictures are scaled to cover it and cut evenly at the sides.
    """

    seconds: Fraction | None = None
    fps: Fraction | None = None
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if (self.seconds is not None and self.seconds <= 0) or (self.fps is not None and self.fps <= 0):
            raise ValueError(f"protocol: {self.seconds} s at {self.fps} frames per second; expected numbers above zero")
        if self.size is not None and min(self.size) < 1:
            raise ValueError(f"protocol: pictures of {self.size[1]}x{self.size[0]}; expected at least 1x1")

    def to_record(self, reading: Reading | None = None) -> dict[str, Any]:
        """Plain values for JSON of what is set; of a reading: of what touches the streams that it reads."""
        held: dict[str, Any] = {}
        if self.seconds is not None and (reading is None or reading.video or reading.audio):
            held["seconds"] = str(self.seconds)
        if reading is None or reading.video:
            held |= {} if self.fps is None else {"fps": str(self.fps)}
            held |= {} if self.size is None else {"size": list(self.size)}
        return held

    @classmethod
    def from_record(cls, held: Mapping[str, Any]) -> "Protocol":
        """The opposite of `to_record`."""
        seconds, fps, size = (held.get(name) for name in ("seconds", "fps", "size"))
        return cls(Fraction(seconds) if seconds else None, Fraction(fps) if fps else None, (size[0], size[1]) if size else None)

    def facts(self, facts: SetFacts) -> SetFacts:
        """What the clips of a set are like under the protocol."""
        found: dict[str, Any] = dict(facts)
        if self.seconds is not None:
            found["seconds"] = min(facts["seconds"], float(self.seconds))
        if self.fps is not None and facts["fps"] is not None:
            found["fps"] = float(self.fps)
        if self.size is not None and facts["size"] is not None:
            found["size"] = self.size
        return SetFacts(**found)  # type: ignore[typeddict-item]

    def shortest(self, reading: Reading) -> Fraction | None:
        """How much is read at most."""
        lengths = [length for length in (self.seconds, reading.seconds) if length is not None]
        return min(lengths) if lengths else None

    def read(self, path: str, reading: Reading) -> Clip | str | None:
        """A file as a reading wishes it, or why it cannot be had; None where neither stream is read."""
        if not reading.video and not reading.audio:
            return None
        same: dict[str, Any] = {"sample_rate": reading.sample_rate, "mono": reading.mono}
        streams: dict[str, Any] = {"video": reading.video, "audio": reading.audio}
        try:
            if reading.placed:
                fps, size = self.fps or reading.fps, self.size or reading.size
                clip = media.read(path, fps=fps, size=size, seconds=self.shortest(reading), **streams, **same)
                clip = seen_by(clip, reading)
            else:
                clip = media.read_as_decoded(path, **same)
                if self.seconds is not None and clip.waveform is not None:
                    clip = replace(clip, waveform=clip.waveform[:, : max(1, count(self.seconds, clip.sample_rate))])
        except MediaError as error:
            return str(error).removeprefix(f"{path}: ")
        if reading.video and clip.frames is None:
            return "without pictures"
        if reading.audio and clip.waveform is None:
            return "without sound"
        return clip

    def stream(self, path: str, reading: Reading) -> FrameStream:
        """The pictures of a file as a reading that is streamed wishes them.

        Raises:
            MediaError: as `media.stream_frames`.
        """
        assert reading.fps is None
        assert reading.size is None
        return media.stream_frames(path, fps=self.fps, size=self.size, seconds=self.shortest(reading))


# Clips as they are.
WHOLE = Protocol()


def seen_by(clip: Clip, reading: Reading) -> Clip:
    """A clip's pictures at the rate and size of a reading, where they were read at others."""
    frames, fps = clip.frames, clip.fps
    if frames is None:
        return clip
    if reading.fps is not None and reading.fps != fps:
        shown = [
            min(int(Fraction(i) / reading.fps * fps), len(frames) - 1) for i in range(max(1, count(clip.seconds, reading.fps)))
        ]
        frames, fps = frames[shown], reading.fps
    if reading.size is not None and frames.shape[1:3] != tuple(reading.size):
        frames = np.stack([fitted(frame, reading.size) for frame in frames])
    return replace(clip, frames=frames, fps=fps)
