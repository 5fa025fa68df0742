"""Shape measures of whole systems: each clip is read at its own size and frame rate."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from sonovid import media
from sonovid.benchmark.held_out import HeldOut, Scene
from sonovid.benchmark.shapes import BallReading, StickReading, read_ball, read_stick, single_opaque_ball
from sonovid.core.av import Task
from sonovid.media import MediaError

NAN = float("nan")


@dataclass(frozen=True)
class Measure:
    """One shape measure. world: of the scenes that it reads. what, better: as in `scoring.Score`. value: of one reading."""

    name: str
    world: str
    task: Task
    what: str
    better: str
    value: Callable[[Any], float]


def _struck(reading: StickReading) -> float:
    return sum(reading.struck) / len(reading.struck) if reading.struck else NAN


MEASURES = (
    Measure("ball_whole", "bounces", Task.JOINT, "share of frames with one whole ball", "higher", attrgetter("whole")),
    Measure("ball_circularity", "bounces", Task.JOINT, "ball area over its circumcircle", "higher", attrgetter("circularity")),
    Measure("ball_area_change", "bounces", Task.JOINT, "relative deviation of the ball's area", "lower", attrgetter("change")),
    Measure("stick_whole", "hits", Task.JOINT, "share of frames in which the stick is one piece", "higher", attrgetter("whole")),
    Measure("stick_struck", "hits", Task.AUDIO_TO_VIDEO, "share of events at which the stick touches", "higher", _struck),
)


def read_shape(path: str, scene: Scene, held_out: HeldOut) -> "BallReading | StickReading | None":
    """The shape of the scene's object in a file; None if the scene has no object that is read, or the file has no video."""
    if scene.world == "bounces" and not single_opaque_ball(scene.attributes):
        return None
    if scene.world not in ("bounces", "hits"):
        return None
    try:
        clip = media.read(path, seconds=held_out.geometry.seconds, audio=False)
    except MediaError:
        return None
    if clip.frames is None:
        return None
    return read_ball(clip.frames) if scene.world == "bounces" else read_stick(clip.frames, float(clip.fps), scene.events)


def values(readings: Mapping[int, Any], measure: Measure, held_out: HeldOut) -> dict[int, float]:
    """The measure of every scene of its world, by the index of the scene. NaN: the clip has no reading."""
    return {
        i: NAN if reading is None else float(measure.value(reading))
        for i, reading in readings.items()
        if held_out.scenes[i].world == measure.world
    }
