"""AV, the pair of a video and an audio value, and Task, which says which of the two streams are generated."""

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple


class AV(NamedTuple):
    """One value for each stream, video then audio."""

    video: Any
    audio: Any

    def map(self, f: Callable, *others: "AV") -> "AV":
        """Apply `f` to the value of each stream, together with the values of that stream in `others`."""
        return AV(*(f(*values) for values in zip(self, *others, strict=True)))


# Neither stream: no conditioning streams.
NO_STREAMS = AV(None, None)


class Task(Enum):
    """Which streams are generated. The others are conditioning streams."""

    JOINT = AV(video=True, audio=True)
    VIDEO_TO_AUDIO = AV(video=False, audio=True)
    AUDIO_TO_VIDEO = AV(video=True, audio=False)
