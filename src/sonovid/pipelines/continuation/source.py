"""What is gone on from: a clip's pictures and sound at a model's size and rates, a stretch at a time."""

import os
from fractions import Fraction

import numpy as np
from jaxtyping import Float, UInt8

from sonovid import media
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry, count, duration
from sonovid.pipelines import windows


def sample_index(frame: int, own: Geometry) -> int:
    """The number of the sample at which a frame begins."""
    return count(duration(frame, own.fps), own.sample_rate)


class SourceClip:
    """A file or a clip as a model sees it. Of a file the pictures are read when they are asked for; its sound is kept.

    num_frames: whole frames of the model's rate that it holds.
    """

    def __init__(self, given: "str | os.PathLike | Clip", own: Geometry, *, video: bool = True, audio: bool = True):
        """video, audio: what is to be read of it; a stream that is not there is left out.

        Raises:
            ValueError: neither is there, or what is read cannot be.
        """
        self.own, self.path, self.kept, self.heard = own, None, None, None
        if isinstance(given, Clip):
            length = given.seconds
            if video and given.frames is not None:
                self.kept = windows.fit_frames(given.frames, given.fps, own, self._frames(length))
            sound = given if audio else None
        else:
            info = media.probe(given)
            length, self.path = info.duration, given if video and info.has_video else None
            sound = media.read(given, video=False) if audio and info.has_audio else None
        self.num_frames = self._frames(length)
        if sound is not None and sound.waveform is not None:
            self.heard = windows.fit_waveform(sound.waveform, sound.sample_rate, own, self.num_frames)
        if not self.has_video and not self.has_audio:
            raise ValueError(f"{given if self.path else 'the given clip'}: it lacks the pictures or the sound it was given for")

    def _frames(self, length: Fraction) -> int:
        # A hundredth of a frame is rounding, not a frame that is not there.
        return int(length * self.own.fps + Fraction(1, 100))

    @property
    def has_video(self) -> bool:
        return self.path is not None or self.kept is not None

    @property
    def has_audio(self) -> bool:
        return self.heard is not None

    def frames(self, begin: int, end: int) -> UInt8[np.ndarray, "t h w 3"]:
        """Frames from number `begin` to before `end`; beyond the last, that one is held."""
        last = min(end, self.num_frames)
        first = min(begin, last - 1)
        if self.kept is not None:
            found = self.kept[first:last]
        else:
            assert self.path is not None
            own = self.own
            start, length = duration(first, own.fps), duration(last - first, own.fps)
            size = (own.height, own.width)
            read = media.read(self.path, fps=own.fps, size=size, audio=False, start=start, seconds=length).frames
            assert read is not None
            found = read
        found = found[begin - first :] if begin - first < len(found) else found[-1:]
        held = np.repeat(found[-1:], max(0, end - begin - len(found)), axis=0)
        return np.concatenate([found, held])[: end - begin]

    def sound(self, begin: int, end: int) -> Float[np.ndarray, "n"]:
        """The sound of frames `begin` to before `end`, silent beyond its end."""
        assert self.heard is not None
        first, last = sample_index(begin, self.own), sample_index(end, self.own)
        found = self.heard[first:last]
        return np.pad(found, (0, last - first - len(found)))
