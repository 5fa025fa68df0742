"""The response of a metric to each degradation: its values, significance, order and effect size."""

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from sonovid.calibration.degradations import DEGRADATIONS, Degradation
from sonovid.calibration.features import AT_ALL_RATES, Condition, ConditionFeatures
from sonovid.metrics.base import Arrays, ClipDistance, ClipScore, Distance, Metric, PairedScore, SetScore

# Bootstrap draws of clips, and the smallest Spearman's rho of a monotonic response.
DRAWS, IN_ORDER = 500, 0.9


@dataclass(frozen=True)
class Level:
    """A metric's value at one degree of a degradation.

    Attributes:
        degree: of the degradation.
        value: of the metric.
        difference: from the value of the original clips.
        low, high: 95 % bootstrap interval of the difference, with the same clips on both sides.
        effect: the difference divided by the pooled standard deviation over clips (Cohen's d); for numbers of whole sets, by the
            bootstrap standard deviation.
        defined: the number of clips with a value.
    """

    degree: float
    value: float
    difference: float
    low: float
    high: float
    effect: float
    defined: int


@dataclass(frozen=True)
class Finding:
    """The response of one metric to one degradation at one frame rate.

    Attributes:
        metric, degradation, fps: which.
        clean: the value of the original clips.
        spread: standard deviation over the original clips; for numbers of whole sets, the bootstrap standard deviation.
        defined: the number of original clips with a value.
        levels: by degree.
        responds: whether the interval at the worst degree excludes 0.
        order: Spearman's rho of severity (original clips first) and value, signed so that +1 means that the value becomes worse
            with severity. For signed offsets and shifted audio: rho of the shift and the value.
    """

    metric: str
    degradation: str
    fps: float
    clean: float
    spread: float
    defined: int
    levels: tuple[Level, ...]
    responds: bool
    order: float

    @property
    def worst(self) -> Level:
        """The most severe degree; for shifts the latest one."""
        return self.levels[-1]

    @property
    def verdict(self) -> str:
        """ "yes": responds monotonically; "partly": responds; "reversed": the value improves; "no": does not respond."""
        if not self.responds:
            return "no"
        if self.order < 0:
            return "reversed"
        return "yes" if self.order >= IN_ORDER else "partly"

    def to_record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "verdict": self.verdict}


class ConditionValues:
    """A metric's values under one condition, for computing the numbers of resampled sets."""

    def __init__(self, metric: Metric, features: ConditionFeatures, condition: Condition) -> None:
        self.metric, self.condition, self._arranged = metric, condition, features
        self.count = len(features.plan.clips)
        self.values = self._of_clips() if not isinstance(metric, Distance | SetScore) else None

    @property
    def defined(self) -> int:
        """The number of clips with a value."""
        return self.count if self.values is None else int(np.isfinite(self.values).sum())

    def value_of(self, chosen: np.ndarray) -> float:
        """The number of a set of these clips, which may occur repeatedly."""
        metric = self.metric
        if self.values is not None:
            with warnings.catch_warnings():
                # The mean of no values is NaN, as intended.
                warnings.simplefilter("ignore", RuntimeWarning)
                values = self.values[chosen]
                return float(metric.summary(values) if isinstance(metric, ClipScore) else np.nanmean(values))
        assert isinstance(metric, Distance | SetScore)
        found = [self._arrays(metric.extractor, int(i)) for i in chosen]
        rows = _stack_rows(found, metric.key)
        if isinstance(metric, SetScore):
            return metric.score(rows)
        return float(metric.distance(rows, self._reference(metric)))

    def _of_clips(self) -> np.ndarray:
        metric = self.metric
        clean = Condition(self.condition.fps)
        values = np.full(self.count, np.nan)
        for i in range(self.count):
            if isinstance(metric, ClipScore):
                first, second = self._arrays(metric.of, i), self._arrays(metric.to, i)
            elif isinstance(metric, PairedScore):
                first, second = self._arrays(metric.extractor, i), self._arranged.get(clean, metric.extractor, i)
            elif isinstance(metric, ClipDistance):
                first, second = self._arrays(metric.extractor, i), {}
            else:
                raise TypeError(f"{metric.name}: a kind of metric that calibration does not know")
            if first is None or second is None:
                continue
            if isinstance(metric, ClipDistance):
                values[i] = float(metric.distances([first[metric.key]], self._reference(metric))[0])
            else:
                values[i] = metric.score(first, second)
        return values

    def _arrays(self, extractor: Any, clip: int) -> Arrays | None:
        return self._arranged.get(self.condition, extractor, clip)

    def _reference(self, metric: "Distance | ClipDistance") -> np.ndarray:
        return _stack_rows([self._arranged.reference[metric.extractor, i] for i in range(self.count)], metric.key)


def _stack_rows(found: Sequence[Arrays | None], key: str) -> np.ndarray:
    rows = [np.atleast_2d(one[key]) for one in found if one is not None]
    return np.concatenate(rows).astype(np.float64)


