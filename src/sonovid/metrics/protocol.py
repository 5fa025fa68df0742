"""Evaluation protocols: the length, frame rate and size that all clips are converted to before they are measured.

av-benchmark cuts clips to 8 s; the paper of the SVG baseline measures 4 s at 8 frames per second and 256x256. An extractor with a
rate or size of its own converts the result once more.
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
from sonovid.media.frames import resize_and_crop
from sonovid.metrics.base import InputSpec, SetInfo


@dataclass(frozen=True)
class Protocol:
    """What all clips are converted to. None leaves a property unchanged.

    Args:
        seconds: only the first seconds are used; above zero.
        fps: frames per second, above zero; each frame is the one on screen at its time.
        size: (height, width) in pixels; frames are scaled to cover it and cropped at the centre.

    Raises:
        ValueError: a value that is not above zero.
    """

    seconds: Fraction | None = None
    fps: Fraction | None = None
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if (self.seconds is not None and self.seconds <= 0) or (self.fps is not None and self.fps <= 0):
            raise ValueError(f"protocol: got {self.seconds} s and {self.fps} frames per second; expected numbers above zero")
        if self.size is not None and min(self.size) < 1:
            raise ValueError(f"protocol: got frames of {self.size[1]}x{self.size[0]} pixels; expected at least 1x1")

    def to_record(self, input_spec: InputSpec | None = None) -> dict[str, Any]:
        """The settings as plain values for JSON; with `input_spec`, only those that concern the streams that it reads."""
        held: dict[str, Any] = {}
        if self.seconds is not None and (input_spec is None or input_spec.video or input_spec.audio):
            held["seconds"] = str(self.seconds)
        if input_spec is None or input_spec.video:
            held |= {} if self.fps is None else {"fps": str(self.fps)}
            held |= {} if self.size is None else {"size": list(self.size)}
        return held

    @classmethod
    def from_record(cls, held: Mapping[str, Any]) -> "Protocol":
        """The inverse of `to_record`."""
        seconds, fps, size = (held.get(name) for name in ("seconds", "fps", "size"))
        return cls(Fraction(seconds) if seconds else None, Fraction(fps) if fps else None, (size[0], size[1]) if size else None)

    def info(self, info: SetInfo) -> SetInfo:
        """The properties of a set after conversion."""
        found: dict[str, Any] = dict(info)
        if self.seconds is not None:
            found["seconds"] = min(info["seconds"], float(self.seconds))
        if self.fps is not None and info["fps"] is not None:
            found["fps"] = float(self.fps)
        if self.size is not None and info["size"] is not None:
            found["size"] = self.size
        return SetInfo(**found)  # type: ignore[typeddict-item]

    def max_seconds(self, input_spec: InputSpec) -> Fraction | None:
        """The most that is read, in seconds; None: the whole file."""
        lengths = [length for length in (self.seconds, input_spec.seconds) if length is not None]
        return min(lengths) if lengths else None

    def read(self, path: str, input_spec: InputSpec) -> Clip | str | None:
        """Read a file as `input_spec` asks: a clip, or the reason why there is none; None if neither stream is read."""
        if not input_spec.video and not input_spec.audio:
            return None
        same: dict[str, Any] = {"sample_rate": input_spec.sample_rate, "mono": input_spec.mono}
        streams: dict[str, Any] = {"video": input_spec.video, "audio": input_spec.audio}
        try:
            if input_spec.placed:
                fps, size = self.fps or input_spec.fps, self.size or input_spec.size
                clip = media.read(path, fps=fps, size=size, seconds=self.max_seconds(input_spec), **streams, **same)
                clip = resample_frames(clip, input_spec)
            else:
                clip = media.read_as_decoded(path, **same)
                if self.seconds is not None and clip.waveform is not None:
                    clip = replace(clip, waveform=clip.waveform[:, : max(1, count(self.seconds, clip.sample_rate))])
        except MediaError as error:
            return str(error).removeprefix(f"{path}: ")
        if input_spec.video and clip.frames is None:
            return "without video"
        if input_spec.audio and clip.waveform is None:
            return "without audio"
        return clip

    def stream(self, path: str, input_spec: InputSpec) -> FrameStream:
        """Stream the frames of a file for a streamed `input_spec`.

        Raises:
            MediaError: as `media.stream_frames`.
        """
        assert input_spec.fps is None
        assert input_spec.size is None
        return media.stream_frames(path, fps=self.fps, size=self.size, seconds=self.max_seconds(input_spec))


# Clips are measured unchanged.
NO_PROTOCOL = Protocol()


def resample_frames(clip: Clip, input_spec: InputSpec) -> Clip:
    """Convert a clip's frames to the rate and size of `input_spec`."""
    frames, fps = clip.frames, clip.fps
    if frames is None:
        return clip
    if input_spec.fps is not None and input_spec.fps != fps:
        shown = [
            min(int(Fraction(i) / input_spec.fps * fps), len(frames) - 1)
            for i in range(max(1, count(clip.seconds, input_spec.fps)))
        ]
        frames, fps = frames[shown], input_spec.fps
    if input_spec.size is not None and frames.shape[1:3] != tuple(input_spec.size):
        frames = np.stack([resize_and_crop(frame, input_spec.size) for frame in frames])
    return replace(clip, frames=frames, fps=fps)
