"""How long a result is: that of the given clip, which is read, or the model's own, in the model's windows."""

import dataclasses
import os
from dataclasses import dataclass
from fractions import Fraction

from sonovid import media, windows
from sonovid.av import Task
from sonovid.clip import Clip
from sonovid.geometry import Geometry, count, duration

Given = str | os.PathLike | Clip | None


@dataclass(frozen=True)
class Extent:
    """How long the result is, in frames of the model, and where its windows begin; `source` is the given clip, if any."""

    num_frames: int
    starts: list[int]
    source: Clip | None = None
    seconds: Fraction | None = None

    def num_samples(self, geometry: Geometry) -> int:
        """Samples of the result at the model's rate: a given clip's own length, which is seldom a whole number of frames."""
        return count(self.seconds or duration(self.num_frames, geometry.fps), geometry.sample_rate)


def extent_of(task: Task, video: Given, audio: Given, seconds: "Fraction | float | int | None", own: Geometry) -> Extent:
    """How long the result is. own: what the model makes.

    Raises:
        ValueError: more was asked for than the model makes, or the given clip lacks what it was given for.
    """
    if seconds is not None and not 0 < seconds < float("inf"):
        raise ValueError(f"seconds={seconds}: expected a length above zero")
    if task is Task.JOINT:
        length = own.seconds if seconds is None else Fraction(seconds)
        if length > own.seconds:
            raise ValueError(f"seconds={float(length):g}: this model makes {float(own.seconds):g} s at most without a given clip")
        return Extent(windows.num_frames(length, own.fps), [0])
    source, length = _read(task, video if task is Task.VIDEO_TO_AUDIO else audio, seconds, own)
    length = length if seconds is None else min(length, Fraction(seconds))
    # Nearest to the length: half a frame over is not worth another window, and is held, or silent.
    begins = windows.starts(max(1, count(length, own.fps)), own.num_frames)
    return Extent(windows.num_frames(length, own.fps), begins, source, length)


def _read(task: Task, given: Given, seconds: "Fraction | float | int | None", own: Geometry) -> tuple[Clip, Fraction]:
    """The given clip and its exact length: pictures from a file at the model's rate and size, sound as it is."""
    if isinstance(given, Clip):
        if (given.frames if task is Task.VIDEO_TO_AUDIO else given.waveform) is None:
            raise ValueError("the given clip lacks the pictures or the sound that it was given for")
        clip = given if task is Task.VIDEO_TO_AUDIO else dataclasses.replace(given, frames=None)
        length = clip.seconds
    else:
        assert given is not None
        if task is Task.VIDEO_TO_AUDIO:
            clip = media.read(given, fps=own.fps, size=(own.height, own.width), audio=False, seconds=seconds)
            # At the model's rate a length is rounded to a frame; the file's own is what the sound has to last.
            length = media.probe(given).duration
            if abs(length - clip.seconds) > 1 / own.fps:
                length = clip.seconds
        else:
            clip = media.read(given, video=False, seconds=seconds)
            length = windows.film_length(clip.seconds, media.probe(given))
    if task is Task.AUDIO_TO_VIDEO:
        assert clip.waveform is not None
        windows.check_sound(clip.waveform)
    if length == 0:
        raise ValueError("video: the given clip has no pictures")
    return clip, length
