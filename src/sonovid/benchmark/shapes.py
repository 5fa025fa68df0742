"""Shapes of objects in single frames: whether the ball of `bounces` is whole and round, and the stick of `hits` whole.

Lengths are in 64ths of the shorter side of a frame, so that readings at different sizes compare.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from sonovid.data.scenes.things import TABLE

EIGHT = np.ones((3, 3), int)
OPAQUE = ("rubber", "wood", "plastic", "metal")


@dataclass(frozen=True)
class BallReading:
    """The ball in one clip.

    Attributes:
        whole: share of frames in which the ball is exactly one piece.
        circularity: mean circularity over those frames; NaN if there are none.
        change: standard deviation of the ball's area over these frames, divided by its mean; NaN for fewer than two frames.
    """

    whole: float
    circularity: float
    change: float


@dataclass(frozen=True)
class StickReading:
    """The stick in one clip.

    Attributes:
        whole: share of frames in which the stick is exactly one piece.
        struck: for each event, whether a straight stick touches the struck object.
    """

    whole: float
    struck: tuple[bool, ...]


def pieces(mask: np.ndarray, least: float) -> list[np.ndarray]:
    """The 8-connected pieces of at least `least` pixels, largest first, as masks."""
    labels, count = ndimage.label(mask, EIGHT)
    sizes = ndimage.sum_labels(mask, labels, range(1, count + 1)) if count else []
    order = sorted((i for i in range(count) if sizes[i] >= least), key=lambda i: -sizes[i])
    return [labels == i + 1 for i in order]


def circularity(piece: np.ndarray) -> float:
    """Its area over that of the circle about its centroid that holds it."""
    rows, columns = np.nonzero(piece)
    reach = np.hypot(rows - rows.mean(), columns - columns.mean()).max() + 0.5
    return float(len(rows) / (np.pi * reach**2))


def read_ball(frames: np.ndarray) -> BallReading:
    """A single ball's shape in frames uint8 [t h w 3].

    Foreground is where any channel differs from the median over the clip by more than 0.12, above row 50 of 64; pieces have at
    least 6 pixels of a 64 x 64 picture.
    """
    x = frames.astype(np.float32) / 255
    unit = min(frames.shape[1:3]) / 64
    mask = np.abs(x - np.median(x, 0)).max(-1) > 0.12
    mask[:, round(50 * unit) :] = False
    whole, round_, areas = 0, [], []
    for one in mask:
        found = pieces(one, 6 * unit**2)
        whole += len(found) == 1
        if len(found) == 1:
            round_.append(circularity(found[0]))
            areas.append(float(found[0].sum()))
    mean = float(np.mean(round_)) if round_ else float("nan")
    change = float(np.std(areas) / np.mean(areas)) if len(areas) > 1 else float("nan")
    return BallReading(whole / len(frames), mean, change)


def off_the_wall(frames: np.ndarray) -> np.ndarray:
    """Where a picture differs from its wall, the median of its top rows, by more than 0.2, above the table: [t h w]."""
    x = frames.astype(np.float32) / 255
    unit = min(frames.shape[1:3]) / 64
    wall = np.median(x[:, : round(6 * unit)], axis=(1, 2))
    mask = np.abs(x - wall[:, None, None]).max(-1) > 0.2
    mask[:, round((TABLE + 0.5) * 64 * unit) :] = False
    return mask


def off_the_table(frames: np.ndarray) -> np.ndarray:
    """Where a picture differs from its table, the median of both lower corners, by more than 0.12, below its edge: [t h w]."""
    x = frames.astype(np.float32) / 255
    unit = min(frames.shape[1:3]) / 64
    corner = round(6 * unit)
    table = np.median(np.concatenate([x[:, -corner:, :corner], x[:, -corner:, -corner:]], axis=2), axis=(1, 2))
    mask = np.abs(x - table[:, None, None]).max(-1) > 0.12
    mask[:, : round((TABLE + 0.5) * 64 * unit) + 1] = False
    return mask


def read_stick(frames: np.ndarray, fps: float, events: tuple[float, ...], near: float = 2.0) -> StickReading:
    """A stick's shape in frames uint8 [t h w 3] of `hits`, and whether it is at what it strikes at the events, in seconds.

    Whole: pieces of what differs from the wall, of at least 8 pixels, that do not touch the table's edge, on which things stand;
    exactly one. Struck: in one of the two frames about the event, what is not the thing (which is there in most frames) is
    straight, to 2 pixels from a line, and comes within `near` pixels of the thing. Contacts fall between frames, when a stick may
    be several pixels away, so that not every true blow is read: the share of true scenes is the measure.
    """
    unit = min(frames.shape[1:3]) / 64
    mask = off_the_wall(frames)
    edge = round((TABLE + 0.5) * 64 * unit) - 1
    whole = sum(sum(not piece[edge].any() for piece in pieces(one, 8 * unit**2)) == 1 for one in mask)
    thing = _thing(mask | off_the_table(frames), edge)
    struck = []
    for event in events:
        about = {int(np.floor(event * fps)), int(np.ceil(event * fps))}
        struck.append(any(_strikes(mask[i], thing, unit, near) for i in about if 0 <= i < len(frames)))
    return StickReading(whole / len(frames), tuple(struck))


def _thing(mask: np.ndarray, edge: int) -> np.ndarray:
    """What stands on the table in most frames: pieces of the frequent foreground that reach below the table's edge."""
    often = ndimage.binary_closing(mask.mean(0) > 0.6, EIGHT, iterations=2)
    labels, count = ndimage.label(often, EIGHT)
    standing = {int(i) for i in np.unique(labels[edge + 2 :]) if i}
    return np.isin(labels, list(standing)) if count else np.zeros_like(often)


def _strikes(mask: np.ndarray, thing: np.ndarray, unit: float, near: float) -> bool:
    if not thing.any():
        return False
    found = pieces(mask & ~ndimage.binary_dilation(thing, EIGHT), 8 * unit**2)
    if not found:
        return False
    stick = found[0]
    # One pixel more, for the one that the thing was widened by.
    if ndimage.distance_transform_edt(~thing)[stick].min() > near * unit + 1:
        return False
    points = np.argwhere(stick).astype(float)
    points -= points.mean(0)
    spread = np.linalg.svd(points, full_matrices=False)[1] / np.sqrt(len(points))
    return bool(spread[1] <= 2 * unit and spread[0] >= 2.5 * spread[1])


def summary(readings: list[BallReading] | list[StickReading]) -> dict[str, float]:
    """Means over clips, and over all events."""
    if isinstance(readings[0], BallReading):
        return {name: float(np.nanmean([getattr(r, name) for r in readings])) for name in ("whole", "circularity", "change")}
    struck = [s for r in readings for s in r.struck]
    return {"whole": float(np.mean([r.whole for r in readings])), "struck": float(np.mean(struck)) if struck else float("nan")}


def single_opaque_ball(attributes: dict[str, str]) -> bool:
    """Whether a scene of `bounces` is one that `read_ball` reads."""
    return attributes["world"] == "bounces" and attributes["balls"] == "one" and attributes["material"] in OPAQUE
