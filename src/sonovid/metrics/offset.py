"""The signed offset between the audio and the video of a clip, estimated by cross-correlation.

The audio curve is the onset strength; the video curve is the strength of impacts or of motion. The offset is the lag of the
highest correlation. Positive: the audio is late.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d
from scipy.signal import correlate

# Both curves have steps of 5 ms, as `alignment.onset_strength`.
STEP = 0.005
# Offsets up to one second in either direction, with an overlap of at least half of the clip.
REACH, LEAST_OVERLAP = 1.0, 0.5
# The number of shifts of the reversed video curve that estimate the correlation by chance.
CHANCE_SHIFTS = 8


class Offset(NamedTuple):
    """An estimated offset.

    Attributes:
        seconds: positive if the audio is late; NaN if a curve is flat.
        confidence: in [0, 1]: 0 if the curves correlate no better than by chance, 1 if they are equal up to the offset.
    """

    seconds: float
    confidence: float


def time_grid(seconds: float) -> np.ndarray:
    """The times of the curves: every 5 ms of a clip."""
    return np.arange(max(1, int(seconds / STEP + 1e-9))) * STEP


def video_curve(values: Float[np.ndarray, "t"], times: Float[np.ndarray, "t"], seconds: float) -> Float[np.ndarray, "l"]:
    """The video curve every 5 ms, linearly interpolated from values at given times in seconds."""
    return np.interp(time_grid(seconds), times, values, left=0.0, right=0.0)


def audio_curve(
    strength: Float[np.ndarray, "k"], times: Float[np.ndarray, "k"], seconds: float, fps: float
) -> Float[np.ndarray, "l"]:
    """The onset strength every 5 ms, smoothed to the resolution of the video (Gaussian, standard deviation half a frame)."""
    if not len(times):
        return np.zeros(len(time_grid(seconds)))
    curve = np.interp(time_grid(seconds), times, strength, left=0.0, right=0.0)
    return gaussian_filter1d(curve, 0.5 / fps / STEP, mode="constant")


def correlation(
    audio: Float[np.ndarray, "l"], video: Float[np.ndarray, "l"], *, reach: float = REACH
) -> tuple[np.ndarray, np.ndarray]:
    """Pearson's correlation of the overlapping parts of the curves at each lag of the audio.

    Each value is scaled by the square root of the overlapping share, because short overlaps correlate more easily by chance. It
    is 0 if a curve is flat in the overlap. Lags go up to `reach` seconds, or half of the clip.

    Returns:
        Lags in seconds, and the correlations.
    """
    count = min(len(audio), len(video))
    audio, video = audio[:count], video[:count]
    furthest = min(round(reach / STEP), int(count * (1 - LEAST_OVERLAP)))
    lags = np.arange(-furthest, furthest + 1)
    overlap = count - np.abs(lags)
    # The overlap starts at max(lag, 0) in the audio and at max(-lag, 0) in the video.
    starts = np.maximum(lags, 0), np.maximum(-lags, 0)

    def sums(values: np.ndarray, start: np.ndarray) -> np.ndarray:
        total = np.concatenate([[0.0], np.cumsum(values)])
        return total[start + overlap] - total[start]

    # Correlation is invariant to a constant; centring reduces rounding errors.
    audio, video = audio - audio.mean(), video - video.mean()
    middle = count - 1
    products = correlate(audio, video, "full", method="fft")[middle - furthest : middle + furthest + 1]
    means = sums(audio, starts[0]), sums(video, starts[1])
    covariance = products - means[0] * means[1] / overlap
    spreads = [sums(v**2, s) - m**2 / overlap for v, s, m in zip((audio, video), starts, means, strict=True)]
    least = [1e-9 * max(float((v**2).sum()), 1e-30) for v in (audio, video)]
    steady = (spreads[0] <= least[0]) | (spreads[1] <= least[1])
    scale = np.sqrt(np.where(steady, 1.0, spreads[0] * spreads[1]))
    return lags * STEP, np.where(steady, 0.0, covariance / scale) * np.sqrt(overlap / count)


def best_lag(audio: Float[np.ndarray, "l"], video: Float[np.ndarray, "l"], *, reach: float = REACH) -> tuple[float, float]:
    """The lag of the highest correlation in seconds, refined by a parabola, and the correlation; NaN and 0 for flat curves."""
    if len(audio) < 3 or len(video) < 3 or np.ptp(audio) == 0 or np.ptp(video) == 0:
        return float("nan"), 0.0
    lags, values = correlation(audio, video, reach=reach)
    if not values.any():
        return float("nan"), 0.0
    k = int(values.argmax())
    shift = 0.0
    if 0 < k < len(values) - 1:
        before, here, after = values[k - 1 : k + 2]
        bend = before - 2 * here + after
        shift = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float(lags[k] + shift * STEP), float(values[k])


def offset(audio: Float[np.ndarray, "l"], video: Float[np.ndarray, "l"], *, reach: float = REACH) -> Offset:
    """Estimate the offset of the audio from two curves with a value every 5 ms.

    The confidence is (r - r0) / (1 - r0), at least 0, where r is the highest correlation and r0 the mean of the highest
    correlations with the video curve reversed in time and rotated by each eighth of its length.
    """
    seconds, highest = best_lag(audio, video, reach=reach)
    if np.isnan(seconds):
        return Offset(seconds, 0.0)
    turned = video[::-1]
    rolled = [np.roll(turned, i * len(turned) // CHANCE_SHIFTS) for i in range(CHANCE_SHIFTS)]
    chance = float(np.mean([correlation(audio, one, reach=reach)[1].max() for one in rolled]))
    return Offset(seconds, float(np.clip((highest - chance) / max(1 - chance, 1e-9), 0, 1)))
