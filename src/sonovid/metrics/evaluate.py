"""Sets of clips and metrics to results: what fits is extracted once for all systems, computed, and put on record."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sonovid.core import progress
from sonovid.metrics import record
from sonovid.metrics.base import ClipDistance, Distance, Metric, PairedScore
from sonovid.metrics.computing import NotEnough, Sides, compute, lent
from sonovid.metrics.extraction import Extraction, Features, Kind, Ready, extract, ready
from sonovid.metrics.protocol import Protocol
from sonovid.metrics.results import Evaluation, Result, Skipped
from sonovid.metrics.sets import MediaSet, faults, with_captions_of, with_streams_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measuring:
    """How it is measured. weights: the folder of weight files. resamples: of numbers of whole sets (means take a thousand)."""

    weights: "str | Path | None" = None
    device: str = "cpu"
    seed: int = 0
    resamples: int = 200
    how: Extraction = field(default_factory=Extraction)


def evaluate(
    generated: MediaSet,
    reference: "MediaSet | None",
    metrics: Sequence[Metric],
    measuring: "Measuring | None" = None,
) -> Evaluation:
    """All metrics of one system; those that cannot be computed are in `skipped`, with the reason.

    Raises:
        ValueError: none can be computed.
    """
    return evaluate_all([generated], reference, metrics, measuring)[0]


def evaluate_all(
    systems: Sequence[MediaSet],
    reference: "MediaSet | None",
    metrics: Sequence[Metric],
    measuring: "Measuring | None" = None,
) -> list[Evaluation]:
    """The same for several systems against one reference, whose features are had once.

    Raises:
        ValueError: none of the metrics can be computed for any of the systems.
    """
    measuring = measuring or Measuring()
    if reference is not None:
        systems = [with_streams_of(with_captions_of(one, reference), reference) for one in systems]
    at_hand, missing = _at_hand(metrics, measuring)
    fitting: list[Metric] = []
    skipped: list[Skipped] = []
    for metric in metrics:
        why = next((missing[kind] for kind in metric.extractors if kind in missing), "") or _unfit(metric, systems, reference)
        if why:
            skipped.append(Skipped(metric.name, metric.family, why))
        else:
            fitting.append(metric)
    for one in skipped:
        log.info("skipped %s: %s", one.name, one.reason)
    features = _features(systems, reference, fitting, at_hand, measuring)
    found = [_one(system, reference, fitting, at_hand, features, measuring, tuple(skipped)) for system in systems]
    if not any(one.results for one in found):
        first = found[0].skipped[0] if found[0].skipped else Skipped("none", "", "no metric was chosen")
        raise ValueError(f"no metric can be computed; the first, {first.name}: {first.reason}")
    return found


def _at_hand(metrics: Sequence[Metric], measuring: Measuring) -> tuple[dict[Kind, Ready], dict[Kind, str]]:
    """The extractors whose weights are at hand, and what the others miss."""
    at_hand: dict[Kind, Ready] = {}
    missing: dict[Kind, str] = {}
    for kind in dict.fromkeys(kind for metric in metrics for kind in metric.extractors):
        try:
            at_hand[kind] = ready(kind, measuring.weights, measuring.device)
        except ValueError as error:
            # Missing, or not what they should be: said in the table, and the other metrics go on.
            missing[kind] = str(error)
    return at_hand, missing


def _unfit(metric: Metric, systems: Sequence[MediaSet], reference: "MediaSet | None") -> str:
    """Why a metric does not fit what is given, as far as can be told before anything is read."""
    if reference is None and isinstance(metric, Distance | ClipDistance | PairedScore):
        return "needs a reference"
    every = [item for one in systems for item in one.items]
    for kind in metric.extractors:
        if kind.reading.text and not any(item.caption for item in every):
            return "needs captions (clip.txt beside clip.mp4, or --captions FILE)"
        if kind.reading.video and not any(item.source(kind.reading).info.has_video for item in every):
            return "needs pictures, and no clip has any"
        if kind.reading.audio and not any(item.source(kind.reading).info.has_audio for item in every):
            return "needs sound, and no clip has any"
    if all(lent(metric, item) for item in every):
        what = "pictures" if any(kind.reading.video for kind in metric.extractors) else "sound"
        return f"needs {what} of the clips' own; theirs is the reference's"
    return ""


def _features(
    systems: Sequence[MediaSet],
    reference: "MediaSet | None",
    metrics: Sequence[Metric],
    at_hand: dict[Kind, Ready],
    measuring: Measuring,
) -> Features:
    kinds = dict.fromkeys(kind for metric in metrics for kind in metric.extractors)
    items = [item for one in [*systems, *([reference] if reference else [])] for item in one.items]
    return extract(items, [at_hand[kind] for kind in kinds], measuring.how)


def _one(
    system: MediaSet,
    reference: "MediaSet | None",
    metrics: Sequence[Metric],
    at_hand: dict[Kind, Ready],
    features: Features,
    measuring: Measuring,
    skipped: tuple[Skipped, ...],
) -> Evaluation:
    """One system's numbers."""
    sides = Sides(system, reference, features, measuring.seed, measuring.resamples)
    results = []
    for metric in [m for m in metrics if any(kind in features.failures for kind in m.extractors)]:
        why = next(features.failures[kind] for kind in metric.extractors if kind in features.failures)
        skipped = (*skipped, Skipped(metric.name, metric.family, why))
    metrics = [metric for metric in metrics if not any(kind in features.failures for kind in metric.extractors)]
    for metric in progress.bar(metrics, desc=f"metrics of {system.title}", unit="metric", quiet=measuring.how.quiet):
        try:
            results.append(_result(metric, sides, at_hand, measuring.how.protocol))
        except (NotEnough, ValueError) as error:
            skipped = (*skipped, Skipped(metric.name, metric.family, " ".join(str(error).split())))
    protocol = measuring.how.protocol
    same = {"seed": measuring.seed, "resamples": measuring.resamples, "device": measuring.device}
    common = record.of_sets(system, reference, protocol=protocol, **same)  # type: ignore[arg-type]
    about = tuple(faults(system, reference, protocol.to_record()))
    return Evaluation(system.title, tuple(results), skipped, about, common)


def _result(metric: Metric, sides: Sides, at_hand: dict[Kind, Ready], protocol: Protocol) -> Result:
    computed = compute(metric, sides)
    own = metric.warn(protocol.facts(sides.generated.facts))
    other = metric.warn(protocol.facts(sides.reference.facts)) if sides.reference else ""
    warnings = [*([own] if own else []), *([f"reference: {other}"] if other and other != own else []), *computed.warnings]
    if computed.values.get("undefined"):
        warnings.append(f"not defined for {computed.values['undefined']} of {len(computed.generated)} clips, which are left out")
    if computed.values.get("shuffled") and computed.values.get("low", 1.0) <= computed.values["floor"] <= computed.values["high"]:
        warnings.append("not told from shuffled partners: the floor lies in the interval")
    result = Result(
        name=metric.name,
        family=metric.family,
        what=metric.what,
        better=metric.better,
        unit=metric.unit,
        source=metric.source,
        generated=len(computed.generated),
        reference=len(computed.reference),
        left_out=computed.left_out,
        warnings=tuple(warnings),
        record=record.of_metric(metric, at_hand, computed.generated, computed.reference, protocol),
        **computed.values,
    )
    return replace(result, value=float(result.value))
