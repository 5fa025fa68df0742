"""Evaluation of sets of clips: features are extracted once for all systems, metrics are computed and recorded."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sonovid.core import progress
from sonovid.metrics import record
from sonovid.metrics.base import ClipDistance, Distance, Metric, PairedScore
from sonovid.metrics.computation import MetricInputs, TooFewClipsError, compute, is_borrowed
from sonovid.metrics.extraction import Extraction, Features, extract
from sonovid.metrics.lazy_extractor import ExtractorClass, LazyExtractor, resolve_extractor
from sonovid.metrics.protocol import Protocol
from sonovid.metrics.results import Evaluation, Result, Skipped
from sonovid.metrics.sets import MediaSet, borrow_streams, fill_captions, set_warnings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationConfig:
    """Settings of an evaluation.

    Args:
        weights: the folder of weight files.
        device: where networks run.
        seed: of all random draws.
        resamples: bootstrap resamples for numbers of whole sets. Means over clips always use 1000.
        extraction: how features are extracted.
    """

    weights: "str | Path | None" = None
    device: str = "cpu"
    seed: int = 0
    resamples: int = 200
    extraction: Extraction = field(default_factory=Extraction)


def evaluate(
    generated: MediaSet,
    reference: "MediaSet | None",
    metrics: Sequence[Metric],
    config: "EvaluationConfig | None" = None,
) -> Evaluation:
    """Compute the metrics of one system.

    Args:
        generated: the system's clips.
        reference: the reference clips; None if there are none.
        metrics: what to compute. Metrics that cannot be computed are listed in `Evaluation.skipped` with the reason.
        config: settings; default: `EvaluationConfig()`.

    Raises:
        ValueError: none of the metrics can be computed.
    """
    return evaluate_all([generated], reference, metrics, config)[0]


def evaluate_all(
    systems: Sequence[MediaSet],
    reference: "MediaSet | None",
    metrics: Sequence[Metric],
    config: "EvaluationConfig | None" = None,
) -> list[Evaluation]:
    """Compute the metrics of several systems against one reference, whose features are extracted once.

    Raises:
        ValueError: none of the metrics can be computed for any of the systems.
    """
    config = config or EvaluationConfig()
    if reference is not None:
        systems = [borrow_streams(fill_captions(system, reference), reference) for system in systems]
    available, unavailable = _resolve_extractors(metrics, config)
    computable: list[Metric] = []
    skipped: list[Skipped] = []
    for metric in metrics:
        reason = next((unavailable[extractor] for extractor in metric.extractors if extractor in unavailable), "")
        reason = reason or _reason_to_skip(metric, systems, reference)
        if reason:
            skipped.append(Skipped(metric.name, metric.family, reason))
        else:
            computable.append(metric)
    for one in skipped:
        log.info("skipped %s: %s", one.name, one.reason)
    features = _extract_features(systems, reference, computable, available, config)
    evaluations = [
        _evaluate_system(system, reference, computable, available, features, config, tuple(skipped)) for system in systems
    ]
    if not any(evaluation.results for evaluation in evaluations):
        first = evaluations[0].skipped[0] if evaluations[0].skipped else Skipped("none", "", "no metric was selected")
        raise ValueError(f"no metric can be computed; the first, {first.name}: {first.reason}")
    return evaluations


def _resolve_extractors(
    metrics: Sequence[Metric], config: EvaluationConfig
) -> tuple[dict[ExtractorClass, LazyExtractor], dict[ExtractorClass, str]]:
    """The extractors that are available, and why the others are not."""
    available: dict[ExtractorClass, LazyExtractor] = {}
    unavailable: dict[ExtractorClass, str] = {}
    for extractor in dict.fromkeys(extractor for metric in metrics for extractor in metric.extractors):
        try:
            available[extractor] = resolve_extractor(extractor, config.weights, config.device)
        except ValueError as error:
            # Missing or wrong weights are reported in the table; the other metrics are computed.
            unavailable[extractor] = str(error)
    return available, unavailable


def _reason_to_skip(metric: Metric, systems: Sequence[MediaSet], reference: "MediaSet | None") -> str:
    """Why a metric cannot be computed, as far as file headers tell; "" if it can."""
    if reference is None and isinstance(metric, Distance | ClipDistance | PairedScore):
        return "needs a reference"
    items = [item for system in systems for item in system.items]
    for extractor in metric.extractors:
        if extractor.input_spec.text and not any(item.caption for item in items):
            return "needs captions (clip.txt beside clip.mp4, or --captions FILE)"
        if extractor.input_spec.video and not any(item.source(extractor.input_spec).info.has_video for item in items):
            return "needs video, and no clip has any"
        if extractor.input_spec.audio and not any(item.source(extractor.input_spec).info.has_audio for item in items):
            return "needs audio, and no clip has any"
    if all(is_borrowed(metric, item) for item in items):
        stream = "video" if any(extractor.input_spec.video for extractor in metric.extractors) else "audio"
        return f"needs {stream} of the clips' own; they borrow it from the reference"
    return ""


def _extract_features(
    systems: Sequence[MediaSet],
    reference: "MediaSet | None",
    metrics: Sequence[Metric],
    available: dict[ExtractorClass, LazyExtractor],
    config: EvaluationConfig,
) -> Features:
    extractors = dict.fromkeys(extractor for metric in metrics for extractor in metric.extractors)
    items = [item for side in [*systems, *([reference] if reference else [])] for item in side.items]
    return extract(items, [available[extractor] for extractor in extractors], config.extraction)


def _evaluate_system(
    system: MediaSet,
    reference: "MediaSet | None",
    metrics: Sequence[Metric],
    available: dict[ExtractorClass, LazyExtractor],
    features: Features,
    config: EvaluationConfig,
    skipped: tuple[Skipped, ...],
) -> Evaluation:
    inputs = MetricInputs(system, reference, features, config.seed, config.resamples)
    protocol = config.extraction.protocol
    results = []
    for metric in [m for m in metrics if any(extractor in features.failures for extractor in m.extractors)]:
        reason = next(features.failures[extractor] for extractor in metric.extractors if extractor in features.failures)
        skipped = (*skipped, Skipped(metric.name, metric.family, reason))
    metrics = [metric for metric in metrics if not any(extractor in features.failures for extractor in metric.extractors)]
    for metric in progress.bar(metrics, desc=f"metrics of {system.title}", unit="metric", quiet=config.extraction.quiet):
        try:
            results.append(_compute_result(metric, inputs, available, protocol))
        except (TooFewClipsError, ValueError) as error:
            skipped = (*skipped, Skipped(metric.name, metric.family, " ".join(str(error).split())))
    shared: dict[str, Any] = {"seed": config.seed, "resamples": config.resamples, "device": config.device}
    common = record.evaluation_record(system, reference, protocol=protocol, **shared)
    warned = tuple(set_warnings(system, reference, protocol.to_record()))
    return Evaluation(system.title, tuple(results), skipped, warned, common)


def _compute_result(
    metric: Metric, inputs: MetricInputs, available: dict[ExtractorClass, LazyExtractor], protocol: Protocol
) -> Result:
    computed = compute(metric, inputs)
    own = metric.warn(protocol.info(inputs.generated.info))
    other = metric.warn(protocol.info(inputs.reference.info)) if inputs.reference else ""
    lines = [*([own] if own else []), *([f"reference: {other}"] if other and other != own else []), *computed.warnings]
    if computed.values.get("undefined"):
        lines.append(f"not defined for {computed.values['undefined']} of {len(computed.generated)} clips, which are left out")
    if computed.values.get("shuffled") and computed.values.get("low", 1.0) <= computed.values["floor"] <= computed.values["high"]:
        lines.append("not significantly different from shuffled partners: the floor lies in the interval")
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
        warnings=tuple(lines),
        record=record.metric_record(metric, available, computed.generated, computed.reference, protocol),
        **computed.values,
    )
    return replace(result, value=float(result.value))


def _measuring(*args: Any, how: "Extraction | None" = None, **options: Any) -> EvaluationConfig:
    """`EvaluationConfig` as it was called before, with `how=` in place of `extraction=`."""
    return EvaluationConfig(*args, **(options if how is None else {**options, "extraction": how}))


def __getattr__(name: str) -> Any:
    if name != "Measuring":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(f"{__name__}.Measuring is now EvaluationConfig; the old name will be removed", DeprecationWarning, stacklevel=2)
    return _measuring
