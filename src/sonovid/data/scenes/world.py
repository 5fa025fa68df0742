"""World: a family of scenes. A scene is a function of its seed alone; a geometry samples it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry, duration
from sonovid.data.scenes.random_stream import Number


@dataclass(frozen=True)
class World:
    """attributes: from a seed, what can be seen and heard, by word. render: from a seed and a geometry, the clip."""

    name: str
    attributes: Callable[[int], dict[str, str]]
    render: Callable[[int, Geometry], Clip]


def frame_times(geometry: Geometry) -> np.ndarray:
    """The time that each frame shows, in seconds: [t]."""
    return np.array([float(duration(i, geometry.fps)) for i in range(geometry.num_frames)])


def events_in_clip(times: list[Number], geometry: Geometry) -> tuple[Number, ...]:
    """The times that lie in the clip, sorted."""
    return tuple(sorted(t for t in times if 0 <= t < geometry.seconds))
