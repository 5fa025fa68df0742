"""Where a window meets the one before: faded or eased into each other, and what steps are left there beside the clip's own.

Pictures are float [t h w 3] in [0, 1], sounds float [n] in [-1, 1].
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sonovid.core.geometry import count

# Levels are of 20 ms each, every 10 ms, and what is below -60 dB of full scale counts as -60.
LEVEL_WINDOW, LEVEL_HOP, LEVEL_FLOOR = 0.02, 0.01, -60.0
# How far around a point a click is looked for, in seconds.
CLICK_RADIUS = 0.005
# The shortest and the longest time over which a sound that nothing overlaps is eased in.
MIN_EASE, MAX_EASE = 0.01, 0.16
# Steps that nobody sees or hears: 3 dB, a bend of a thousandth of full scale, a change of a 500th of the range of brightness.
IMPERCEPTIBLE = {"level": 3.0, "bend": 1e-3, "pixels": 2e-3}


@dataclass(frozen=True)
class Discontinuity:
    """The largest step within a join, beside the clip's own largest: in the window before and in the one that follows.

    share: of all stretches of these two that are as long as the join, how many have a step at least as large. bound: what the
    step at the join is held to: the clip's own largest, or what nobody sees or hears where that is more.
    """

    here: float
    own: float
    share: float
    bound: float

    @property
    def within(self) -> bool:
        """Whether the join's step is no larger than the bound, but for rounding."""
        return self.here <= 1.01 * self.bound


@dataclass(frozen=True)
class CrossfadeReport:
    """One join: where it lies, in seconds, and its steps.

    level: of the sound's level, in dB. bend: of the waveform, its second difference, which a click makes large. pixels: mean
    absolute change from picture to picture, in [0, 1].
    """

    begin: float
    end: float
    level: Discontinuity
    bend: Discontinuity
    pixels: Discontinuity

    @property
    def within(self) -> bool:
        """Whether none of the steps is larger than its bound."""
        return self.level.within and self.bend.within and self.pixels.within

    def to_config(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "within": self.within}


# --- made -----------------------------------------------------------------------------------------------------------------


def crossfade_frames(old: Float[Tensor, "t h w 3"], new: Float[Tensor, "t h w 3"]) -> Float[Tensor, "t h w 3"]:
    """Two runs of pictures of the same moments, the first fading linearly into the second."""
    ramp = _ramp(len(new), new)[:, None, None, None]
    return old * (1 - ramp) + new * ramp


