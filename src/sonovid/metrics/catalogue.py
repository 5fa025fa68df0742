"""All metrics by name and by family, and what each requires."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path

from sonovid.metrics.base import ClipDistance, Distance, Metric, PairedScore, SetInfo, UnavailableError
from sonovid.metrics.extractors.peaks import MotionPeaks
from sonovid.metrics.lazy_extractor import resolve_extractor
from sonovid.metrics.synchrony import BEATS_SECONDS, OFFSET_FPS

# The modules that define METRICS, in the order of tables.
MODULES = ("video", "audio", "semantic", "synchrony", "scenes", "reconstruction", "quality")
# Families computed only when named: for reconstructions or faces only, too slow, or close to another metric.
NOT_BY_DEFAULT = frozenset(["reconstruction", "av_align_own_size", "dnsmos", "birdnet", "lse"])
# The metrics of the family "beats" that are computed by default.
DEFAULT_BEATS = frozenset(["beats_100ms", "beats_100ms_above_chance"])
# Above this shorter side in pixels, optical flow at full size is computed only when named.
MAX_DEFAULT_SIDE = 256
# Earlier names of metrics. Results and commands that contain them mean the same number.
RENAMED_METRICS = {"av_align_sony_256": "av_align_sony", "av_align_256": "av_align_sony"}


@cache
def metrics() -> dict[str, Metric]:
    """All metrics by name."""
    found: dict[str, Metric] = {}
    for module in MODULES:
        for metric in import_module(f"sonovid.metrics.{module}").METRICS:
            assert metric.name not in found, f"two metrics are named {metric.name}"
            found[metric.name] = metric
    return found


def families() -> dict[str, list[str]]:
    """The names of the metrics of each family."""
    found: dict[str, list[str]] = {}
    for metric in metrics().values():
        found.setdefault(metric.family, []).append(metric.name)
    return found


def select(words: "str | Sequence[str] | None" = None) -> list[Metric]:
    """Select metrics by name and family.

    Args:
        words: "NAME,FAMILY,..." or a list; None: all metrics except the families of `NOT_BY_DEFAULT`. A word that is both a name
            and a family means the family.

    Raises:
        ValueError: no such metric or family; the message suggests similar names.
    """
    if words is None:
        return [metric for metric in metrics().values() if metric.family not in NOT_BY_DEFAULT]
    chosen: dict[str, Metric] = {}
    for name in [w.strip().lower() for w in words.split(",")] if isinstance(words, str) else words:
        word = RENAMED_METRICS.get(name, name)
        names = families().get(word, [])
        if word in metrics() and word not in names:
            names = [word]
        if not names:
            known = [*metrics(), *families()]
            near = (
                difflib.get_close_matches(word, known, 3, 0.5)
                or [name for name in known if word and name.startswith(word[:3])][:3]
            )
            did = f"did you mean {', '.join(near)}?" if near else f"families: {', '.join(families())}"
            raise ValueError(f"metric {word!r}: no such metric or family; {did} (sonovid metrics all lists them)")
        chosen |= {name: metrics()[name] for name in names}
    return list(chosen.values())


# Captions that contain one of these words describe music.
MUSIC_WORDS = re.compile(
    r"\b(music\w*|song|songs|sing\w*|danc\w*|drum\w*|guitar\w*|piano|violin|orchestra|band|melod\w*|beat|beats|rhythm\w*|choir)\b"
)


Reasons = list[tuple[Metric, str]]


def filter_default_metrics(metrics: Sequence[Metric], info: SetInfo, captions: Sequence[str]) -> tuple[list[Metric], Reasons]:
    """Split a default selection into the metrics that are informative for a set of clips, and the rest with the reasons.

    Beats need music of some length; of the family's twelve metrics only the hit rate and its excess over chance are kept. Offsets
    need a sufficient frame rate. Optical flow at full size takes several seconds of CPU time per second of large video.

    Args:
        metrics: the selection.
        info: the properties of the set.
        captions: the captions of its clips.
    """
    music = info["seconds"] >= BEATS_SECONDS and any(MUSIC_WORDS.search(words.lower()) for words in captions)
    large = info["size"] is not None and min(info["size"]) > MAX_DEFAULT_SIDE
    slow = info["fps"] is not None and info["fps"] < OFFSET_FPS
    kept: list[Metric] = []
    rest: Reasons = []
    for metric in metrics:
        reason = ""
        if metric.family == "beats" and (not music or metric.name not in DEFAULT_BEATS):
            reason = (
                "beats are of music: name them if captions do not mention it" if not music else "a detail of the beats: name it"
            )
        elif metric.family == "offset" and slow:
            reason = f"below {OFFSET_FPS} frames per second the time of an impact cannot be determined: name it"
        elif large and any(extractor is MotionPeaks for extractor in metric.extractors):
            reason = f"optical flow at full size is slow above {MAX_DEFAULT_SIDE} pixels: name it"
        if reason:
            rest.append((metric, reason))
        else:
            kept.append(metric)
    return kept, rest


def reconstruction_metrics(chosen: Sequence[Metric]) -> list[Metric]:
    """Metrics for reconstructions: distances get the prefix "r" that papers use (rFVD, rKVD, rFAD)."""
    return [
        replace(metric, name=f"r{metric.name}", what=f"{metric.what}; of reconstructions")
        if isinstance(metric, Distance)
        else metric
        for metric in chosen
    ]


@dataclass(frozen=True)
class MetricRequirements:
    """What a metric requires besides the generated clips.

    Attributes:
        reference: a reference set.
        pairs: a reference with clips of the same names.
        captions: captions.
        weights: weight files, and where to get them.
        missing: which weights or library are missing, in one line, or "".
    """

    reference: bool
    pairs: bool
    captions: bool
    weights: tuple[str, ...]
    missing: str


def metric_requirements(metric: Metric, folder: "str | Path | None" = None) -> MetricRequirements:
    """What a metric requires, and whether its weights are available."""
    missing = ""
    try:
        for extractor in metric.extractors:
            resolve_extractor(extractor, folder)
    except (UnavailableError, ValueError) as error:
        missing = str(error)
    return MetricRequirements(
        reference=isinstance(metric, Distance | ClipDistance | PairedScore),
        pairs=isinstance(metric, PairedScore),
        captions=any(extractor.input_spec.text for extractor in metric.extractors),
        weights=tuple(f"{file.name} from {file.source}" for extractor in metric.extractors for file in extractor.weights),
        missing=missing,
    )
