"""The arrays of extractors for every clip under every condition; what a condition does not touch is extracted once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sonovid.calibration.degradations import DEGRADATIONS, scene
from sonovid.core import progress
from sonovid.core.av import AV
from sonovid.core.clip import Clip
from sonovid.core.geometry import count
from sonovid.media.sound import lasting, resampled
from sonovid.metrics.base import Arrays, Extractor, Material, Reading, Unfit
from sonovid.metrics.extraction import Ready
from sonovid.metrics.protocol import seen_by

# What is done to the sound alone is the same beside pictures of any rate.
AT_ALL_RATES = ("shift", "swap")


@dataclass(frozen=True, order=True)
class Condition:
    """What was done to the clips: fps of the pictures, the degradation's name ("" for none) and its degree."""

    fps: Fraction
    degradation: str = ""
    degree: float | int = 0


@dataclass(frozen=True)
class Plan:
    """Which clips are made, and what is done to them.

    count: clips of each world. seed: of the first; a second set as large, of the seeds after, is the reference of distances.
    fps: of all degradations; at every other one of `rates` the sound is only moved and exchanged. size: pictures are square.
    """

    worlds: tuple[str, ...]
    count: int
    seed: int = 80_000_000
    seconds: Fraction = Fraction(4)
    fps: Fraction = Fraction(25)
    rates: tuple[Fraction, ...] = (Fraction(8), Fraction(10), Fraction(16), Fraction(30))
    size: int = 64

    @property
    def clips(self) -> list[tuple[str, int]]:
        """World and seed of every clip, worlds in turn."""
        return [(world, self.seed + i) for i in range(self.count) for world in self.worlds]

    @property
    def conditions(self) -> list[Condition]:
        """All conditions; the first is the untouched clip."""
        own = [Condition(self.fps, one.name, degree) for one in DEGRADATIONS for degree in one.degrees]
        others = []
        for fps in [rate for rate in self.rates if rate != self.fps]:
            others.append(Condition(fps))
            others += [
                Condition(fps, one.name, degree) for one in DEGRADATIONS if one.name in AT_ALL_RATES for degree in one.degrees
            ]
        return [Condition(self.fps), *own, *others]


Kind = type[Extractor]


class Arrangement:
    """Arrays by condition, extractor and clip: None for a clip that an extractor could not take."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._found: dict[tuple[Condition, Kind, int], Arrays | None] = {}
        self.reference: dict[tuple[Kind, int], Arrays | None] = {}

    def put(self, condition: Condition, kind: Kind, clip: int, arrays: Arrays | None) -> None:
        self._found[condition, kind, clip] = arrays

    def of(self, condition: Condition, kind: Kind, clip: int) -> Arrays | None:
        """One clip's arrays; where the condition leaves this extractor's stream alone, those of the clip untouched."""
        fps = condition.fps if kind.reading.video else self.plan.fps
        if condition.degradation == "swap" and kind.reading.audio:
            taken = self._partner(clip) if (clip // len(self.plan.worlds)) % 4 < 4 * condition.degree else clip
            return self._found[Condition(fps), kind, taken]
        own = (Condition(fps, condition.degradation, condition.degree), kind, clip)
        return self._found[own if own in self._found else (Condition(fps), kind, clip)]

    def _partner(self, clip: int) -> int:
        """The next clip of the same world."""
        return (clip + len(self.plan.worlds)) % len(self.plan.clips)


def arrange(plan: Plan, extractors: Sequence[Ready], *, with_reference: bool, quiet: bool = True) -> Arrangement:
    """Render every scene and extract what is needed of it under every condition, one clip after the other.

    Raises:
        ValueError: too few clips for an exchange, or extractors that look at both streams at once.
    """
    if plan.count < 4:
        raise ValueError(f"{plan.count} clips of each world: expected at least 4, of which shares can be taken")
    for one in extractors:
        if one.kind.reading.video and one.kind.reading.audio:
            raise ValueError(f"{one.kind.name} looks at both streams at once, which cannot be exchanged one by one")
    arranged = Arrangement(plan)
    for i, (world, seed) in enumerate(progress.bar(plan.clips, desc="clips", unit="clip", quiet=quiet)):
        for condition, clip, changes in _clips(plan, world, seed):
            for one in extractors:
                if (one.kind.reading.video and changes.video) or (one.kind.reading.audio and changes.audio):
                    arranged.put(condition, one.kind, i, _extracted(one, clip))
    if with_reference:
        for i, (world, seed) in enumerate(progress.bar(plan.clips, desc="reference", unit="clip", quiet=quiet)):
            clip = scene(world, seed + plan.count, seconds=plan.seconds, fps=plan.fps, size=plan.size).clip
            for one in extractors:
                arranged.reference[one.kind, i] = _extracted(one, clip)
    return arranged


def _clips(plan: Plan, world: str, seed: int) -> Iterator[tuple[Condition, Clip, AV]]:
    """One clip under every condition but exchange, and which streams have to be extracted anew."""
    own = scene(world, seed, seconds=plan.seconds, fps=plan.fps, size=plan.size)
    yield Condition(plan.fps), own.clip, AV(True, True)
    for one in DEGRADATIONS:
        for number, degree in enumerate(one.degrees):
            if one.apply is not None:
                generator = np.random.Generator(np.random.PCG64([seed, number]))
                yield Condition(plan.fps, one.name, degree), one.apply(own, degree, generator), one.changes
    for fps in plan.rates:
        if fps != plan.fps:
            again = scene(world, seed, seconds=plan.seconds, fps=fps, size=plan.size)
            yield Condition(fps), again.clip, AV(True, False)


def _extracted(one: Ready, clip: Clip) -> Arrays | None:
    try:
        return one.embed([one.kind().prepare(Material(as_read(clip, one.kind.reading)))])[0]
    except Unfit:
        return None


def as_read(clip: Clip, reading: Reading) -> Clip:
    """A clip in memory as an extractor would have it from a lossless file."""
    seen = seen_by(clip, reading) if reading.video else clip
    waveform, rate = None, clip.sample_rate
    if reading.audio and clip.waveform is not None:
        rate = reading.sample_rate or clip.sample_rate
        waveform = clip.waveform.mean(0, keepdims=True) if reading.mono else clip.waveform
        waveform = lasting(resampled(waveform, clip.sample_rate, rate), count(clip.seconds, rate))
    return Clip(seen.frames if reading.video else None, waveform, fps=seen.fps, sample_rate=rate)
