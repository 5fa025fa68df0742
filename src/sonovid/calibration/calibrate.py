"""Calibration of metrics: findings for a plan of known degradations, as JSON and Markdown."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sonovid.calibration import tables
from sonovid.calibration.features import Plan, extract_conditions
from sonovid.calibration.findings import Finding, OffsetErrors, compute_findings, estimate_offset_errors
from sonovid.core import progress
from sonovid.metrics.base import ClipDistance, Distance, Metric, SetInfo
from sonovid.metrics.cache import library_versions
from sonovid.metrics.lazy_extractor import LazyExtractor, resolve_extractor


@dataclass(frozen=True)
class Calibration:
    """The result of a calibration.

    Attributes:
        plan: the clips and conditions.
        findings: of every metric and degradation.
        estimates: errors of the metrics that estimate an offset in ms.
        skipped: metrics that were not calibrated by name, with the reason.
        warnings: of metrics by name.
    """

    plan: Plan
    findings: tuple[Finding, ...]
    estimates: tuple[OffsetErrors, ...]
    skipped: dict[str, str]
    warnings: dict[str, str]

    def to_json(self) -> str:
        """Everything as JSON text, with library versions."""
        plan = {name: str(value) if name in ("fps", "seconds") else value for name, value in asdict(self.plan).items()}
        record: dict[str, Any] = {
            "plan": {**plan, "rates": [str(rate) for rate in self.plan.rates]},
            "versions": library_versions(),
            "skipped": self.skipped,
            "warnings": self.warnings,
            "findings": [one.to_record() for one in self.findings],
            "estimates": [asdict(one) for one in self.estimates],
        }
        return json.dumps(record, indent=1) + "\n"

    def to_markdown(self) -> str:
        """The tables as Markdown."""
        plan = self.plan
        head = (
            f"{len(plan.clips)} clips of {float(plan.seconds):g} s ({plan.count} each of {', '.join(plan.worlds)}; seeds from "
            f"{plan.seed}), {plan.size}x{plan.size}, {float(plan.fps):g} frames per second."
        )
        parts = [head, tables.overview(self.findings, float(plan.fps))]
        if plan.rates and any(one.fps != float(plan.fps) for one in self.findings):
            parts += [
                "By frame rate: effects of shifting the audio early / late, and of another clip's audio.",
                tables.by_rate(self.findings),
            ]
        if self.estimates:
            parts += ["Errors of the offset in ms, over all shifts including 0.", tables.offset_error_table(self.estimates)]
        for lines, title in ((self.warnings, "warned"), (self.skipped, "skipped")):
            if lines:
                alike: dict[str, list[str]] = {}
                for name, line in lines.items():
                    alike.setdefault(line, []).append(name)
                parts.append("\n".join(f"- {title}: {', '.join(names)}: {line}" for line, names in alike.items()))
        return "\n\n".join(parts) + "\n"


def calibrate(plan: Plan, metrics: Sequence[Metric], *, weights: str | None = None, quiet: bool = True) -> Calibration:
    """Calibrate the metrics that can be computed here.

    Args:
        plan: the clips and conditions.
        metrics: what to calibrate.
        weights: the folder of weight files.
        quiet: show no progress bars.

    Raises:
        ValueError: no metric can be computed, no such world, or too few clips.
    """
    kinds = dict.fromkeys(extractor for metric in metrics for extractor in metric.extractors)
    at_hand: dict[type, LazyExtractor] = {}
    missing: dict[type, str] = {}
    for extractor in kinds:
        if extractor.input_spec.text:
            missing[extractor] = "uses captions, which no degradation changes"
        elif extractor.input_spec.video and extractor.input_spec.audio:
            missing[extractor] = "reads both streams at once, which cannot be swapped separately"
        else:
            try:
                at_hand[extractor] = resolve_extractor(extractor, weights)
            except ValueError as error:
                missing[extractor] = str(error)
    why = {m.name: next((missing[extractor] for extractor in m.extractors if extractor in missing), "") for m in metrics}
    usable = [metric for metric in metrics if not why[metric.name]]
    if not usable:
        raise ValueError(f"no metric can be computed; the first, {metrics[0].name}: {why[metrics[0].name]}")
    needed = dict.fromkeys(extractor for metric in usable for extractor in metric.extractors)
    with_reference = any(isinstance(metric, Distance | ClipDistance) for metric in usable)
    features = extract_conditions(plan, [at_hand[extractor] for extractor in needed], with_reference=with_reference, quiet=quiet)
    info = SetInfo(
        clips=len(plan.clips), seconds=float(plan.seconds), fps=float(plan.fps), size=(plan.size, plan.size), sample_rate=16000
    )
    findings: list[Finding] = []
    errors: list[OffsetErrors] = []
    for metric in progress.bar(usable, desc="metrics", unit="metric", quiet=quiet):
        findings += compute_findings(metric, features, seed=plan.seed)
        if metric.unit == "ms" and metric.better == "zero":
            errors += estimate_offset_errors(metric, features)
    return Calibration(
        plan,
        tuple(findings),
        tuple(errors),
        {name: line for name, line in why.items() if line},
        {metric.name: line for metric in usable if (line := metric.warn(info))},
    )
