"""Synchronisation metrics without networks: the variants of AV-Align, agreement of events, offsets, beats."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from sonovid.metrics import av_align, beats
from sonovid.metrics.alignment import agreement, peaks
from sonovid.metrics.base import Arrays, Better, ClipScore, Metric, PairedScore, SetInfo
from sonovid.metrics.extractors.peaks import Beats, MotionPeaks, MotionPeaks256, NativeRateOnsets, OnsetCurve, Onsets
from sonovid.metrics.offset import audio_curve, best_lag, offset, video_curve

# The window of AV-Align is one frame. Its sensitivity at 8, 16 and 25 frames per second is in docs/calibration.md.
LEAST_FPS, MOST_FPS = 12, 20
# A beat tracker needs several periods.
BEATS_SECONDS = 5.0
# Below this rate most offsets of known size are missed (docs/calibration.md).
OFFSET_FPS = 15
# The largest distance of matched events in seconds, for this package's own measures.
TOLERANCE = 0.1

YARIV = "Yariv et al. 2024"
Score = Callable[[Arrays, Arrays], float]


def window_warning(info: SetInfo) -> str:
    """Warn if the window of AV-Align, one frame, is too short or too long."""
    fps = info["fps"]
    if fps is None or LEAST_FPS <= fps <= MOST_FPS:
        return ""
    window = f"with {fps:g} frames per second the window is {1000 / fps:.0f} ms"
    if fps > MOST_FPS:
        return f"{window}: in calibration, audio 40 ms early scored higher than synchronous audio"
    return f"{window}: in calibration, an offset of 160 ms hardly lowered the score"


def beats_warning(info: SetInfo) -> str:
    """Warn if clips are too short for a beat tracker."""
    if info["seconds"] >= BEATS_SECONDS:
        return ""
    return f"clips of {info['seconds']:.2g} s are too short for a beat tracker, which needs {BEATS_SECONDS:g} s or more"


def wide_beats_warning(info: SetInfo) -> str:
    """Warn that a tolerance of half a second is too wide for most music."""
    return (
        beats_warning(info)
        or "with a tolerance of 500 ms every beat of 60 bpm or more is a hit: the chance level is 1, see _above_chance"
    )


def by_peaks(score: Callable[..., float]) -> Score:
    """Adapt a function of two lists of peaks and a frame rate to extracted arrays."""

    def of_arrays(audio: Arrays, video: Arrays) -> float:
        return float(score(audio["times"], video["times"], video["fps"][0]))

    return of_arrays


def precision(audio: Arrays, video: Arrays) -> float:
    """The share of audio peaks that coincide with a video peak; NaN without audio peaks."""
    found = av_align.count_coincidences(audio["times"], video["times"], video["fps"][0])
    return found.precision if found.audio else float("nan")


def recall(audio: Arrays, video: Arrays) -> float:
    """The share of video peaks that coincide with an audio peak; NaN without video peaks."""
    found = av_align.count_coincidences(audio["times"], video["times"], video["fps"][0])
    return found.recall if found.video else float("nan")


def with_least_flow(audio: Arrays, video: Arrays) -> float:
    """The TempoTokens 2025 variant, which ignores video peaks with little flow."""
    return av_align.tempotokens2025(audio["times"], video["times"], video["fps"][0], flow=video["heights"])


def motion_peaks(video: Arrays) -> np.ndarray:
    """The times of peaks of the frame difference, halfway between the frames, in seconds."""
    times = (np.arange(len(video["energy"])) - 0.5) / video["fps"][0]
    return peaks(times, video["energy"], apart=0.13, threshold=0.0)


def events_f1(found: np.ndarray, true: np.ndarray) -> float:
    """F1 of one-to-one pairs within 100 ms; NaN without any event."""
    return agreement([(found.tolist(), true.tolist())], TOLERANCE).f1 if len(found) + len(true) else float("nan")


def onsets_against_motion(audio: Arrays, video: Arrays) -> float:
    return events_f1(audio["onsets"], motion_peaks(video))


def onsets_against_partner(generated: Arrays, reference: Arrays) -> float:
    return events_f1(generated["onsets"], reference["onsets"])


def impacts(video: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """The strength of impacts at each frame (`extractors.peaks.Flow`), and its time in seconds."""
    return video["impacts"], np.arange(len(video["impacts"])) / video["fps"][0]


def motion(video: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """The frame difference, and the times halfway between frames in seconds."""
    return video["energy"][1:], (np.arange(1, len(video["energy"])) - 0.5) / video["fps"][0]


Curve = Callable[[Arrays], tuple[np.ndarray, np.ndarray]]


def curves(audio: Arrays, video: Arrays, curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """The audio curve and a video curve at the same times."""
    seconds, fps = float(min(audio["seconds"][0], video["seconds"][0])), float(video["fps"][0])
    return audio_curve(audio["strength"], audio["moments"], seconds, fps), video_curve(*curve(video), seconds)


def milliseconds(audio: Arrays, video: Arrays, *, curve: Curve) -> float:
    """The offset in milliseconds, positive if the audio is late; NaN if the curves correlate no better than by chance."""
    found = offset(*curves(audio, video, curve))
    return 1000 * found.seconds if found.confidence > 0 else float("nan")


def distance(audio: Arrays, video: Arrays, *, curve: Curve) -> float:
    """The absolute offset in milliseconds, whatever its confidence; NaN if a curve is flat."""
    return abs(1000 * best_lag(*curves(audio, video, curve))[0])


def confidence(audio: Arrays, video: Arrays, *, curve: Curve) -> float:
    return offset(*curves(audio, video, curve)).confidence


def median(values: np.ndarray) -> float:
    """The median over defined values. A mean would be dominated by wrong peaks, which are off by hundreds of milliseconds."""
    return float(np.nanmedian(values)) if np.isfinite(values).any() else float("nan")


def by_beats(value: Callable[[beats.Hits], float], tolerance: float) -> Score:
    """Adapt a value of `beats.Hits` to the arrays of a generated and a reference clip."""

    def of_arrays(generated: Arrays, reference: Arrays) -> float:
        return value(beats.hits(generated["beats"], reference["beats"], tolerance, float(reference["seconds"][0])))

    return of_arrays


def _aligned(
    name: str, what: str, score: Score, *, of: type = Onsets, to: type = MotionPeaks256, family: str = "av_align"
) -> Metric:
    return ClipScore(name, family, what, "higher", YARIV, of=of, to=to, score=score, warn=window_warning)


# Each variant uses the frame size of its authors: 256 pixels on the shorter side for Sony and JavisBench, the file's own size for
# TempoTokens, which takes several seconds of CPU time per second of HD video.
ALIGNED: tuple[Metric, ...] = (
    _aligned("av_align_sony", "AV-Align by precision and recall (Ishii et al. 2024)", by_peaks(av_align.sony)),
    _aligned("av_align_precision", "share of onsets that coincide with a peak of optical flow", precision),
    _aligned("av_align_recall", "share of peaks of optical flow that coincide with an onset", recall),
    _aligned("av_align_tempotokens2025", "AV-Align, one-to-one pairs, flow of at least 0.1 px", with_least_flow, to=MotionPeaks),
    _aligned(
        "av_align_tempotokens2023",
        "AV-Align as first released; may exceed 1",
        by_peaks(av_align.tempotokens2023),
        to=MotionPeaks,
    ),
    _aligned(
        "av_align_javisbench",
        "AV-Align, one-sided, onsets at the file's own sample rate; may exceed 1",
        by_peaks(av_align.javisbench),
        of=NativeRateOnsets,
    ),
    _aligned(
        "av_align_sony_own_size",
        "av_align_sony with optical flow at the file's own size: slow on large files",
        by_peaks(av_align.sony),
        to=MotionPeaks,
        family="av_align_own_size",
    ),
)

EVENTS: tuple[Metric, ...] = (
    ClipScore(
        "motion_onsets_f1",
        "events",
        "F1 of onsets and peaks of the frame difference, one-to-one pairs within 100 ms",
        "higher",
        of=OnsetCurve,
        to=MotionPeaks256,
        score=onsets_against_motion,
    ),
    PairedScore(
        "onsets_f1",
        "events",
        "F1 of onsets and the onsets of the partner, one-to-one pairs within 100 ms",
        "higher",
        extractor=OnsetCurve,
        score=onsets_against_partner,
    ),
)


def offset_warning(info: SetInfo) -> str:
    """Warn if the frame rate is too low to locate events in the video."""
    fps = info["fps"]
    if fps is None or fps >= OFFSET_FPS:
        return ""
    return f"at {fps:g} frames per second the time of an impact cannot be determined; {OFFSET_FPS} or more are needed"


def _offsets(suffix: str, what: str, curve: Curve) -> tuple[Metric, ...]:
    """The three metrics of one video curve."""
    parts: tuple[tuple[str, str, Better, str, Callable[..., float]], ...] = (
        ("offset", "offset of the audio, positive if it is late (median over clips)", "zero", "ms", milliseconds),
        ("offset_abs", "absolute offset of audio and video (median over clips)", "lower", "ms", distance),
        ("offset_confidence", "how far the correlation at the best lag exceeds chance", "higher", "", confidence),
    )
    metrics = []
    for name, about, better, unit, score in parts:
        whole = ClipScore(
            name + suffix,
            "offset",
            f"{about}, onsets against {what}",
            better,
            unit=unit,
            of=OnsetCurve,
            to=MotionPeaks256,
            score=partial(score, curve=curve),
            warn=offset_warning,
        )
        metrics.append(replace(whole, summary=median) if unit else whole)
    return tuple(metrics)


OFFSETS: tuple[Metric, ...] = (
    *_offsets("", "impacts", impacts),
    *_offsets("_by_motion", "the frame difference", motion),
)


def _beats(name: str, what: str, score: Score, source: str = "", better: Better = "higher") -> Metric:
    warn = wide_beats_warning if name == "beats_500ms" else beats_warning
    return PairedScore(name, "beats", what, better, source, extractor=Beats, score=score, warn=warn)


def _beats_within(milliseconds: int) -> tuple[Metric, ...]:
    name, tolerance = f"beats_{milliseconds}ms", milliseconds / 1000
    near = f"within {milliseconds} ms"
    return (
        _beats(
            name,
            f"share of the partner's beats with one {near}",
            by_beats(lambda it: it.recall_any, tolerance),
            "CMMD",
        ),
        _beats(
            f"{name}_above_chance",
            f"share of the partner's beats with one {near}, minus the hit rate of a random phase",
            by_beats(lambda it: it.recall_any - it.chance, tolerance),
        ),
        _beats(
            f"{name}_recall", f"share of the partner's beats, one-to-one pairs {near}", by_beats(lambda it: it.recall, tolerance)
        ),
        _beats(
            f"{name}_precision",
            f"share of the clip's own beats, one-to-one pairs {near}",
            by_beats(lambda it: it.precision, tolerance),
        ),
        _beats(f"{name}_f1", f"F1 of beats, one-to-one pairs {near}", by_beats(lambda it: it.f1, tolerance)),
    )


BEATS: tuple[Metric, ...] = (
    *_beats_within(100),
    *_beats_within(500),
    _beats(
        "beats_cdcd_coverage",
        "seconds with an onset, divided by those of the partner; above 1: more than in the partner",
        lambda generated, reference: beats.coverage(generated["bins"], reference["bins"]),
        "Zhu et al. 2023",
        "one",
    ),
    _beats(
        "beats_cdcd_hit",
        "share of the partner's seconds with an onset that have one in the clip too",
        lambda generated, reference: beats.hit_seconds(generated["bins"], reference["bins"]),
        "Zhu et al. 2023",
    ),
)

METRICS: tuple[Metric, ...] = (*ALIGNED, *EVENTS, *OFFSETS, *BEATS)
