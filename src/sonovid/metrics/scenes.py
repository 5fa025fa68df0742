"""Metrics of the embedded extractors: distances of video and of audio, and their synchronisation.

docs/embedded-extractors.md says what they are suited for.
"""

from sonovid.metrics.base import Arrays, ClipScore, Distance, Metric, SetInfo
from sonovid.metrics.extractors.embedded import FPS, SHORTEST, ScenesAudio, ScenesVideo, timing
from sonovid.metrics.frechet import frechet
from sonovid.metrics.kernels import kad, kvd

SOURCE = "this package; docs/embedded-extractors.md"


def in_time(video: Arrays, audio: Arrays) -> float:
    """The degree of synchronisation of audio and video, in [0, 1]."""
    return timing(video["steps"], audio["steps"]).score


def offset(video: Arrays, audio: Arrays) -> float:
    """The offset of the audio in ms (positive: late); NaN if audio and video look unrelated."""
    return timing(video["steps"], audio["steps"]).offset


def _few_pictures(info: SetInfo) -> str:
    fps = info["fps"]
    return f"{fps:g} frames per second show too little motion; the network needs {FPS} or more" if fps and fps < FPS - 1 else ""


def _short(info: SetInfo) -> str:
    return f"clips shorter than {SHORTEST / FPS:g} s are left out" if info["seconds"] < SHORTEST / FPS else ""


def _timing_warning(info: SetInfo) -> str:
    return _short(info) or _few_pictures(info)


def lateness(fps: float | int) -> float:
    """The mean delay in ms of the frame on screen at each multiple of 1/8 s, in a file of this frame rate."""
    shown = [i * fps / FPS for i in range(8 * FPS)]
    return sum(place - int(place + 1e-6) for place in shown) / len(shown) / fps * 1000


def _offset_warning(info: SetInfo) -> str:
    late = lateness(info["fps"]) if info["fps"] else 0.0
    early = f"at {info['fps']:g} frames per second the audio seems about {late:.0f} ms early" if late > 5 else ""
    return _timing_warning(info) or early


METRICS: tuple[Metric, ...] = (
    Distance(
        "fvd_scenes",
        "fvd",
        "Fréchet distance of the embedded network's video features",
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
        "unbiased cubic kernel distance of the embedded network's video features",
        "lower",
        SOURCE,
        extractor=ScenesVideo,
        distance=kvd,
        warn=_short,
    ),
    Distance(
        "fad_scenes",
        "fad",
        "Fréchet distance of the embedded network's audio features",
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
        "unbiased Gaussian kernel distance of the embedded network's audio features, times 100",
        "lower",
        SOURCE,
        extractor=ScenesAudio,
        distance=kad,
        warn=_short,
    ),
    ClipScore(
        "sync_scenes",
        "sync",
        "probability that audio and video are synchronous; small offsets count in part",
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
        "offset of the audio, positive if it is late; clips whose streams look unrelated are left out",
        "zero",
        SOURCE,
        "ms",
        of=ScenesVideo,
        to=ScenesAudio,
        score=offset,
        warn=_offset_warning,
    ),
)
