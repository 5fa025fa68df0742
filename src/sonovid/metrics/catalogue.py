"""All metrics by name and by family, and what each needs."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path

from sonovid.metrics.base import ClipDistance, Distance, Metric, Missing, PairedScore, SetFacts
from sonovid.metrics.extraction import ready
from sonovid.metrics.extractors.peaks import PicturePeaks
from sonovid.metrics.synchrony import BEATS_SECONDS, OFFSET_FPS

# Where METRICS are defined, in the order of tables.
MODULES = ("video", "audio", "semantic", "synchrony", "scenes", "reconstruction", "quality")
# Only for reconstructions, or too slow or too near to another to be computed without being named.
NOT_BY_DEFAULT = frozenset(["reconstruction", "av_align_own_size", "dnsmos"])
# Of a family with many rows those that stand for it by default.
HEADLINES = frozenset(["beats_100ms", "beats_100ms_above_chance"])
# Up to this shorter side in pixels, flow at the file's own size is computed without being named.
OWN_SIZE = 256
# Names that metrics had before: results and commands that hold them still mean the same number.
FORMER = {"av_align_sony_256": "av_align_sony", "av_align_256": "av_align_sony"}


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
    """The metrics that some names and families stand for, "NAME,FAMILY,..." or a list; None: all but a few that must be named.

    A word that is both stands for the family.

    Raises:
        ValueError: no such metric or family, and which come near.
    """
    if words is None:
        return [metric for metric in metrics().values() if metric.family not in NOT_BY_DEFAULT]
    chosen: dict[str, Metric] = {}
    for given in [w.strip().lower() for w in words.split(",")] if isinstance(words, str) else words:
        word = FORMER.get(given, given)
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


# Words by which captions speak of music.
MUSIC = re.compile(
    r"\b(music\w*|song|songs|sing\w*|danc\w*|drum\w*|guitar\w*|piano|violin|orchestra|band|melod\w*|beat|beats|rhythm\w*|choir)\b"
)


Reasons = list[tuple[Metric, str]]


def curated(metrics: Sequence[Metric], facts: SetFacts, captions: Sequence[str]) -> tuple[list[Metric], Reasons]:
    """What of a default selection says something about clips like these, and the rest with the reason.

    Beats are of music that lasts; of their twelve rows the hit rate and what it is above chance stand for all. Offsets need
    pictures close enough in time. Flow at the file's own size takes a processor's seconds for every second of large pictures.
    """
    music = facts["seconds"] >= BEATS_SECONDS and any(MUSIC.search(words.lower()) for words in captions)
    large = facts["size"] is not None and min(facts["size"]) > OWN_SIZE
    slow = facts["fps"] is not None and facts["fps"] < OFFSET_FPS
    kept: list[Metric] = []
    rest: Reasons = []
    for metric in metrics:
        reason = ""
        if metric.family == "beats" and (not music or metric.name not in HEADLINES):
            reason = "beats are of music: name them where captions do not" if not music else "a finer view of the beats: name it"
        elif metric.family == "offset" and slow:
            reason = f"below {OFFSET_FPS} frames per second the moment of an impact cannot be seen: name it"
        elif large and any(kind is PicturePeaks for kind in metric.extractors):
            reason = f"flow of pictures above {OWN_SIZE} pixels at their own size is slow: name it"
        if reason:
            rest.append((metric, reason))
        else:
            kept.append(metric)
    return kept, rest


def of_reconstructions(chosen: Sequence[Metric]) -> list[Metric]:
    """The same functions on reconstructions: distances under the names that papers give them there, rFVD, rKVD, rFAD."""
    return [
        replace(metric, name=f"r{metric.name}", what=f"{metric.what}; of reconstructions")
        if isinstance(metric, Distance)
        else metric
        for metric in chosen
    ]


@dataclass(frozen=True)
class Needs:
    """What a metric asks for beside the generated clips. missing: what is not at hand, in one line, or ""."""

    reference: bool
    pairs: bool
    captions: bool
    weights: tuple[str, ...]
    missing: str


def needs(metric: Metric, folder: "str | Path | None" = None) -> Needs:
    """What a metric needs, and whether its weights are at hand."""
    missing = ""
    try:
        for kind in metric.extractors:
            ready(kind, folder)
    except (Missing, ValueError) as error:
        missing = str(error)
    return Needs(
        reference=isinstance(metric, Distance | ClipDistance | PairedScore),
        pairs=isinstance(metric, PairedScore),
        captions=any(kind.reading.text for kind in metric.extractors),
        weights=tuple(f"{file.name} from {file.source}" for kind in metric.extractors for file in kind.weights),
        missing=missing,
    )
