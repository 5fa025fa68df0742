"""AV-Align (Yariv et al. 2024): the coincidence of audio onsets and peaks of optical flow, in four published variants.

Four programs compute four different numbers under one name. All take the times of the peaks of both streams in seconds, and two
peaks coincide if they are strictly less than one frame apart. The variants differ in how peaks are paired and in the denominator.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Times = Sequence[float] | np.ndarray
Number = float | int | np.number

# TempoTokens (2025) ignores peaks of smaller flow, in pixels per frame.
LEAST_FLOW = 0.1


class Coincidences(NamedTuple):
    """Peaks with at least one coinciding peak in the other stream; a peak may coincide with several.

    Attributes:
        precision: the share of audio peaks that coincide with a video peak, in [0, 1]; 0 without peaks.
        recall: the share of video peaks that coincide with an audio peak, likewise.
        audio, video: the numbers of audio and video peaks.
        audio_matched, video_matched: the numbers of them that coincide.
    """

    precision: float
    recall: float
    audio: int
    video: int
    audio_matched: int
    video_matched: int


def within_one_frame(audio: Times, video: Times, fps: Number) -> np.ndarray:
    """Whether each audio peak is within one frame of each video peak: booleans [audio, video]."""
    if not fps > 0:
        raise ValueError(f"AV-Align: fps={fps}; expected a frame rate above zero")
    audio, video, window = np.asarray(audio, float), np.asarray(video, float), 1 / float(fps)
    # The order of operations of the released programs: with other rounding a distance of exactly one frame would count at some
    # rates.
    return (video[None] - window < audio[:, None]) & (audio[:, None] < video[None] + window)


def count_coincidences(audio: Times, video: Times, fps: Number) -> Coincidences:
    """Count the peaks of each stream that coincide with a peak of the other."""
    pairs = within_one_frame(audio, video, fps)
    with_video, with_audio = int(pairs.any(1).sum()), int(pairs.any(0).sum())
    num_audio, num_video = pairs.shape
    return Coincidences(
        with_video / max(num_audio, 1), with_audio / max(num_video, 1), num_audio, num_video, with_video, with_audio
    )


def sony(audio: Times, video: Times, fps: Number) -> float:
    """p r / (p + r - p r) of precision p and recall r (Ishii et al. 2024, released code), in [0, 1]; 0 without peaks."""
    p, r = count_coincidences(audio, video, fps)[:2]
    return p * r / (p + r - p * r) if p + r > 0 else 0.0


def tempotokens2025(audio: Times, video: Times, fps: Number, *, flow: Times | None = None) -> float:
    """c / (A + V - c), where c counts one-to-one pairs and each audio peak takes the first free video peak (TempoTokens 2025).

    Args:
        audio, video: the times of audio and video peaks, in seconds.
        fps: frames per second.
        flow: the optical flow at each video peak, in pixels per frame; peaks below 0.1 are ignored.

    Returns:
        A value in [0, 1]; NaN without any peak.
    """
    if flow is not None:
        video = np.asarray(video, float)[np.asarray(flow) >= LEAST_FLOW]
    pairs = within_one_frame(audio, video, fps)
    free = np.ones(pairs.shape[1], bool)
    count = 0
    for row in pairs:
        partners = np.flatnonzero(row & free)
        if len(partners):
            free[partners[0]] = False
            count += 1
    every = sum(pairs.shape) - count
    return count / every if every else float("nan")


def tempotokens2023(audio: Times, video: Times, fps: Number) -> float:
    """c / (A + V - c), where c counts the audio peaks that coincide with any video peak (TempoTokens 2023).

    Not bounded by 1: several audio peaks may coincide with one video peak, up to A / V. NaN without peaks.
    """
    it = count_coincidences(audio, video, fps)
    every = it.audio + it.video - it.audio_matched
    return it.audio_matched / every if every else float("nan")


def javisbench(audio: Times, video: Times, fps: Number) -> float:
    """c / (A + V - c + 1e-6), with c as in TempoTokens 2023 (JavisBench). Onsets are detected at the file's own sample rate.

    Not bounded by 1, for the same reason; 0 without peaks.
    """
    it = count_coincidences(audio, video, fps)
    return it.audio_matched / (it.audio + it.video - it.audio_matched + 1e-6)
