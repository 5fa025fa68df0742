"""The metrics of synchrony that need no network: AV-Align in its forms, agreement of events, offsets, beats."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from sonovid.metrics import av_align, beats
from sonovid.metrics.alignment import agreement, peaks
from sonovid.metrics.base import Arrays, Better, ClipScore, Metric, PairedScore, SetFacts
from sonovid.metrics.extractors.peaks import Beats, PicturePeaks, PicturePeaks256, SoundCurve, SoundPeaks, SoundPeaksNative
from sonovid.metrics.offset import best_lag, offset, picture_curve, sound_curve

# The window of AV-Align is one frame. What it answers to at 8, 16 and 25 frames per second stands in docs/calibration.md.
LEAST_FPS, MOST_FPS = 12, 20
# A beat tracker needs several periods before it finds one.
BEATS_SECONDS = 5.0
# Below, most offsets of known size are missed (docs/calibration.md).
OFFSET_FPS = 15
# How far events may lie apart, in seconds, where the measure is this package's own.
TOLERANCE = 0.1

YARIV = "Yariv et al. 2024"
Score = Callable[[Arrays, Arrays], float]


def window_warning(facts: SetFacts) -> str:
    """Where the window of AV-Align, one frame, does not fit what it is to hold."""
    fps = facts["fps"]
    if fps is None or LEAST_FPS <= fps <= MOST_FPS:
        return ""
    window = f"with {fps:g} frames per second the window is {1000 / fps:.0f} ms"
    if fps > MOST_FPS:
        return f"{window}: in calibration a sound 40 ms early scored higher than one in time"
    return f"{window}: in calibration a sound 160 ms off scored hardly lower"


def beats_warning(facts: SetFacts) -> str:
    """Where a clip is too short for a beat tracker."""
    if facts["seconds"] >= BEATS_SECONDS:
        return ""
    return f"clips of {facts['seconds']:.2g} s are too short for a beat tracker, which wants {BEATS_SECONDS:g} s or more"


def wide_beats_warning(facts: SetFacts) -> str:
    """Where half a second either way is too wide, which it is for most music."""
    return beats_warning(facts) or "within 500 ms any beat of 60 a minute or more is a hit: chance alone is 1, see _above_chance"


def by_peaks(score: Callable[..., float]) -> Score:
    """A function of two lists of peaks and a frame rate, as one of what was extracted from a sound and from pictures."""

    def of_arrays(sound: Arrays, picture: Arrays) -> float:
        return float(score(sound["times"], picture["times"], picture["fps"][0]))

    return of_arrays


def precision(sound: Arrays, picture: Arrays) -> float:
    """The share of the sound's peaks near a peak of the pictures; NaN where it has none."""
    found = av_align.together(sound["times"], picture["times"], picture["fps"][0])
    return found.precision if found.sound else float("nan")


def recall(sound: Arrays, picture: Arrays) -> float:
    """The share of the pictures' peaks near a peak of the sound; NaN where they have none."""
    found = av_align.together(sound["times"], picture["times"], picture["fps"][0])
    return found.recall if found.picture else float("nan")


def with_least_flow(sound: Arrays, picture: Arrays) -> float:
    """TempoTokens' form since 2025, whose peaks of the pictures need some motion."""
    return av_align.tempotokens2025(sound["times"], picture["times"], picture["fps"][0], flow=picture["heights"])


def motion_peaks(picture: Arrays) -> np.ndarray:
    """Peaks of the change between frames, each at the moment between them, in seconds."""
    times = (np.arange(len(picture["energy"])) - 0.5) / picture["fps"][0]
    return peaks(times, picture["energy"], apart=0.13, threshold=0.0)


def events_f1(found: np.ndarray, true: np.ndarray) -> float:
    """F1 of one-to-one pairs within 100 ms; NaN where there is no event on either side."""
    return agreement([(found.tolist(), true.tolist())], TOLERANCE).f1 if len(found) + len(true) else float("nan")


def onsets_against_motion(sound: Arrays, picture: Arrays) -> float:
    return events_f1(sound["onsets"], motion_peaks(picture))


def onsets_against_partner(generated: Arrays, reference: Arrays) -> float:
    return events_f1(generated["onsets"], reference["onsets"])


