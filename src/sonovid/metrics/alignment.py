"""Detection of onsets in audio and of motion in video, and agreement of two lists of events. No network is involved."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.signal import stft

# Spectra every 5 ms with a window of 16 ms: finer than the tolerance of any comparison here.
STEP, WINDOW = Fraction(1, 200), Fraction(2, 125)


class Agreement(NamedTuple):
    """Precision, recall and F1 in [0, 1], with their counts."""

    precision: float
    recall: float
    f1: float
    matched: int
    found: int
    true: int


def onset_strength(waveform: Float[np.ndarray, "n"], sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Onset strength: spectral flux of log magnitudes (Dixon 2006, eq. 4, on a log scale).

    Levels below -66 dBFS count as silence, so that the noise floor produces no flux.

    Args:
        waveform: mono, in [-1, 1].
        sample_rate: in Hz.

    Returns:
        Times in seconds, and the strength at each.
    """
    size, hop = round(WINDOW * sample_rate), round(STEP * sample_rate)
    if len(waveform) < size:
        return np.zeros(0), np.zeros(0)
    _, times, spectrum = stft(waveform, sample_rate, nperseg=size, noverlap=size - hop, boundary="zeros", padded=True)
    levels = np.log(np.maximum(np.abs(spectrum), 5e-4))
    # Compared with two steps before: an attack is spread over the window, and one step would halve it.
    rise = np.maximum(levels[:, 2:] - levels[:, :-2], 0).mean(0)
    return times[1:-1], rise


def peaks(times: np.ndarray, strength: np.ndarray, *, apart: float, threshold: float, contrast: float = 0.0) -> np.ndarray:
    """Find local maxima.

    Args:
        times: in seconds, evenly spaced.
        strength: the values.
        apart: minimum distance in seconds from higher values.
        threshold: minimum value.
        contrast: minimum excess over the local mean.

    Returns:
        The times of the maxima.
    """
    if len(times) < 3:
        return np.zeros(0)
    reach = max(1, round(apart / (times[1] - times[0])))
    highest = maximum_filter1d(strength, 2 * reach + 1, mode="constant")
    mean = uniform_filter1d(strength, 8 * reach + 1, mode="nearest")
    chosen = (strength >= highest) & (strength > threshold) & (strength > mean + contrast)
    # Of a plateau only the first point counts.
    chosen[1:] &= ~((strength[1:] == strength[:-1]) & chosen[:-1])
    return times[chosen]


def sound_onsets(waveform: Float[np.ndarray, "n"], sample_rate: int) -> np.ndarray:
    """The times of onsets in mono audio, in seconds."""
    times, strength = onset_strength(waveform, sample_rate)
    return peaks(times, strength, apart=0.06, threshold=0.25, contrast=0.3)


def motion_energy(frames: Iterable[np.ndarray]) -> Float[np.ndarray, "t"]:
    """Mean absolute difference of consecutive grey frames, in [0, 1]; 0 for the first frame.

    Args:
        frames: uint8 [t h w 3], or an iterable of frames [h w 3], of which two are in memory at a time.
    """
    changes: list[float] = []
    before: np.ndarray | None = None
    for frame in frames:
        now = grey(frame)
        changes.append(0.0 if before is None else change(before, now))
        before = now
    return np.array(changes)


def grey(frame: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """The mean of the three channels, in [0, 1]."""
    # An integer sum is exact; converting all three channels to float64 would take eight times the memory of the frame.
    return frame.sum(-1, dtype=np.uint16) / 765


def change(before: Float[np.ndarray, "h w"], now: Float[np.ndarray, "h w"]) -> float:
    """The mean absolute difference of two grey images."""
    return float(np.abs(now - before).mean())


def count_matches(found: Sequence[float], true: Sequence[float], tolerance: float) -> int:
    """The largest number of one-to-one pairs at most `tolerance` seconds apart.

    For points on a line the greedy matching to the earliest partner is optimal.
    """
    found, true = sorted(found), sorted(true)
    i = j = pairs = 0
    while i < len(found) and j < len(true):
        if abs(found[i] - true[j]) <= tolerance + 1e-9:
            i, j, pairs = i + 1, j + 1, pairs + 1
        elif found[i] < true[j]:
            i += 1
        else:
            j += 1
    return pairs


def agreement(pairs_of_lists: Sequence[tuple[Sequence[float], Sequence[float]]], tolerance: float = 0.1) -> Agreement:
    """Micro-averaged precision, recall and F1 of detected events over many clips.

    Args:
        pairs_of_lists: the times of detected and of true events of each clip, in seconds.
        tolerance: the largest distance of a matched pair, in seconds.

    Returns:
        The measures; 0, not NaN, if there are no events.
    """
    matched = sum(count_matches(found, true, tolerance) for found, true in pairs_of_lists)
    found = sum(len(f) for f, _ in pairs_of_lists)
    true = sum(len(t) for _, t in pairs_of_lists)
    precision, recall = matched / max(found, 1), matched / max(true, 1)
    return Agreement(precision, recall, 2 * matched / max(found + true, 1), matched, found, true)
