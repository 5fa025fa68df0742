"""SourceClip: random access to a clip's frames and audio at a model's size and rates."""

import os
from fractions import Fraction

import numpy as np
from jaxtyping import Float, UInt8

from sonovid import media
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry, count, duration
from sonovid.pipelines import windows


def sample_index(frame: int, own: Geometry) -> int:
    """The index of the sample at which a frame begins."""
    return count(duration(frame, own.fps), own.sample_rate)


class SourceClip:
    """A file or `Clip` at a model's size and rates. Frames of a file are read on demand; its audio is kept in memory.

    Args:
        source: a path or a `Clip`.
        own: geometry of the model.
        video: whether the video is used.
        audio: whether the audio is used.

    Attributes:
        num_frames: whole frames at the model's rate.
        clip_frames: the frames, where the source is a `Clip`.
        waveform: the audio, [n], at the model's sample rate.

    Raises:
        ValueError: the source has neither of the streams that are used, or cannot be read.
    """

    def __init__(self, source: "str | os.PathLike | Clip", own: Geometry, *, video: bool = True, audio: bool = True):
        self.own, self.path, self.clip_frames, self.waveform = own, None, None, None
        if isinstance(source, Clip):
            length = source.seconds
            if video and source.frames is not None:
                self.clip_frames = windows.fit_frames(source.frames, source.fps, own, self._whole_frames(length))
            sound = source if audio else None
        else:
            info = media.probe(source)
            length, self.path = info.duration, source if video and info.has_video else None
            sound = media.read(source, video=False) if audio and info.has_audio else None
        self.num_frames = self._whole_frames(length)
        if sound is not None and sound.waveform is not None:
            self.waveform = windows.fit_waveform(sound.waveform, sound.sample_rate, own, self.num_frames)
        if not self.has_video and not self.has_audio:
            name = source if self.path else "the input clip"
            raise ValueError(f"{name}: it lacks the video or the audio that it was passed for")

    def _whole_frames(self, length: Fraction) -> int:
        # A hundredth of a frame is a rounding error, not a missing frame.
        return int(length * self.own.fps + Fraction(1, 100))

    @property
    def has_video(self) -> bool:
        """Whether there are frames."""
        return self.path is not None or self.clip_frames is not None

    @property
    def has_audio(self) -> bool:
        """Whether there is audio."""
        return self.waveform is not None

    def frames(self, begin: int, end: int) -> UInt8[np.ndarray, "t h w 3"]:
        """Frames `begin` to `end` (exclusive). The last frame repeats beyond the end."""
        last = min(end, self.num_frames)
        first = min(begin, last - 1)
        if self.clip_frames is not None:
            found = self.clip_frames[first:last]
        else:
            assert self.path is not None
            own = self.own
            start, length = duration(first, own.fps), duration(last - first, own.fps)
            size = (own.height, own.width)
            read = media.read(self.path, fps=own.fps, size=size, audio=False, start=start, seconds=length).frames
            assert read is not None
            found = read
        found = found[begin - first :] if begin - first < len(found) else found[-1:]
        repeated = np.repeat(found[-1:], max(0, end - begin - len(found)), axis=0)
        return np.concatenate([found, repeated])[: end - begin]

    def audio(self, begin: int, end: int) -> Float[np.ndarray, "n"]:
        """The audio of frames `begin` to `end` (exclusive), zero-padded beyond the end."""
        assert self.waveform is not None
        first, last = sample_index(begin, self.own), sample_index(end, self.own)
        found = self.waveform[first:last]
        return np.pad(found, (0, last - first - len(found)))
