"""DriftReport: statistics of a long video window by window, and after which window they drift from the first one."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sonovid.core import renamed
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry, duration
from sonovid.metrics.alignment import agreement, motion_energy, peaks, sound_onsets
from sonovid.pipelines.continuation.crossfade import LEVEL_FLOOR
from sonovid.pipelines.continuation.source import sample_index

# 95th percentile of the distance of a window of a real clip from the first one of the same clip: 96 windows of 2 s of the scenes
# "hits" and "bounces" (benchmarks/packaged/continuation.py --allowed). Loudness in dB; centroid, detail and motion in octaves;
# colour and saturation in [0, 1]. Colour and saturation do not change in these scenes (0.001), so theirs is a barely visible one.
DEFAULT_THRESHOLDS = {"loudness": 7.5, "centroid": 0.65, "colour": 0.01, "saturation": 0.01, "detail": 0.08, "motion": 0.7}
# Largest distance, in seconds, between an onset and a motion peak of one event.
TOLERANCE = 0.1


@dataclass(frozen=True)
class WindowStatistics:
    """Statistics of one window.

    Args:
        begin: beginning of the window, in seconds.
        loudness: root mean square in dB of full scale, at least -60.
        centroid: spectral centroid in Hz, of magnitude spectra weighted by their power; None for silence.
        red, green, blue: mean of each channel, in [0, 1].
        saturation: mean difference between the largest and the smallest channel.
        detail: mean absolute difference of neighbouring pixels.
        motion: mean absolute difference of consecutive frames.
        onsets: number of audio onsets.
        moves: number of motion peaks.
        alignment: F1 of onsets and motion peaks within 100 ms; None where there are neither.
    """

    begin: float
    loudness: float
    centroid: float | None
    red: float
    green: float
    blue: float
    saturation: float
    detail: float
    motion: float
    onsets: int
    moves: int
    alignment: float | None


def measure_window(clip: Clip, begin: float | int = 0.0) -> WindowStatistics:
    """Compute the statistics of one window.

    Args:
        clip: a clip with frames and audio.
        begin: its beginning in the whole video, in seconds.
    """
    assert clip.frames is not None
    assert clip.waveform is not None
    mono = clip.waveform.mean(0).astype(np.float64)
    loudness = max(LEVEL_FLOOR, 10 * math.log10(float(np.square(mono).mean()) + 1e-12)) if len(mono) else LEVEL_FLOOR
    pixels = clip.frames.astype(np.float64) / 255
    red, green, blue = pixels.mean((0, 1, 2)).tolist()
    energy = motion_energy(clip.frames)
    times = (np.arange(len(energy)) - 0.5) / float(clip.fps)
    onsets = sound_onsets(mono, clip.sample_rate).tolist()
    moves = peaks(times, energy, apart=0.13, threshold=0.0).tolist()
    alignment = agreement([(onsets, moves)], TOLERANCE).f1 if onsets or moves else None
    return WindowStatistics(
        begin=float(begin),
        loudness=loudness,
        centroid=centroid(mono, clip.sample_rate) if loudness > LEVEL_FLOOR else None,
        red=red,
        green=green,
        blue=blue,
        saturation=float((pixels.max(-1) - pixels.min(-1)).mean()),
        detail=float(np.mean([np.abs(np.diff(pixels, axis=axis)).mean() for axis in (1, 2)])),
        motion=float(energy[1:].mean()) if len(energy) > 1 else 0.0,
        onsets=len(onsets),
        moves=len(moves),
        alignment=alignment,
    )


def centroid(waveform: np.ndarray, sample_rate: int, size: int = 512) -> float:
    """Spectral centroid in Hz: magnitude spectra of `size` samples, weighted by their power."""
    padded = np.pad(waveform, (0, -len(waveform) % size))
    spectra = np.abs(np.fft.rfft(padded.reshape(-1, size) * np.hanning(size)))
    magnitudes = (spectra * np.square(spectra).sum(1, keepdims=True)).sum(0)
    total = magnitudes.sum()
    return float((np.fft.rfftfreq(size, 1 / sample_rate) * magnitudes).sum() / total) if total > 0 else 0.0


def window_distances(one: WindowStatistics, other: WindowStatistics) -> dict[str, float | None]:
    """Distances between two windows, by the names of `DEFAULT_THRESHOLDS`; None for a statistic that one of them lacks."""

    def octaves(a: float, b: float, least: float) -> float:
        return abs(math.log2(max(a, least) / max(b, least)))

    colours = [np.array([m.red, m.green, m.blue]) for m in (one, other)]
    audible = one.centroid is not None and other.centroid is not None
    return {
        "loudness": abs(one.loudness - other.loudness),
        "centroid": octaves(one.centroid or 0.0, other.centroid or 0.0, 20.0) if audible else None,
        "colour": float(np.abs(colours[0] - colours[1]).max()),
        "saturation": abs(one.saturation - other.saturation),
        "detail": octaves(one.detail, other.detail, 1e-3),
        "motion": octaves(one.motion, other.motion, 1e-3),
    }


def calibrate_thresholds(clips: Iterable[Clip], own: Geometry, share: float = 0.95) -> dict[str, float]:
    """Thresholds from real clips: a quantile of the distances of their windows from their first window.

    Args:
        clips: clips of at least two windows, at the geometry's size and rates; shorter ones are ignored.
        own: geometry of a window.
        share: the quantile.

    Raises:
        ValueError: no clip is long enough.
    """
    distances: dict[str, list[float]] = {name: [] for name in DEFAULT_THRESHOLDS}
    for clip in clips:
        report = DriftReport(own, DEFAULT_THRESHOLDS)
        report.add(clip)
        for window in report.windows[1:]:
            for name, value in window_distances(report.windows[0], window).items():
                if value is not None:
                    distances[name].append(value)
    if not distances["loudness"]:
        raise ValueError(f"drift: no clip of two windows, {2 * float(own.seconds):g} s, from which to estimate thresholds")
    return {name: float(np.quantile(values, share)) if values else DEFAULT_THRESHOLDS[name] for name, values in distances.items()}


class DriftReport:
    """Measures a long video chunk by chunk. At most one incomplete window is kept in memory.

    Args:
        own: geometry of a window.
        thresholds: largest distance of a window from the first one; None: `DEFAULT_THRESHOLDS`. See `calibrate_thresholds`.

    Attributes:
        windows: statistics of each complete window.
        crossfades: configs of `CrossfadeReport`s, which the caller appends.
    """

    def __init__(self, own: Geometry, thresholds: Mapping[str, float] | None = None):
        self.own, self.thresholds = own, dict(DEFAULT_THRESHOLDS if thresholds is None else thresholds)
        self.windows: list[WindowStatistics] = []
        self.crossfades: list[dict[str, Any]] = []
        self._frames = np.zeros((0, own.height, own.width, 3), np.uint8)
        self._waveform = np.zeros(0, np.float32)

    def add(self, clip: Clip) -> None:
        """Append a chunk of any length; windows that it completes are measured."""
        assert clip.frames is not None
        assert clip.waveform is not None
        self._frames = np.concatenate([self._frames, clip.frames])
        self._waveform = np.concatenate([self._waveform, clip.waveform.mean(0)])
        own = self.own
        while len(self._frames) >= own.num_frames:
            first = len(self.windows) * own.num_frames
            samples = sample_index(first + own.num_frames, own) - sample_index(first, own)
            window = Clip(self._frames[: own.num_frames], self._waveform[None, :samples], own.fps, own.sample_rate)
            self.windows.append(measure_window(window, float(duration(first, own.fps))))
            self._frames, self._waveform = self._frames[own.num_frames :].copy(), self._waveform[samples:].copy()

    def exceeded(self) -> list[list[str]]:
        """For each window the statistics whose distance from the first window exceeds the threshold."""
        exceeded = []
        for window in self.windows:
            distances = window_distances(self.windows[0], window)
            exceeded.append(
                [name for name, limit in self.thresholds.items() if (value := distances[name]) is not None and value > limit]
            )
        return exceeded

    def drift_onsets(self) -> dict[str, int | None]:
        """For each statistic the number of windows before it drifts; None where it does not.

        A statistic drifts from the window on after which it exceeds its threshold to the end, in at least two windows.
        """
        exceeded = self.exceeded()
        return {name: _onset_of_lasting_run([name in one for one in exceeded]) for name in self.thresholds}

    def to_config(self) -> dict[str, Any]:
        """The report as plain values for JSON."""
        exceeded = self.exceeded()
        rows = [{**asdict(window), "far": names} for window, names in zip(self.windows, exceeded, strict=True)]
        return {
            "seconds_per_window": float(self.own.seconds),
            "windows": rows,
            "allowed": self.thresholds,
            "drifts_after": self.drift_onsets(),
            "joins": self.crossfades,
            "joins_within": sum(one["within"] for one in self.crossfades),
        }

    def table(self) -> str:
        """The report as a table of text, with `verdict` as its last line."""
        lines = [
            "window   from  loudness  centroid  colour (R G B)     saturation  detail  motion  events      F1  far from the first"
        ]
        for index, (one, names) in enumerate(zip(self.windows, self.exceeded(), strict=True)):
            pitch = "       -" if one.centroid is None else f"{one.centroid:5.0f} Hz"
            f1 = "   -" if one.alignment is None else f"{one.alignment:4.2f}"
            lines.append(
                f"{index + 1:6d} {one.begin:5.1f}s {one.loudness:6.1f} dB  {pitch}  {one.red:.3f} {one.green:.3f} {one.blue:.3f}"
                f"  {one.saturation:10.3f}  {one.detail:6.3f}  {one.motion:6.3f}  {one.onsets:2d} / {one.moves:2d}  {f1}"
                f"  {', '.join(names)}".rstrip()
            )
        return "\n".join([*lines, self.verdict()])

    def verdict(self) -> str:
        """One line: which statistics drift, and after which window."""
        onsets = {name: after for name, after in self.drift_onsets().items() if after is not None}
        if not onsets:
            far = sum(map(bool, self.exceeded()))
            note = f"; {far} of them exceeded a threshold, but not to the end" if far else ""
            return f"no drift in {len(self.windows)} windows{note}"
        named = ", ".join(f"{name} after {after}" for name, after in sorted(onsets.items(), key=lambda pair: pair[1]))
        return f"drifts after window {min(onsets.values())} of {len(self.windows)}: {named}"


def _onset_of_lasting_run(exceeded: Sequence[bool]) -> int | None:
    """The start of the run of True that lasts to the end; None where it is shorter than two."""
    start = len(exceeded)
    while start and exceeded[start - 1]:
        start -= 1
    return start if len(exceeded) - start >= 2 else None


__getattr__ = renamed.attributes(
    __name__, {"ALLOWED": "DEFAULT_THRESHOLDS", "Drift": "DriftReport", "allowed_by": "calibrate_thresholds"}
)
