"""The metrics of the embedded extractors: distances of pictures and of sounds, and whether both are in time.

What they are good for, and what not, stands with their figures in docs/embedded-extractors.md.
"""

from sonovid.metrics.base import Arrays, ClipScore, Distance, Metric, SetFacts
from sonovid.metrics.extractors.embedded import FPS, SHORTEST, ScenesAudio, ScenesVideo, timing
from sonovid.metrics.frechet import frechet
from sonovid.metrics.kernels import kad, kvd

SOURCE = "this package; docs/embedded-extractors.md"


def in_time(video: Arrays, audio: Arrays) -> float:
    """How much the sound is in time with the pictures, in [0, 1]."""
    return timing(video["steps"], audio["steps"]).score


def offset(video: Arrays, audio: Arrays) -> float:
    """By how many ms the sound is late (negative: early); NaN where it does not seem to belong to the pictures."""
    return timing(video["steps"], audio["steps"]).offset


def _few_pictures(facts: SetFacts) -> str:
    fps = facts["fps"]
    return f"{fps:g} pictures a second show too little motion; it was made for {FPS} and more" if fps and fps < FPS - 1 else ""


def _short(facts: SetFacts) -> str:
    return f"clips shorter than {SHORTEST / FPS:g} s are left out" if facts["seconds"] < SHORTEST / FPS else ""


def _timing_warning(facts: SetFacts) -> str:
    return _short(facts) or _few_pictures(facts)


def lateness(fps: float | int) -> float:
    """By how many ms the pictures that are on screen at every 1/8 s are late, on average, in a file of this rate."""
    shown = [i * fps / FPS for i in range(8 * FPS)]
    return sum(place - int(place + 1e-6) for place in shown) / len(shown) / fps * 1000


def _offset_warning(facts: SetFacts) -> str:
    late = lateness(facts["fps"]) if facts["fps"] else 0.0
    early = f"at {facts['fps']:g} pictures a second sounds read about {late:.0f} ms early" if late > 5 else ""
    return _timing_warning(facts) or early


METRICS: tuple[Metric, ...] = (
    Distance(
        "fvd_scenes",
        "fvd",
        "Fréchet distance of the embedded network's features of pictures",
        "lower",
        SOURCE,
        extractor=ScenesVideo,
        distance=frechet,
        by_size=True,
        warn=_short,
    ),
    Distance(
        "kvd_scenes",
        "kvd",
        "unbiased cubic kernel distance of the embedded network's features of pictures",
        "lower",
        SOURCE,
        extractor=ScenesVideo,
        distance=kvd,
        warn=_short,
    ),
    Distance(
        "fad_scenes",
        "fad",
        "Fréchet distance of the embedded network's features of sounds",
        "lower",
        SOURCE,
        extractor=ScenesAudio,
        distance=frechet,
        by_size=True,
        warn=_short,
    ),
    Distance(
        "kad_scenes",
        "kad",
        "unbiased Gaussian kernel distance of the embedded network's features of sounds, times 100",
        "lower",
        SOURCE,
        extractor=ScenesAudio,
        distance=kad,
        warn=_short,
    ),
    ClipScore(
        "sync_scenes",
        "sync",
        "how probable it is that sound and pictures are in time, near misses counted in part",
        "higher",
        SOURCE,
        of=ScenesVideo,
        to=ScenesAudio,
        score=in_time,
        warn=_timing_warning,
    ),
    ClipScore(
        "offset_scenes",
        "sync",
        "by how much the sound is late; clips whose sound seems to belong elsewhere are left out",
        "zero",
        SOURCE,
        "ms",
        of=ScenesVideo,
        to=ScenesAudio,
        score=offset,
        warn=_offset_warning,
    ),
)