def compute_findings(metric: Metric, features: ConditionFeatures, *, draws: int = DRAWS, seed: int = 0) -> list[Finding]:
    """All findings of one metric. draws: bootstrap draws for intervals; a fifth of them for numbers of whole sets."""
    plan = features.plan
    findings = []
    seen = any(extractor.input_spec.video for extractor in metric.extractors)
    for fps in [plan.fps, *[rate for rate in plan.rates if seen and rate != plan.fps]]:
        clean = ConditionValues(metric, features, Condition(fps))
        chosen = _drawn(clean.count, seed, draws if clean.values is not None else draws // 5)
        base = np.array([clean.value_of(one) for one in chosen])
        for degradation in DEGRADATIONS:
            if (fps == plan.fps or degradation.name in AT_ALL_RATES) and _touches(metric, degradation):
                degrees = [(degree, Condition(fps, degradation.name, degree)) for degree in degradation.degrees]
                severity = _severity(metric, degradation)
                findings.append(_finding(degradation.name, degrees, severity, clean, base, chosen, features))
        if fps == plan.fps and seen and plan.rates:
            rates = sorted({rate for rate in plan.rates if rate != fps}, reverse=True)
            severity = np.array([-float(rate) for rate in (fps, *rates)])
            degrees = [(float(rate), Condition(rate)) for rate in rates]
            findings.append(_finding("fps", degrees, severity, clean, base, chosen, features))
    return findings


def _severity(metric: Metric, degradation: Degradation) -> np.ndarray:
    """The severity of the original clips and of every degree; for signed offsets and shifts, the shift itself."""
    if metric.better == "zero" and degradation.name == "shift":
        return np.array([0.0, *degradation.degrees])
    return np.array([0.0, *(degradation.severity(degree) for degree in degradation.degrees)])


def _touches(metric: Metric, degradation: Degradation) -> bool:
    """Whether the degradation changes a stream that the metric reads."""
    if degradation.name == "swap" and not isinstance(metric, ClipScore | PairedScore):
        # Swaps leave the set of audio clips nearly unchanged.
        return False
    return any(
        (extractor.input_spec.video and degradation.changes.video) or (extractor.input_spec.audio and degradation.changes.audio)
        for extractor in metric.extractors
    )


def _drawn(count: int, seed: int, draws: int) -> list[np.ndarray]:
    generator = np.random.Generator(np.random.PCG64(seed))
    return [generator.integers(0, count, count) for _ in range(draws)]


def _finding(
    name: str,
    degrees: Sequence[tuple[float | int, Condition]],
    severity: np.ndarray,
    clean: ConditionValues,
    base: np.ndarray,
    chosen: Sequence[np.ndarray],
    features: ConditionFeatures,
) -> Finding:
    metric, everyone = clean.metric, np.arange(clean.count)
    value = clean.value_of(everyone)
    spread = float(np.nanstd(clean.values, ddof=1) if clean.values is not None else np.nanstd(base, ddof=1))
    levels = []
    for degree, condition in degrees:
        measured = ConditionValues(metric, features, condition)
        differences = np.array([measured.value_of(one) for one in chosen]) - base
        known = differences[np.isfinite(differences)]
        low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
        now = measured.value_of(everyone)
        own = measured.values
        both = np.sqrt((spread**2 + np.nanvar(own, ddof=1)) / 2) if own is not None and measured.defined > 1 else spread
        effect = (now - value) / float(both) if both > 0 else (0.0 if now == value else float("nan"))
        levels.append(Level(float(degree), now, now - value, float(low), float(high), effect, measured.defined))
    worst = levels[-1]
    responds = bool(worst.low > 0 or worst.high < 0)
    order = _order(metric, name, np.array([value, *(level.value for level in levels)]), severity)
    fps = float(clean.condition.fps)
    return Finding(metric.name, name, fps, value, spread, clean.defined, tuple(levels), responds, order)


def _order(metric: Metric, name: str, values: np.ndarray, severity: np.ndarray) -> float:
    """Spearman's rho of severity and badness of the value; see `Finding.order`."""
    if metric.better == "zero" and name != "shift":
        values = np.abs(values - values[0])
    if metric.better == "one":
        values = np.abs(values - 1)
    known = np.isfinite(values)
    if known.sum() < 3 or np.ptp(values[known]) == 0:
        return 0.0
    rho = float(spearmanr(severity[known], values[known]).statistic)
    return -rho if metric.better == "higher" else rho


@dataclass(frozen=True)
class OffsetErrors:
    """Errors of an offset metric on the clips of a world at one frame rate, over all known shifts.

    Attributes:
        metric, world, fps: which.
        bias: median error in ms.
        spread: median absolute deviation from the bias in ms.
        near: the share of estimates within 100 ms of the truth.
        defined: the share of clips with an estimate.
    """

    metric: str
    world: str
    fps: float
    bias: float
    spread: float
    near: float
    defined: float


def estimate_offset_errors(metric: Metric, features: ConditionFeatures) -> list[OffsetErrors]:
    """Compute the errors of a signed offset metric, by world and frame rate, and over all worlds."""
    plan = features.plan
    shifts = (0, *next(one.degrees for one in DEGRADATIONS if one.name == "shift"))
    found = []
    for fps in sorted({plan.fps, *plan.rates}):
        conditions = [Condition(fps, "shift", degree) if degree else Condition(fps) for degree in shifts]
        per_shift = [ConditionValues(metric, features, one).values for one in conditions]
        assert all(values is not None for values in per_shift)
        errors = np.stack([values - shift for values, shift in zip(per_shift, shifts, strict=True) if values is not None])
        for world in (*plan.worlds, "all"):
            own = errors[:, [world in ("all", name) for name, _ in plan.clips]].ravel()
            known = own[np.isfinite(own)]
            bias = float(np.median(known)) if len(known) else float("nan")
            spread = float(np.median(np.abs(known - bias))) if len(known) else float("nan")
            near = float((np.abs(known) <= 100).mean()) if len(known) else float("nan")
            found.append(OffsetErrors(metric.name, world, float(fps), bias, spread, near, len(known) / max(len(own), 1)))
    return found
