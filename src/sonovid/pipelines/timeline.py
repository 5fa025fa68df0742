"""Timeline: the length of a result and the windows that it is generated in."""

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
from sonovid.pipelines.inputs import MediaInput


@dataclass(frozen=True)
class Timeline:
    """The length of a result and its windows.

    Args:
        num_frames: length of the result, in frames of the model.
        starts: first frame of each window.
        source: the input clip, if any.
        seconds: exact length of the input clip, or of the part of it that is used.
    """

    num_frames: int
    starts: list[int]
    source: Clip | None = None
    seconds: Fraction | None = None

    def num_samples(self, geometry: Geometry) -> int:
        """Number of audio samples of the result at the model's sample rate.

        An input clip keeps its own length, which is seldom a whole number of frames.
        """
        return count(self.seconds or duration(self.num_frames, geometry.fps), geometry.sample_rate)


class ConditioningWindows:
    """The windows of an input clip at the model's size and rates. Its audio is resampled once.

    Args:
        timeline: the timeline, with a source.
        task: which stream of the source is used.
        own: geometry of one window.
    """

    def __init__(self, timeline: Timeline, task: Task, own: Geometry):
        self.timeline, self.task, self.own = timeline, task, own
        self._waveform: np.ndarray | None = None

    def window(self, index: int) -> AV:
        """Frames uint8 [t h w 3] or waveform [n] of one window; None for the stream that is generated."""
        own, start, source = self.own, self.timeline.starts[index], self.timeline.source
        assert source is not None
        end = start + own.num_frames
        if self.task is Task.VIDEO_TO_AUDIO:
            assert source.frames is not None
            return AV(windows.fit_frames(source.frames, source.fps, own, end, start), None)
        if self._waveform is None:
            assert source.waveform is not None
            total = self.timeline.starts[-1] + own.num_frames
            self._waveform = windows.fit_waveform(source.waveform, source.sample_rate, own, total)
        last = count(duration(end, own.fps), own.sample_rate)
        return AV(None, self._waveform[last - own.num_samples : last])


def plan_timeline(task: Task, video: MediaInput, audio: MediaInput, seconds: Any, own: Geometry) -> Timeline:
    """The length of a result and its windows; an input clip is read.

    Args:
        task: which streams are generated.
        video: the input video, or None.
        audio: the input audio, or None.
        seconds: requested length; None: that of the input clip, or of one window.
        own: geometry of one window of the model.

    Raises:
        ValueError: the requested length exceeds one window without an input clip, or the length of the input clip; or that clip
            lacks the stream that it was passed for.
    """
    requested = None if seconds is None else as_seconds(seconds)
    if task is Task.JOINT:
        length = own.seconds if requested is None else requested
        # A request that exceeds the model's length by less than a sample is a rounded one.
        if length - own.seconds > Fraction(1, own.sample_rate):
            raise ValueError(
                f"seconds={float(length):g}: this model generates {float(own.seconds):g} s at most without an input clip"
            )
        return Timeline(windows.num_frames_for(min(length, own.seconds), own.fps), [0])
    source, length = _read_input(task, video if task is Task.VIDEO_TO_AUDIO else audio, requested, own)
    if requested is not None and requested - length > 1 / own.fps:
        what = "video" if task is Task.VIDEO_TO_AUDIO else "audio"
        raise ValueError(
            f"seconds={float(requested):g}: the input {what} lasts {float(length):g} s, and nothing is generated beyond it: "
            "leave seconds out, or extend the result afterwards (sonovid generate --continue)"
        )
    length = length if requested is None else min(length, requested)
    # Rounded to the nearest frame: up to half a frame is not worth another window. It repeats the last frame, or is silent.
    starts = windows.window_starts(max(1, count(length, own.fps)), own.num_frames)
    return Timeline(windows.num_frames_for(length, own.fps), starts, source, length)


def _read_input(task: Task, value: MediaInput, seconds: Fraction | None, own: Geometry) -> tuple[Clip, Fraction]:
    """The input clip and its exact length. Frames of a file are read at the model's rate and size, audio as it is."""
    if isinstance(value, Clip):
        if (value.frames if task is Task.VIDEO_TO_AUDIO else value.waveform) is None:
            raise ValueError(f"the input clip lacks the {'video' if task is Task.VIDEO_TO_AUDIO else 'audio'} it was passed for")
        clip = value if task is Task.VIDEO_TO_AUDIO else dataclasses.replace(value, frames=None)
        length = clip.seconds
    else:
        assert value is not None
        if task is Task.VIDEO_TO_AUDIO:
            clip = media.read(value, fps=own.fps, size=(own.height, own.width), audio=False, seconds=seconds)
            # At the model's rate the length is rounded to a frame; the audio has to last as long as the file.
            length = media.probe(value).duration
            if abs(length - clip.seconds) > 1 / own.fps:
                length = clip.seconds
        else:
            clip = media.read(value, video=False, seconds=seconds)
            length = windows.audio_duration(clip.seconds, media.probe(value))
    if task is Task.AUDIO_TO_VIDEO:
        assert clip.waveform is not None
        windows.check_waveform(clip.waveform)
    if length == 0:
        raise ValueError("video: the input clip has no frames")
    return clip, length
