"""Validation of feature rows: finite, two-dimensional and float64, with the clip that each row belongs to."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64, Num, Shaped


def check_rows(rows: Shaped[np.ndarray, "n d"], name: str, least: int = 2) -> Float64[np.ndarray, "n d"]:
    """Validate rows and convert them to float64, without a copy if they are float64 already.

    Args:
        rows: one row per clip, window or patch.
        name: of the set, for error messages.
        least: the minimum number of rows.

    Raises:
        ValueError: fewer than `least` rows, or values that are not finite. One NaN would spread to every number of the set.
    """
    rows = np.asarray(rows, np.float64)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise ValueError(f"{name}: got an array of shape {rows.shape}; expected rows of features [n d]")
    if len(rows) < least:
        raise ValueError(f"{name}: got {len(rows)} row{'s' if len(rows) != 1 else ''} of features; expected at least {least}")
    faulty = np.flatnonzero(~np.isfinite(rows).all(1))
    if len(faulty):
        shown = ", ".join(str(i) for i in faulty[:3]) + (", ..." if len(faulty) > 3 else "")
        raise ValueError(
            f"{name}: {len(faulty)} of {len(rows)} rows contain NaN or infinity (rows {shown}); leave those clips out"
        )
    return rows


def check_row_pair(
    first: Shaped[np.ndarray, "n d"], second: Shaped[np.ndarray, "m _"], names: tuple[str, str] = ("generated", "reference")
) -> tuple[np.ndarray, np.ndarray]:
    """Validate two sets of rows of the same width.

    Raises:
        ValueError: as `check_rows`, or the widths differ because the sets come from different extractors.
    """
    first, second = check_rows(first, names[0]), check_rows(second, names[1])
    if first.shape[1] != second.shape[1]:
        widths = f"{names[0]} is {first.shape[1]} wide, {names[1]} {second.shape[1]}"
        raise ValueError(f"features of different widths: {widths}; both sides must come from the same extractor")
    return first, second


def rows_by_clip(clips: Num[np.ndarray, "n"] | Sequence[int] | None, count: int) -> list[Int64[np.ndarray, "r"]]:
    """Indices of the rows of each clip, in the order in which clips first appear. None: each row is a clip of its own.

    Windows of one clip are nearly equal, so random draws always take clips, never rows.
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
