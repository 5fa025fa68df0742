"""World: a family of scenes. A scene is a function of its seed; a geometry samples it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry, duration
from sonovid.data.scenes.random_stream import Number


@dataclass(frozen=True)
class World:
    """A family of scenes.

    Attributes:
        name: Name of the world.
        attributes: Maps a seed to the attributes of the scene.
        render: Renders the scene of a seed at a geometry.
    """

    name: str
    attributes: Callable[[int], dict[str, str]]
    render: Callable[[int, Geometry], Clip]


def frame_times(geometry: Geometry) -> np.ndarray:
    """Time of each frame in seconds: [t]."""
    return np.array([float(duration(i, geometry.fps)) for i in range(geometry.num_frames)])


def events_in_clip(times: list[Number], geometry: Geometry) -> tuple[Number, ...]:
    """The times that lie within the clip, sorted."""
    return tuple(sorted(t for t in times if 0 <= t < geometry.seconds))