def crossfade_audio(old: Float[Tensor, "n"], new: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    """Two sounds of the same moments, the first fading into the second at a constant power, however alike the two are.

    The weights u and d of a linear fade are divided by the root of u^2 + d^2 + 2 r u d, with r the correlation of the two: for
    sounds that are the same a linear fade, where one by equal power would swell by 3 dB, and that one for sounds with nothing in
    common.
    """
    up = _ramp(len(new), new)
    down = 1 - up
    norm = old.norm() * new.norm()
    alike = (old @ new / norm).clamp(0, 1) if norm > 0 else torch.ones((), device=new.device)
    return (old * down + new * up) / (up.square() + down.square() + 2 * alike * up * down).sqrt()


def ease_in_audio(old: Float[Tensor, "m"], new: Float[Tensor, "n"], sample_rate: int) -> Float[Tensor, "n"]:
    """A sound that follows another without overlap, eased in: the end of the old one, run backwards, fades into it.

    So the waveform does not jump, and the level steps no further than it does elsewhere in the two: of 10, 20, ... 160 ms the
    first for which that holds, or the one whose step is smallest.
    """
    best, least = new, float("inf")
    bound = max(_largest(level_steps(one.cpu().numpy(), sample_rate)) for one in (old, new))
    seconds = MIN_EASE
    while seconds <= MAX_EASE + 1e-9:
        length = min(count(seconds, sample_rate), len(old), len(new))
        eased = torch.cat([crossfade_audio(old.flip(0)[:length], new[:length]), new[length:]])
        step = _level_step_at(old, eased, sample_rate)
        if step < least:
            best, least = eased, step
        if step <= max(bound, IMPERCEPTIBLE["level"]):
            return eased
        seconds *= 2
    return best


def ease_in_frames(
    old: Float[Tensor, "t h w 3"], new: Float[Tensor, "t2 h w 3"], bound: float | int | None = None
) -> Float[Tensor, "t2 h w 3"]:
    """Pictures that follow others without overlap: where the step is above the bound, it is spread over as many as it takes.

    bound: mean absolute change from picture to picture; None: the largest in both runs. What is above it is taken off the first
    picture and off the next ones by less and less, over at most half of the run.
    """
    jump = old[-1] - new[0]
    step = float(jump.abs().mean())
    if bound is None:
        bound = max(_largest(frame_differences(run)) for run in (old, new))
    bound = max(float(bound), IMPERCEPTIBLE["pixels"])
    if step <= bound:
        return new
    length = max(1, min(len(new) // 2, int(np.ceil(step / bound))))
    weights = (1 - torch.arange(len(new), dtype=new.dtype, device=new.device) / length).clamp(min=0) * (1 - bound / step)
    return (new + weights[:, None, None, None] * jump).clamp(0, 1)


def _ramp(length: int, like: Tensor) -> Tensor:
    return (torch.arange(length, dtype=like.dtype, device=like.device) + 0.5) / length


# --- measured -------------------------------------------------------------------------------------------------------------


def audio_levels(sound: Float[np.ndarray, "n"], sample_rate: int) -> Float[np.ndarray, "l"]:
    """The level of every 20 ms, each 10 ms after the one before, in dB of full scale, at least -60."""
    size, hop = count(LEVEL_WINDOW, sample_rate), count(LEVEL_HOP, sample_rate)
    if len(sound) < size:
        return np.zeros(0)
    squares = np.concatenate([[0.0], np.square(sound, dtype=np.float64).cumsum()])
    first = np.arange(0, len(sound) - size + 1, hop)
    return np.maximum(10 * np.log10(np.maximum(squares[first + size] - squares[first], 0) / size + 1e-12), LEVEL_FLOOR)


def level_steps(sound: Float[np.ndarray, "n"], sample_rate: int) -> Float[np.ndarray, "l"]:
    """How far the level of 20 ms lies from that of the 20 ms after them, in dB; step i is at (i + 2) hops of 10 ms."""
    level = audio_levels(sound, sample_rate)
    return np.abs(level[2:] - level[:-2])


def second_differences(sound: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m"]:
    """The size of the second difference; bend i is at sample i + 1."""
    return np.abs(np.diff(sound.astype(np.float64), 2))


def frame_differences(frames: Float[Tensor, "t h w 3"]) -> Float[np.ndarray, "m"]:
    """Mean absolute change from each picture to the next; step i leads to picture i + 1."""
    return (frames[1:] - frames[:-1]).abs().flatten(1).mean(1).cpu().numpy()


def measure_crossfade(
    old: tuple[Tensor, Tensor],
    new: tuple[Tensor, Tensor],
    joined: tuple[Tensor, Tensor],
    sample_rate: int,
    *,
    pictures: tuple[int, int],
    samples: tuple[int, int],
    begin: float | int = 0.0,
) -> CrossfadeReport:
    """The steps at one join, beside those of what was joined.

    old, new, joined: pictures [t h w 3] and sound [n] each: what came before, to its end; the window that follows, from its own
    beginning; both as they were put together. pictures, samples: where in `joined` the join begins and ends: the first of the new
    and the first after the fade; the same number twice where nothing overlaps. begin: when `joined` begins, in seconds.
    """
    hop, near = count(LEVEL_HOP, sample_rate), count(CLICK_RADIUS, sample_rate)
    (first, last), clips = samples, (joined, old, new)
    sounds = [sound.cpu().numpy() for _, sound in clips]
    # A step at a point is the one into its picture, and those of the levels whose 40 ms hold it.
    level = _compare([level_steps(one, sample_rate) for one in sounds], first // hop - 3, -(-last // hop), IMPERCEPTIBLE["level"])
    bend = _compare([second_differences(one) for one in sounds], first - near - 1, last + near - 1, IMPERCEPTIBLE["bend"])
    moves = [frame_differences(frames) for frames, _ in clips]
    pixels = _compare(moves, pictures[0] - 1, max(pictures[0], pictures[1]), IMPERCEPTIBLE["pixels"])
    return CrossfadeReport(float(begin + first / sample_rate), float(begin + last / sample_rate), level, bend, pixels)


def _compare(steps: list[np.ndarray], first: int, last: int, unseen: float) -> Discontinuity:
    """The largest of steps[0][first:last] beside that of all stretches as long in the others."""
    first, last = max(0, first), min(len(steps[0]), last)
    if last <= first:
        return Discontinuity(0.0, 0.0, 1.0, unseen)
    here = float(steps[0][first:last].max())
    own = np.concatenate([_sliding_max(one, last - first) for one in steps[1:]])
    largest = _largest(own)
    return Discontinuity(here, largest, float((own >= here).mean()) if len(own) else 1.0, max(largest, unseen))


def _sliding_max(values: np.ndarray, length: int) -> np.ndarray:
    """The largest of every `length` neighbours, or of all where there are fewer."""
    if len(values) <= length:
        return values.max(keepdims=True) if len(values) else values
    return np.lib.stride_tricks.sliding_window_view(values, length).max(1) if length > 1 else values


def _largest(values: np.ndarray) -> float:
    return float(values.max()) if len(values) else 0.0


def _level_step_at(old: Tensor, new: Tensor, sample_rate: int) -> float:
    """The largest step of level of those whose 40 ms hold the point where `new` begins."""
    reach = count(2 * LEVEL_WINDOW, sample_rate)
    around = torch.cat([old[-reach:], new[:reach]]).cpu().numpy()
    return _largest(level_steps(around, sample_rate))
