"""Rows of features as the distances take them: finite, two-dimensional, float64, and each with the clip it came from."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64, Num, Shaped


def checked(rows: Shaped[np.ndarray, "n d"], name: str, least: int = 2) -> Float64[np.ndarray, "n d"]:
    """The rows in float64: a copy only where they are of another type, and never changed by anything here.

    Raises:
        ValueError: fewer than `least` rows, or values that are not finite: one NaN would spread to every number made of the set.
    """
    rows = np.asarray(rows, np.float64)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise ValueError(f"{name}: got an array of shape {rows.shape}; expected rows of features [n d]")
    if len(rows) < least:
        raise ValueError(f"{name}: got {len(rows)} row{'s' if len(rows) != 1 else ''} of features; expected at least {least}")
    faulty = np.flatnonzero(~np.isfinite(rows).all(1))
    if len(faulty):
        shown = ", ".join(str(i) for i in faulty[:3]) + (", ..." if len(faulty) > 3 else "")
        raise ValueError(f"{name}: {len(faulty)} of {len(rows)} rows hold NaN or infinity (rows {shown}); leave those clips out")
    return rows


def checked_pair(
    first: Shaped[np.ndarray, "n d"], second: Shaped[np.ndarray, "m _"], names: tuple[str, str] = ("generated", "reference")
) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of rows of one width.

    Raises:
        ValueError: as `checked`, or widths that differ: the sets come from different extractors.
    """
    first, second = checked(first, names[0]), checked(second, names[1])
    if first.shape[1] != second.shape[1]:
        widths = f"{names[0]} is {first.shape[1]} wide, {names[1]} {second.shape[1]}"
        raise ValueError(f"features of different widths: {widths}; both sides must come from the same extractor")
    return first, second


def by_clip(clips: Num[np.ndarray, "n"] | Sequence[int] | None, count: int) -> list[Int64[np.ndarray, "r"]]:
    """Indices of the rows of each clip, in the order in which clips first appear; each row its own clip where None.

    Windows of one clip are near copies of each other, so what is drawn at random is always clips, never rows.
    """
    if clips is None:
        return [np.array([i], np.int64) for i in range(count)]
    clips = np.asarray(clips)
    if clips.shape != (count,):
        raise ValueError(f"clips: got shape {clips.shape}; expected the clip of each of {count} rows")
    _, first, inverse = np.unique(clips, return_index=True, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(inverse))[:-1])
    return [parts[i] for i in np.argsort(first, kind="stable")]
