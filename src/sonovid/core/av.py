"""The pair that travels through the whole library, and the tasks that say which half is noise."""

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple


class AV(NamedTuple):
    """One value per stream, video then audio. Anything done to both streams is written once, with `map`."""

    video: Any
    audio: Any

    def map(self, f: Callable, *others: "AV") -> "AV":
        """f of each stream's value, and of the same stream's value in `others`."""
        return AV(*(f(*values) for values in zip(self, *others, strict=True)))


class Task(Enum):
    """Which streams are generated. The others are given."""

    JOINT = AV(video=True, audio=True)
    VIDEO_TO_AUDIO = AV(video=False, audio=True)
    AUDIO_TO_VIDEO = AV(video=True, audio=False)