def impacts(picture: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """What ends between one frame and the next, at the frame between, with its time in seconds."""
    return picture["impacts"], np.arange(len(picture["impacts"])) / picture["fps"][0]


def motion(picture: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """The change between frames, with the moments between them in seconds."""
    return picture["energy"][1:], (np.arange(1, len(picture["energy"])) - 0.5) / picture["fps"][0]


Curve = Callable[[Arrays], tuple[np.ndarray, np.ndarray]]


def curves(sound: Arrays, picture: Arrays, curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """The sound's curve and a curve of the pictures, at the same moments."""
    seconds, fps = float(min(sound["seconds"][0], picture["seconds"][0])), float(picture["fps"][0])
    return sound_curve(sound["strength"], sound["moments"], seconds, fps), picture_curve(*curve(picture), seconds)


def milliseconds(sound: Arrays, picture: Arrays, *, curve: Curve) -> float:
    """The offset, positive where the sound is late; NaN where the curves agree no better than by chance."""
    found = offset(*curves(sound, picture, curve))
    return 1000 * found.seconds if found.confidence > 0 else float("nan")


def distance(sound: Arrays, picture: Arrays, *, curve: Curve) -> float:
    """The size of the offset in milliseconds, whatever its confidence; NaN where nothing happens."""
    return abs(1000 * best_lag(*curves(sound, picture, curve))[0])


def confidence(sound: Arrays, picture: Arrays, *, curve: Curve) -> float:
    return offset(*curves(sound, picture, curve)).confidence


def median(values: np.ndarray) -> float:
    """Of the clips for which there is an offset: a single wrong peak lies hundreds of milliseconds away."""
    return float(np.nanmedian(values)) if np.isfinite(values).any() else float("nan")


def by_beats(value: Callable[[beats.Hits], float], tolerance: float) -> Score:
    """A value of the agreement of beats, as a function of what was extracted from a generated and a reference sound."""

    def of_arrays(generated: Arrays, reference: Arrays) -> float:
        return value(beats.hits(generated["beats"], reference["beats"], tolerance, float(reference["seconds"][0])))

    return of_arrays


def _aligned(
    name: str, what: str, score: Score, *, of: type = SoundPeaks, to: type = PicturePeaks256, family: str = "av_align"
) -> Metric:
    return ClipScore(name, family, what, "higher", YARIV, of=of, to=to, score=score, warn=window_warning)


# Flow is taken at the size that each form's authors take it at: Sony's and JavisBench's of pictures of 256 pixels on the shorter
# side, TempoTokens' of the file's own, which takes seconds of a processor for every second of HD.
ALIGNED: tuple[Metric, ...] = (
    _aligned("av_align_sony", "AV-Align by precision and recall (Ishii et al. 2024)", by_peaks(av_align.sony)),
    _aligned("av_align_precision", "share of onsets near a peak of motion", precision),
    _aligned("av_align_recall", "share of peaks of motion near an onset", recall),
    _aligned("av_align_tempotokens2025", "AV-Align, one to one, flow of 0.1 px and more", with_least_flow, to=PicturePeaks),
    _aligned(
        "av_align_tempotokens2023",
        "AV-Align as first released; may exceed 1",
        by_peaks(av_align.tempotokens2023),
        to=PicturePeaks,
    ),
    _aligned(
        "av_align_javisbench",
        "AV-Align, one-sided, onsets at the file's own sample rate; may exceed 1",
        by_peaks(av_align.javisbench),
        of=SoundPeaksNative,
    ),
    _aligned(
        "av_align_sony_own_size",
        "av_align_sony with the flow of frames as large as they are in the file: slow on large files",
        by_peaks(av_align.sony),
        to=PicturePeaks,
        family="av_align_own_size",
    ),
)

EVENTS: tuple[Metric, ...] = (
    ClipScore(
        "motion_onsets_f1",
        "events",
        "F1 of onsets and peaks of the change between frames, one to one within 100 ms",
        "higher",
        of=SoundCurve,
        to=PicturePeaks256,
        score=onsets_against_motion,
    ),
    PairedScore(
        "onsets_f1",
        "events",
        "F1 of onsets and those of the partner's sound, one to one within 100 ms",
        "higher",
        extractor=SoundCurve,
        score=onsets_against_partner,
    ),
)


def offset_warning(facts: SetFacts) -> str:
    """Where frames are too far apart to tell when something happens in them."""
    fps = facts["fps"]
    if fps is None or fps >= OFFSET_FPS:
        return ""
    return f"at {fps:g} frames per second the moment of an impact cannot be seen; {OFFSET_FPS} or more are needed"


def _offsets(suffix: str, what: str, curve: Curve) -> tuple[Metric, ...]:
    """The three numbers of one curve of the pictures."""
    parts: tuple[tuple[str, str, Better, str, Callable[..., float]], ...] = (
        ("offset", "how late the sound is (median over clips)", "zero", "ms", milliseconds),
        ("offset_abs", "how far sound and pictures lie apart (median over clips)", "lower", "ms", distance),
        ("offset_confidence", "how far the best lag agrees better than by chance", "higher", "", confidence),
    )
    made = []
    for name, about, better, unit, score in parts:
        whole = ClipScore(
            name + suffix,
            "offset",
            f"{about}, onsets against {what}",
            better,
            unit=unit,
            of=SoundCurve,
            to=PicturePeaks256,
            score=partial(score, curve=curve),
            warn=offset_warning,
        )
        made.append(replace(whole, summary=median) if unit else whole)
    return tuple(made)


OFFSETS: tuple[Metric, ...] = (
    *_offsets("", "impacts", impacts),
    *_offsets("_by_motion", "the change between frames", motion),
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
            f"share of the partner's beats with one {near}, less what a random phase hits",
            by_beats(lambda it: it.recall_any - it.chance, tolerance),
        ),
        _beats(f"{name}_recall", f"share of the partner's beats, one to one {near}", by_beats(lambda it: it.recall, tolerance)),
        _beats(f"{name}_precision", f"share of the own beats, one to one {near}", by_beats(lambda it: it.precision, tolerance)),
        _beats(f"{name}_f1", f"F measure of beats, one to one {near}", by_beats(lambda it: it.f1, tolerance)),
    )


BEATS: tuple[Metric, ...] = (
    *_beats_within(100),
    *_beats_within(500),
    _beats(
        "beats_cdcd_coverage",
        "seconds with an onset, over the partner's; above 1 there are more than in the partner",
        lambda generated, reference: beats.coverage(generated["bins"], reference["bins"]),
        "Zhu et al. 2023",
        "one",
    ),
    _beats(
        "beats_cdcd_hit",
        "share of the partner's seconds with an onset that have one here too",
        lambda generated, reference: beats.hit_seconds(generated["bins"], reference["bins"]),
        "Zhu et al. 2023",
    ),
)

METRICS: tuple[Metric, ...] = (*ALIGNED, *EVENTS, *OFFSETS, *BEATS)
