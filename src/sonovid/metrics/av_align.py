"""AV-Align (Yariv et al. 2024): how many peaks of a sound's onsets and of the pictures' motion fall together, in four forms.

Four programs compute four numbers under one name. Each takes the times of the peaks of both streams, in seconds,
and counts two peaks as together when they lie strictly less than one frame apart. What differs is how peaks are paired, and what
the count is divided by.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Times = Sequence[float] | np.ndarray
Number = float | int | np.number

# Smaller motion, in pixels per frame, is no peak for TempoTokens since 2025.
LEAST_FLOW = 0.1


class Together(NamedTuple):
    """Peaks that have a partner, counted from both sides; partners may be shared.

    precision: the share of the sound's peaks near a peak of the pictures. recall: the other way round. Both in [0, 1], 0 without
    peaks.
    """

    precision: float
    recall: float
    sound: int
    picture: int
    sound_matched: int
    picture_matched: int


def near(sound: Times, picture: Times, fps: Number) -> np.ndarray:
    """Whether each of the sound's peaks lies within one frame of each of the pictures': booleans [sound picture]."""
    if not fps > 0:
        raise ValueError(f"AV-Align: fps={fps}, expected a frame rate above zero")
    sound, picture, window = np.asarray(sound, float), np.asarray(picture, float), 1 / float(fps)
    # As the released programs write it: rounded otherwise, a distance of exactly one frame would count at some rates.
    return (picture[None] - window < sound[:, None]) & (sound[:, None] < picture[None] + window)


def together(sound: Times, picture: Times, fps: Number) -> Together:
    """Which share of each stream's peaks has a peak of the other within one frame."""
    pairs = near(sound, picture, fps)
    of_sound, of_picture = int(pairs.any(1).sum()), int(pairs.any(0).sum())
    sounds, pictures = pairs.shape
    return Together(of_sound / max(sounds, 1), of_picture / max(pictures, 1), sounds, pictures, of_sound, of_picture)


def sony(sound: Times, picture: Times, fps: Number) -> float:
    """p r / (p + r - p r) of precision p and recall r (Ishii et al. 2024, released code), in [0, 1]; 0 without peaks."""
    p, r = together(sound, picture, fps)[:2]
    return p * r / (p + r - p * r) if p + r > 0 else 0.0


def tempotokens2025(sound: Times, picture: Times, fps: Number, *, flow: Times | None = None) -> float:
    """c / (A + V - c) with c one-to-one pairs, each sound's peak taking the first free one (TempoTokens since 2025), in [0, 1].

    flow: the motion at each of the pictures' peaks in pixels per frame; those below 0.1 are no peaks. Undefined (NaN) without any
    peak on either side.
    """
    if flow is not None:
        picture = np.asarray(picture, float)[np.asarray(flow) >= LEAST_FLOW]
    pairs = near(sound, picture, fps)
    free = np.ones(pairs.shape[1], bool)
    count = 0
    for row in pairs:
        partners = np.flatnonzero(row & free)
        if len(partners):
            free[partners[0]] = False
            count += 1
    every = sum(pairs.shape) - count
    return count / every if every else float("nan")


def tempotokens2023(sound: Times, picture: Times, fps: Number) -> float:
    """c / (A + V - c) with c the sound's peaks that are near any of the pictures' (TempoTokens 2023).

    Not bounded by 1: several of the sound's peaks may share one partner, up to A / V. Undefined (NaN) without peaks.
    """
    it = together(sound, picture, fps)
    every = it.sound + it.picture - it.sound_matched
    return it.sound_matched / every if every else float("nan")


def javisbench(sound: Times, picture: Times, fps: Number) -> float:
    """c / (A + V - c + 1e-6), with c as in 2023 (JavisBench). Its onsets are taken at the file's own sample rate.

    Not bounded by 1, for the same reason; 0 without peaks.
    """
    it = together(sound, picture, fps)
    return it.sound_matched / (it.sound + it.picture - it.sound_matched + 1e-6)
