"""Quality metrics of a single stream: temporal flickering of video, predicted opinions of speech and of any audio."""

from collections.abc import Callable

from sonovid.metrics.base import Arrays, ClipScore, Metric
from sonovid.metrics.extractors.audiobox import AudioboxAesthetics
from sonovid.metrics.extractors.dnsmos import NAMES, Dnsmos
from sonovid.metrics.extractors.steadiness import Steadiness

HUANG, REDDY, TJANDRA = "Huang et al. 2024", "Reddy et al. 2022", "Tjandra et al. 2025"


def flickering(own: Arrays, _: Arrays) -> float:
    """(255 - mean absolute difference of consecutive frames) / 255, in [0, 1] (VBench's temporal flickering)."""
    return (255 - float(own["change"].mean())) / 255


def opinion(name: str) -> Callable[[Arrays, Arrays], float]:
    """Select one of the opinions that a network predicts."""

    def of_arrays(own: Arrays, _: Arrays) -> float:
        return float(own[name][0])

    return of_arrays


WHAT = {
    "ovrl": "overall quality of speech, predicted mean opinion score from 1 to 5 (P.835)",
    "sig": "quality of the speech signal, predicted mean opinion score from 1 to 5 (P.835)",
    "bak": "quality of the background, predicted mean opinion score from 1 to 5 (P.835)",
    "p808": "quality of speech, predicted mean opinion score from 1 to 5 (P.808)",
}
# Name, axis, description.
AESTHETICS = (
    ("ce", "content enjoyment: emotional impact, artistic skill and expression"),
    ("cu", "content usefulness as material for further productions"),
    ("pc", "production complexity, the number of components of a scene (JavisBench: higher is better, Verse-Bench: lower)"),
    ("pq", "production quality: clarity, fidelity, dynamics, frequencies and spatial image"),
)
METRICS: tuple[Metric, ...] = (
    ClipScore(
        "temporal_flickering",
        "steadiness",
        "VBench's temporal flickering: 1 minus the mean absolute frame difference; a still image has 1",
        "higher",
        HUANG,
        of=Steadiness,
        to=Steadiness,
        score=flickering,
    ),
    *(
        ClipScore(f"dnsmos_{name}", "dnsmos", WHAT[name], "higher", REDDY, of=Dnsmos, to=Dnsmos, score=opinion(name))
        for name in NAMES
    ),
    *(
        ClipScore(
            f"audiobox_{axis}",
            "audiobox",
            f"{what}; predicted rating from 1 to 10",
            "higher",
            TJANDRA,
            of=AudioboxAesthetics,
            to=AudioboxAesthetics,
            score=opinion(axis),
        )
        for axis, what in AESTHETICS
    ),
)
