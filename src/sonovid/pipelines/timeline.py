"""How long a result is: that of the given clip, which is read, or the model's own, in the model's windows."""

import dataclasses
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from sonovid import media
from sonovid.core.av import AV, Task
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry, as_seconds, count, duration
from sonovid.pipelines import windows

# A path, a Clip, or None.
MediaInput = Any


@dataclass(frozen=True)
class Timeline:
    """How long the result is, in frames of the model, and where its windows begin; `source` is the given clip, if any."""

    num_frames: int
    starts: list[int]
    source: Clip | None = None
    seconds: Fraction | None = None

    def num_samples(self, geometry: Geometry) -> int:
        """Samples of the result at the model's rate: a given clip's own length, which is seldom a whole number of frames."""
        return count(self.seconds or duration(self.num_frames, geometry.fps), geometry.sample_rate)


class ConditioningWindows:
    """A given clip's windows at a model's size and rates; its sound is resampled once."""

    def __init__(self, extent: Timeline, task: Task, own: Geometry):
        self.extent, self.task, self.own = extent, task, own
        self._sound: np.ndarray | None = None

    def window(self, number: int) -> AV:
        """Pictures [t h w 3], bytes, or sound [n] of one window; None for the stream that is generated."""
        own, begin, source = self.own, self.extent.starts[number], self.extent.source
        assert source is not None
        end = begin + own.num_frames
        if self.task is Task.VIDEO_TO_AUDIO:
            assert source.frames is not None
            return AV(windows.fit_frames(source.frames, source.fps, own, end, begin), None)
        if self._sound is None:
            assert source.waveform is not None
            total = self.extent.starts[-1] + own.num_frames
            self._sound = windows.fit_waveform(source.waveform, source.sample_rate, own, total)
        last = count(duration(end, own.fps), own.sample_rate)
        return AV(None, self._sound[last - own.num_samples : last])


def plan_timeline(task: Task, video: MediaInput, audio: MediaInput, seconds: Any, own: Geometry) -> Timeline:
    """How long the result is. own: what the model makes.

    Raises:
        ValueError: more was asked for than the model makes or the given clip lasts, or that clip lacks what it was given for.
    """
    asked = None if seconds is None else as_seconds(seconds)
    if task is Task.JOINT:
        length = own.seconds if asked is None else asked
        # A length that was rounded somewhere is no longer one: less than a sample over is the model's own.
        if length - own.seconds > Fraction(1, own.sample_rate):
            raise ValueError(f"seconds={float(length):g}: this model makes {float(own.seconds):g} s at most without a given clip")
        return Timeline(windows.num_frames_for(min(length, own.seconds), own.fps), [0])
    source, length = _read_input(task, video if task is Task.VIDEO_TO_AUDIO else audio, asked, own)
    if asked is not None and asked - length > 1 / own.fps:
        what = "pictures last" if task is Task.VIDEO_TO_AUDIO else "sound lasts"
        raise ValueError(
            f"seconds={float(asked):g}: the given {what} {float(length):g} s, and nothing is made beyond that: leave seconds "
            "out, or make the clip longer afterwards (sonovid generate --continue)"
        )
    length = length if asked is None else min(length, asked)
    # Nearest to the length: half a frame over is not worth another window, and is held, or silent.
    begins = windows.window_starts(max(1, count(length, own.fps)), own.num_frames)
    return Timeline(windows.num_frames_for(length, own.fps), begins, source, length)


def _read_input(task: Task, given: MediaInput, seconds: Fraction | None, own: Geometry) -> tuple[Clip, Fraction]:
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
            length = windows.audio_duration(clip.seconds, media.probe(given))
    if task is Task.AUDIO_TO_VIDEO:
        assert clip.waveform is not None
        windows.check_waveform(clip.waveform)
    if length == 0:
        raise ValueError("video: the given clip has no pictures")
    return clip, length
