"""Extraction of features for every clip under every condition; streams that a condition does not change are extracted once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sonovid.calibration.degradations import DEGRADATIONS, scene
from sonovid.core import progress
from sonovid.core.av import AV
from sonovid.core.clip import Clip
from sonovid.core.geometry import count
from sonovid.media.audio import pad_or_trim, resample_audio
from sonovid.metrics.base import Arrays, Extractor, InputSpec, Sample, UnusableClipError
from sonovid.metrics.lazy_extractor import LazyExtractor
from sonovid.metrics.protocol import resample_frames

# Degradations that are also evaluated at other frame rates: those of the audio that do not depend on the frame rate.
AT_ALL_RATES = ("shift", "swap")


@dataclass(frozen=True, order=True)
class Condition:
    """A condition of the clips: frame rate, name of the degradation ("" for none), and its degree."""

    fps: Fraction
    degradation: str = ""
    degree: float | int = 0


@dataclass(frozen=True)
class Plan:
    """The clips and conditions of a calibration.

    Args:
        worlds: of the scenes.
        count: clips per world.
        seed: of the first clip. A second set of the same size with the following seeds is the reference of distances.
        seconds: length of a clip.
        fps: frame rate at which all degradations are evaluated.
        rates: other frame rates, at which the audio is only shifted and swapped.
        size: side of the square frames in pixels.
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
        """World and seed of every clip, with the worlds interleaved."""
        return [(world, self.seed + i) for i in range(self.count) for world in self.worlds]

    @property
    def conditions(self) -> list[Condition]:
        """All conditions; the first is the original clip."""
        own = [Condition(self.fps, one.name, degree) for one in DEGRADATIONS for degree in one.degrees]
        others = []
        for fps in [rate for rate in self.rates if rate != self.fps]:
            others.append(Condition(fps))
            others += [
                Condition(fps, one.name, degree) for one in DEGRADATIONS if one.name in AT_ALL_RATES for degree in one.degrees
            ]
        return [Condition(self.fps), *own, *others]


ExtractorClass = type[Extractor]


class ConditionFeatures:
    """Arrays by condition, extractor and clip; None for a clip that an extractor cannot use."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._found: dict[tuple[Condition, ExtractorClass, int], Arrays | None] = {}
        self.reference: dict[tuple[ExtractorClass, int], Arrays | None] = {}

    def put(self, condition: Condition, extractor: ExtractorClass, clip: int, arrays: Arrays | None) -> None:
        self._found[condition, extractor, clip] = arrays

    def get(self, condition: Condition, extractor: ExtractorClass, clip: int) -> Arrays | None:
        """One clip's arrays; those of the original clip if the condition does not change the extractor's stream."""
        fps = condition.fps if extractor.input_spec.video else self.plan.fps
        if condition.degradation == "swap" and extractor.input_spec.audio:
            taken = self._partner(clip) if (clip // len(self.plan.worlds)) % 4 < 4 * condition.degree else clip
            return self._found[Condition(fps), extractor, taken]
        own = (Condition(fps, condition.degradation, condition.degree), extractor, clip)
        return self._found[own if own in self._found else (Condition(fps), extractor, clip)]

    def _partner(self, clip: int) -> int:
        """The next clip of the same world."""
        return (clip + len(self.plan.worlds)) % len(self.plan.clips)


def extract_conditions(
    plan: Plan, extractors: Sequence[LazyExtractor], *, with_reference: bool, quiet: bool = True
) -> ConditionFeatures:
    """Render every scene and extract its features under every condition, clip by clip.

    Args:
        plan: the clips and conditions.
        extractors: the extractors.
        with_reference: also extract the reference set.
        quiet: show no progress bars.

    Raises:
        ValueError: too few clips for swaps, or extractors that read both streams at once.
    """
    if plan.count < 4:
        raise ValueError(f"{plan.count} clips of each world: expected at least 4, for shares of a quarter")
    for one in extractors:
        if one.extractor.input_spec.video and one.extractor.input_spec.audio:
            raise ValueError(f"{one.extractor.name} reads both streams at once, which cannot be swapped separately")
    features = ConditionFeatures(plan)
    for i, (world, seed) in enumerate(progress.bar(plan.clips, desc="clips", unit="clip", quiet=quiet)):
        for condition, clip, changes in _clips(plan, world, seed):
            for one in extractors:
                if (one.extractor.input_spec.video and changes.video) or (one.extractor.input_spec.audio and changes.audio):
                    features.put(condition, one.extractor, i, _extracted(one, clip))
    if with_reference:
        for i, (world, seed) in enumerate(progress.bar(plan.clips, desc="reference", unit="clip", quiet=quiet)):
            clip = scene(world, seed + plan.count, seconds=plan.seconds, fps=plan.fps, size=plan.size).clip
            for one in extractors:
                features.reference[one.extractor, i] = _extracted(one, clip)
    return features


def _clips(plan: Plan, world: str, seed: int) -> Iterator[tuple[Condition, Clip, AV]]:
    """One clip under every condition except swaps, with the streams that must be extracted again."""
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


def _extracted(one: LazyExtractor, clip: Clip) -> Arrays | None:
    try:
        return one.embed([one.extractor().prepare(Sample(read_clip(clip, one.extractor.input_spec)))])[0]
    except UnusableClipError:
        return None


def read_clip(clip: Clip, input_spec: InputSpec) -> Clip:
    """Convert a clip in memory as if it were read from a lossless file."""
    seen = resample_frames(clip, input_spec) if input_spec.video else clip
    waveform, rate = None, clip.sample_rate
    if input_spec.audio and clip.waveform is not None:
        rate = input_spec.sample_rate or clip.sample_rate
        waveform = clip.waveform.mean(0, keepdims=True) if input_spec.mono else clip.waveform
        waveform = pad_or_trim(resample_audio(waveform, clip.sample_rate, rate), count(clip.seconds, rate))
    return Clip(seen.frames if input_spec.video else None, waveform, fps=seen.fps, sample_rate=rate)
