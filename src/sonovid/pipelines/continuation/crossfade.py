"""Join two windows: crossfades for windows that overlap, easing for windows that do not, and a report of the discontinuities.

Frames are float [t h w 3] in [0, 1], waveforms float [n] in [-1, 1].
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sonovid.core.geometry import count

# Audio levels: windows of 20 ms, every 10 ms; in dB of full scale, clipped at -60.
LEVEL_WINDOW, LEVEL_HOP, LEVEL_FLOOR = 0.02, 0.01, -60.0
# Seconds around a point in which a click is searched for.
CLICK_RADIUS = 0.005
# Shortest and longest time, in seconds, over which audio is eased in.
MIN_EASE, MAX_EASE = 0.01, 0.16
# Imperceptible discontinuities: a level step of 3 dB, a second difference of a thousandth of full scale, and a frame difference
# of a 500th of the brightness range.
IMPERCEPTIBLE = {"level": 3.0, "bend": 1e-3, "pixels": 2e-3}


@dataclass(frozen=True)
class Discontinuity:
    """The largest step of one quantity at a join, compared with the steps within the two windows.

    Args:
        value: the largest step at the join.
        reference: the largest step within the two windows.
        share: share of all spans of the two windows, as long as the join, whose largest step is at least `value`.
        bound: the largest acceptable value: `reference`, or the imperceptible step where that is larger.
    """

    value: float
    reference: float
    share: float
    bound: float

    @property
    def within(self) -> bool:
        """Whether the value is within the bound, up to rounding."""
        return self.value <= 1.01 * self.bound

    def to_config(self) -> dict[str, float]:
        """Plain values for JSON."""
        return {"here": self.value, "own": self.reference, "share": self.share, "bound": self.bound}


@dataclass(frozen=True)
class CrossfadeReport:
    """The discontinuities at one join.

    Args:
        begin: beginning of the join, in seconds.
        end: end of the join, in seconds.
        level: steps of the audio level, in dB.
        bend: second differences of the waveform; a click makes them large.
        pixels: mean absolute differences of consecutive frames, in [0, 1].
    """

    begin: float
    end: float
    level: Discontinuity
    bend: Discontinuity
    pixels: Discontinuity

    @property
    def within(self) -> bool:
        """Whether all values are within their bounds."""
        return self.level.within and self.bend.within and self.pixels.within

    def to_config(self) -> dict[str, Any]:
        """Plain values for JSON."""
        steps = {name: getattr(self, name).to_config() for name in ("level", "bend", "pixels")}
        return {"begin": self.begin, "end": self.end, **steps, "within": self.within}


# --- joining --------------------------------------------------------------------------------------------------------------


def crossfade_frames(old: Float[Tensor, "t h w 3"], new: Float[Tensor, "t h w 3"]) -> Float[Tensor, "t h w 3"]:
    """Linear crossfade between two versions of the same frames."""
    ramp = _ramp(len(new), new)[:, None, None, None]
    return old * (1 - ramp) + new * ramp


def crossfade_audio(old: Float[Tensor, "n"], new: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    """Crossfade between two versions of the same audio with constant power, whatever their correlation.

    The weights u and d of a linear fade are divided by sqrt(u^2 + d^2 + 2 r u d), where r is the correlation of the two. For
    equal waveforms this is a linear fade, where an equal-power fade would swell by 3 dB; for uncorrelated ones it is an
    equal-power fade.
    """
    up = _ramp(len(new), new)
    down = 1 - up
    norm = old.norm() * new.norm()
    correlation = (old @ new / norm).clamp(0, 1) if norm > 0 else torch.ones((), device=new.device)
    return (old * down + new * up) / (up.square() + down.square() + 2 * correlation * up * down).sqrt()


def ease_in_audio(old: Float[Tensor, "m"], new: Float[Tensor, "n"], sample_rate: int) -> Float[Tensor, "n"]:
    """Ease in audio that follows `old` without overlap: the time-reversed end of `old` fades into it.

    The waveform does not jump, and the level changes no faster than elsewhere in the two. Of 10, 20, ... 160 ms the first length
    for which that holds is used, or else the one with the smallest level step.
    """
    best, smallest = new, float("inf")
    bound = max(_largest(level_steps(one.cpu().numpy(), sample_rate)) for one in (old, new))
    seconds = MIN_EASE
    while seconds <= MAX_EASE + 1e-9:
        length = min(count(seconds, sample_rate), len(old), len(new))
        eased = torch.cat([crossfade_audio(old.flip(0)[:length], new[:length]), new[length:]])
        step = _level_step_at_join(old, eased, sample_rate)
        if step < smallest:
            best, smallest = eased, step
        if step <= max(bound, IMPERCEPTIBLE["level"]):
            return eased
        seconds *= 2
    return best


def ease_in_frames(
    old: Float[Tensor, "t h w 3"], new: Float[Tensor, "t2 h w 3"], bound: float | int | None = None
) -> Float[Tensor, "t2 h w 3"]:
    """Ease in frames that follow `old` without overlap: a difference above the bound is spread over several frames.

    The excess is subtracted from the first frame and, with linearly decreasing weight, from the following ones, over at most half
    of `new`.

    Args:
        old: the frames before.
        new: the frames after.
        bound: largest mean absolute difference of consecutive frames; None: the largest within `old` and `new`.
    """
    jump = old[-1] - new[0]
    step = float(jump.abs().mean())
    if bound is None:
        bound = max(_largest(frame_differences(frames)) for frames in (old, new))
    bound = max(float(bound), IMPERCEPTIBLE["pixels"])
    if step <= bound:
        return new
    length = max(1, min(len(new) // 2, int(np.ceil(step / bound))))
    weights = (1 - torch.arange(len(new), dtype=new.dtype, device=new.device) / length).clamp(min=0) * (1 - bound / step)
    return (new + weights[:, None, None, None] * jump).clamp(0, 1)


def _ramp(length: int, like: Tensor) -> Tensor:
    return (torch.arange(length, dtype=like.dtype, device=like.device) + 0.5) / length


# --- measuring ------------------------------------------------------------------------------------------------------------


def audio_levels(waveform: Float[np.ndarray, "n"], sample_rate: int) -> Float[np.ndarray, "l"]:
    """Level of each window of 20 ms, every 10 ms, in dB of full scale, clipped at -60."""
    size, hop = count(LEVEL_WINDOW, sample_rate), count(LEVEL_HOP, sample_rate)
    if len(waveform) < size:
        return np.zeros(0)
    squares = np.concatenate([[0.0], np.square(waveform, dtype=np.float64).cumsum()])
    first = np.arange(0, len(waveform) - size + 1, hop)
    return np.maximum(10 * np.log10(np.maximum(squares[first + size] - squares[first], 0) / size + 1e-12), LEVEL_FLOOR)


def level_steps(waveform: Float[np.ndarray, "n"], sample_rate: int) -> Float[np.ndarray, "l"]:
    """Absolute differences, in dB, between the levels of adjacent windows of 20 ms; step i is at (i + 2) hops of 10 ms."""
    level = audio_levels(waveform, sample_rate)
    return np.abs(level[2:] - level[:-2])


def second_differences(waveform: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m"]:
    """Absolute second differences; entry i is at sample i + 1."""
    return np.abs(np.diff(waveform.astype(np.float64), 2))


def frame_differences(frames: Float[Tensor, "t h w 3"]) -> Float[np.ndarray, "m"]:
    """Mean absolute differences of consecutive frames; entry i is between frames i and i + 1."""
    return (frames[1:] - frames[:-1]).abs().flatten(1).mean(1).cpu().numpy()


def measure_crossfade(
    old: tuple[Tensor, Tensor],
    new: tuple[Tensor, Tensor],
    joined: tuple[Tensor, Tensor],
    sample_rate: int,
    *,
    frames: tuple[int, int],
    samples: tuple[int, int],
    begin: float | int = 0.0,
) -> CrossfadeReport:
    """Measure the discontinuities at one join and compare them with those within the two windows.

    Args:
        old: frames [t h w 3] and waveform [n] before the join, to their end.
        new: those of the window after the join, from its beginning.
        joined: the result.
        sample_rate: in samples per second.
        frames: begin and end of the join in `joined`: the first frame of `new` and the first one after the crossfade; the same
            index twice where the windows do not overlap.
        samples: the same in samples.
        begin: time of the beginning of `joined`, in seconds.
    """
    hop, radius = count(LEVEL_HOP, sample_rate), count(CLICK_RADIUS, sample_rate)
    (first, last), clips = samples, (joined, old, new)
    waveforms = [waveform.cpu().numpy() for _, waveform in clips]
    # The steps at a point: the difference to its frame, and the level steps whose 40 ms contain it.
    steps = [level_steps(one, sample_rate) for one in waveforms]
    level = _compare(steps, first // hop - 3, -(-last // hop), IMPERCEPTIBLE["level"])
    bends = [second_differences(one) for one in waveforms]
    bend = _compare(bends, first - radius - 1, last + radius - 1, IMPERCEPTIBLE["bend"])
    differences = [frame_differences(video) for video, _ in clips]
    pixels = _compare(differences, frames[0] - 1, max(frames[0], frames[1]), IMPERCEPTIBLE["pixels"])
    return CrossfadeReport(float(begin + first / sample_rate), float(begin + last / sample_rate), level, bend, pixels)


def _compare(steps: list[np.ndarray], first: int, last: int, imperceptible: float) -> Discontinuity:
    """Compare the largest of steps[0][first:last] with that of all spans of the same length in the other arrays."""
    first, last = max(0, first), min(len(steps[0]), last)
    if last <= first:
        return Discontinuity(0.0, 0.0, 1.0, imperceptible)
    value = float(steps[0][first:last].max())
    spans = np.concatenate([_sliding_max(one, last - first) for one in steps[1:]])
    reference = _largest(spans)
    return Discontinuity(value, reference, float((spans >= value).mean()) if len(spans) else 1.0, max(reference, imperceptible))


def _sliding_max(values: np.ndarray, length: int) -> np.ndarray:
    """The maximum of each `length` consecutive values, or of all where there are fewer."""
    if len(values) <= length:
        return values.max(keepdims=True) if len(values) else values
    return np.lib.stride_tricks.sliding_window_view(values, length).max(1) if length > 1 else values


def _largest(values: np.ndarray) -> float:
    return float(values.max()) if len(values) else 0.0


def _level_step_at_join(old: Tensor, new: Tensor, sample_rate: int) -> float:
    """The largest of the level steps whose 40 ms contain the beginning of `new`."""
    reach = count(2 * LEVEL_WINDOW, sample_rate)
    around = torch.cat([old[-reach:], new[:reach]]).cpu().numpy()
    return _largest(level_steps(around, sample_rate))
