"""How far a clip's sound lies from its pictures, in milliseconds and with a sign, by correlating their curves.

The sound's curve is the strength of its onsets, the pictures' the impacts in them, or their motion. One is moved along the other;
where they agree best is the offset. Positive: the sound is late.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d
from scipy.signal import correlate

# Both curves are brought to steps of 5 ms, those of `alignment.onset_strength`.
STEP = 0.005
# Offsets are sought within a second either way, over at least half of the clip.
REACH, LEAST_OVERLAP = 1.0, 0.5
# How often the pictures' curve is turned about to see what agrees by chance.
NULLS = 8


class Offset(NamedTuple):
    """seconds: positive where the sound is late; NaN where a curve is flat.

    confidence: in [0, 1], 0 where the curves agree no better than they would by chance, 1 where they are the same but for the
    offset.
    """

    seconds: float
    confidence: float


def moments(seconds: float) -> np.ndarray:
    """Every 5 ms of a clip."""
    return np.arange(max(1, int(seconds / STEP + 1e-9))) * STEP


def picture_curve(values: Float[np.ndarray, "t"], times: Float[np.ndarray, "t"], seconds: float) -> Float[np.ndarray, "l"]:
    """What happens in the pictures every 5 ms, from values at some times in between, which are joined by lines."""
    return np.interp(moments(seconds), times, values, left=0.0, right=0.0)


def sound_curve(
    strength: Float[np.ndarray, "k"], times: Float[np.ndarray, "k"], seconds: float, fps: float
) -> Float[np.ndarray, "l"]:
    """How strongly the sound sets in every 5 ms, blurred to the resolution of the pictures (deviation: half a frame)."""
    if not len(times):
        return np.zeros(len(moments(seconds)))
    curve = np.interp(moments(seconds), times, strength, left=0.0, right=0.0)
    return gaussian_filter1d(curve, 0.5 / fps / STEP, mode="constant")


def correlation(
    sound: Float[np.ndarray, "l"], picture: Float[np.ndarray, "l"], *, reach: float = REACH
) -> tuple[np.ndarray, np.ndarray]:
    """Lags in seconds, and how well the curves agree where the sound is that late: Pearson's r over what overlaps.

    Each value is scaled by the square root of the share that overlaps, since less that overlaps agrees more easily. Curves that
    are flat where they overlap agree by 0. Lags go to `reach`, or to half of the clip.
    """
    count = min(len(sound), len(picture))
    sound, picture = sound[:count], picture[:count]
    furthest = min(round(reach / STEP), int(count * (1 - LEAST_OVERLAP)))
    lags = np.arange(-furthest, furthest + 1)
    overlap = count - np.abs(lags)
    # Of the sound what lies from max(lag, 0) on, of the pictures what lies from max(-lag, 0) on.
    starts = np.maximum(lags, 0), np.maximum(-lags, 0)

    def sums(values: np.ndarray, start: np.ndarray) -> np.ndarray:
        total = np.concatenate([[0.0], np.cumsum(values)])
        return total[start + overlap] - total[start]

    # Correlation does not see a constant that is added, rounding does.
    sound, picture = sound - sound.mean(), picture - picture.mean()
    middle = count - 1
    products = correlate(sound, picture, "full", method="fft")[middle - furthest : middle + furthest + 1]
    means = sums(sound, starts[0]), sums(picture, starts[1])
    covariance = products - means[0] * means[1] / overlap
    spreads = [sums(v**2, s) - m**2 / overlap for v, s, m in zip((sound, picture), starts, means, strict=True)]
    least = [1e-9 * max(float((v**2).sum()), 1e-30) for v in (sound, picture)]
    steady = (spreads[0] <= least[0]) | (spreads[1] <= least[1])
    scale = np.sqrt(np.where(steady, 1.0, spreads[0] * spreads[1]))
    return lags * STEP, np.where(steady, 0.0, covariance / scale) * np.sqrt(overlap / count)


def best_lag(sound: Float[np.ndarray, "l"], picture: Float[np.ndarray, "l"], *, reach: float = REACH) -> tuple[float, float]:
    """The lag of the highest correlation in seconds, between steps by a parabola, and its height; NaN and 0 of flat curves."""
    if len(sound) < 3 or len(picture) < 3 or np.ptp(sound) == 0 or np.ptp(picture) == 0:
        return float("nan"), 0.0
    lags, values = correlation(sound, picture, reach=reach)
    if not values.any():
        return float("nan"), 0.0
    k = int(values.argmax())
    shift = 0.0
    if 0 < k < len(values) - 1:
        before, here, after = values[k - 1 : k + 2]
        bend = before - 2 * here + after
        shift = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float(lags[k] + shift * STEP), float(values[k])


def offset(sound: Float[np.ndarray, "l"], picture: Float[np.ndarray, "l"], *, reach: float = REACH) -> Offset:
    """By how much the sound is late, from two curves with a value every 5 ms (`best_lag`), and how sure that is.

    Confidence is how far the highest correlation r exceeds the mean r0 of what the same sound reaches with the pictures' curve
    turned about in time and rotated by each eighth: (r - r0) / (1 - r0), at least 0.
    """
    seconds, highest = best_lag(sound, picture, reach=reach)
    if np.isnan(seconds):
        return Offset(seconds, 0.0)
    turned = picture[::-1]
    rolled = [np.roll(turned, i * len(turned) // NULLS) for i in range(NULLS)]
    chance = float(np.mean([correlation(sound, one, reach=reach)[1].max() for one in rolled]))
    return Offset(seconds, float(np.clip((highest - chance) / max(1 - chance, 1e-9), 0, 1)))
