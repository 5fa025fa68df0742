"""Drift: what a long video sounds and looks like window by window, and after which window it is no longer what it began as."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry, duration
from sonovid.metrics.alignment import agreement, motion_energy, peaks, sound_onsets
from sonovid.pipelines.continuation.crossfade import LEVEL_FLOOR
from sonovid.pipelines.continuation.source import sample_index

# How far a window of a real clip lies from the first of the same clip, in 95 of 100 cases: 96 windows of 2 s of scenes of hits
# and bounces (benchmarks/packaged/continuation.py --allowed). Levels in dB; centroid, detail and motion in octaves; colour and saturation
# of 1, which in those scenes do not move at all (0.001): what the eye hardly sees stands for them.
DEFAULT_THRESHOLDS = {"loudness": 7.5, "centroid": 0.65, "colour": 0.01, "saturation": 0.01, "detail": 0.08, "motion": 0.7}
# How far an onset and a movement may lie apart, in seconds, to be one event.
TOLERANCE = 0.1


@dataclass(frozen=True)
class WindowStatistics:
    """One window. None where there is nothing to measure: no sound, no events.

    begin: in seconds. loudness: root mean square in dB of full scale, at least -60. centroid: of the magnitudes of the spectrum,
    in Hz, spectra weighted by their power. red, green, blue: means in [0, 1]. saturation: mean difference of the largest and the
    smallest of the three. detail: mean absolute difference of neighbouring pixels. motion: of neighbouring pictures. onsets,
    moves: how often a sound sets in and a movement peaks. alignment: F1 of the two within 100 ms.
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
    """What one window with pictures and sound is like."""
    assert clip.frames is not None
    assert clip.waveform is not None
    sound = clip.waveform.mean(0).astype(np.float64)
    loudness = max(LEVEL_FLOOR, 10 * math.log10(float(np.square(sound).mean()) + 1e-12)) if len(sound) else LEVEL_FLOOR
    pixels = clip.frames.astype(np.float64) / 255
    red, green, blue = pixels.mean((0, 1, 2)).tolist()
    energy = motion_energy(clip.frames)
    times = (np.arange(len(energy)) - 0.5) / float(clip.fps)
    onsets = sound_onsets(sound, clip.sample_rate).tolist()
    moves = peaks(times, energy, apart=0.13, threshold=0.0).tolist()
    found = agreement([(onsets, moves)], TOLERANCE).f1 if onsets or moves else None
    return WindowStatistics(
        begin=float(begin),
        loudness=loudness,
        centroid=centroid(sound, clip.sample_rate) if loudness > LEVEL_FLOOR else None,
        red=red,
        green=green,
        blue=blue,
        saturation=float((pixels.max(-1) - pixels.min(-1)).mean()),
        detail=float(np.mean([np.abs(np.diff(pixels, axis=axis)).mean() for axis in (1, 2)])),
        motion=float(energy[1:].mean()) if len(energy) > 1 else 0.0,
        onsets=len(onsets),
        moves=len(moves),
        alignment=found,
    )


def centroid(sound: np.ndarray, sample_rate: int, size: int = 512) -> float:
    """The centre of the spectrum in Hz, by magnitude, spectra of `size` samples weighted by their power."""
    padded = np.pad(sound, (0, -len(sound) % size))
    spectra = np.abs(np.fft.rfft(padded.reshape(-1, size) * np.hanning(size)))
    magnitudes = (spectra * np.square(spectra).sum(1, keepdims=True)).sum(0)
    total = magnitudes.sum()
    return float((np.fft.rfftfreq(size, 1 / sample_rate) * magnitudes).sum() / total) if total > 0 else 0.0


def window_distances(one: WindowStatistics, other: WindowStatistics) -> dict[str, float | None]:
    """How far two windows lie apart, by the names of `ALLOWED`; None where one of them has nothing to measure."""

    def octaves(a: float, b: float, least: float) -> float:
        return abs(math.log2(max(a, least) / max(b, least)))

    colours = [np.array([m.red, m.green, m.blue]) for m in (one, other)]
    heard = one.centroid is not None and other.centroid is not None
    return {
        "loudness": abs(one.loudness - other.loudness),
        "centroid": octaves(one.centroid or 0.0, other.centroid or 0.0, 20.0) if heard else None,
        "colour": float(np.abs(colours[0] - colours[1]).max()),
        "saturation": abs(one.saturation - other.saturation),
        "detail": octaves(one.detail, other.detail, 1e-3),
        "motion": octaves(one.motion, other.motion, 1e-3),
    }


def calibrate_thresholds(clips: Iterable[Clip], own: Geometry, share: float = 0.95) -> dict[str, float]:
    """How far windows of real clips lie from the first of their own clip, in `share` of the cases.

    clips: of two windows at least, at the geometry's size and rates; shorter ones say nothing and are left out.

    Raises:
        ValueError: none is long enough.
    """
    found: dict[str, list[float]] = {name: [] for name in DEFAULT_THRESHOLDS}
    for clip in clips:
        report = DriftReport(own, DEFAULT_THRESHOLDS)
        report.add(clip)
        for window in report.windows[1:]:
            for name, value in window_distances(report.windows[0], window).items():
                if value is not None:
                    found[name].append(value)
    if not found["loudness"]:
        raise ValueError(f"drift: no clip of two windows, {2 * float(own.seconds):g} s, to see how much real clips vary")
    return {name: float(np.quantile(values, share)) if values else DEFAULT_THRESHOLDS[name] for name, values in found.items()}


class DriftReport:
    """A report that grows with a long video: its windows measured one by one, the pictures and the sound of one kept at a time.

    own: size, rates and length of a window. allowed: how far a window may lie from the first, see `ALLOWED` and `allowed_by`.
    """

    def __init__(self, own: Geometry, allowed: Mapping[str, float] | None = None):
        self.own, self.allowed = own, dict(DEFAULT_THRESHOLDS if allowed is None else allowed)
        self.windows: list[WindowStatistics] = []
        self.crossfades: list[dict[str, Any]] = []
        self._frames = np.zeros((0, own.height, own.width, 3), np.uint8)
        self._sound = np.zeros(0, np.float32)

    def add(self, clip: Clip) -> None:
        """What follows; every window that is whole is measured."""
        assert clip.frames is not None
        assert clip.waveform is not None
        self._frames = np.concatenate([self._frames, clip.frames])
        self._sound = np.concatenate([self._sound, clip.waveform.mean(0)])
        own = self.own
        while len(self._frames) >= own.num_frames:
            first = len(self.windows) * own.num_frames
            samples = sample_index(first + own.num_frames, own) - sample_index(first, own)
            window = Clip(self._frames[: own.num_frames], self._sound[None, :samples], own.fps, own.sample_rate)
            self.windows.append(measure_window(window, float(duration(first, own.fps))))
            self._frames, self._sound = self._frames[own.num_frames :].copy(), self._sound[samples:].copy()

    def far(self) -> list[list[str]]:
        """For each window in what it lies further from the first than is allowed."""
        found = []
        for window in self.windows:
            apart = window_distances(self.windows[0], window)
            found.append([name for name, most in self.allowed.items() if (value := apart[name]) is not None and value > most])
        return found

    def drifts(self) -> dict[str, int | None]:
        """After how many windows each measure has left what is allowed for good; None where it has not.

        For good: it is outside from there to the end, for two windows at least.
        """
        far = self.far()
        return {name: _onset_of_lasting_run([name in one for one in far]) for name in self.allowed}

    def to_config(self) -> dict[str, Any]:
        """The report as plain values for JSON."""
        far = self.far()
        rows = [{**asdict(window), "far": names} for window, names in zip(self.windows, far, strict=True)]
        return {
            "seconds_per_window": float(self.own.seconds),
            "windows": rows,
            "allowed": self.allowed,
            "drifts_after": self.drifts(),
            "joins": self.crossfades,
            "joins_within": sum(join["within"] for join in self.crossfades),
        }

    def table(self) -> str:
        """The report in a few columns, and a line that says what drifted."""
        lines = [
            "window   from  loudness  centroid  colour (R G B)     saturation  detail  motion  events      F1  far from the first"
        ]
        for index, (one, names) in enumerate(zip(self.windows, self.far(), strict=True)):
            pitch = "       -" if one.centroid is None else f"{one.centroid:5.0f} Hz"
            agreed = "   -" if one.alignment is None else f"{one.alignment:4.2f}"
            lines.append(
                f"{index + 1:6d} {one.begin:5.1f}s {one.loudness:6.1f} dB  {pitch}  {one.red:.3f} {one.green:.3f} {one.blue:.3f}"
                f"  {one.saturation:10.3f}  {one.detail:6.3f}  {one.motion:6.3f}  {one.onsets:2d} / {one.moves:2d}  {agreed}"
                f"  {', '.join(names)}".rstrip()
            )
        return "\n".join([*lines, self.verdict()])

    def verdict(self) -> str:
        """One line: what has drifted, and after which window."""
        gone = {name: after for name, after in self.drifts().items() if after is not None}
        if not gone:
            far = sum(map(bool, self.far()))
            away = f"; {far} of them further from the first than allowed, and back again" if far else ""
            return f"no drift in {len(self.windows)} windows{away}"
        named = ", ".join(f"{name} after {after}" for name, after in sorted(gone.items(), key=lambda pair: pair[1]))
        return f"drifts after window {min(gone.values())} of {len(self.windows)}: {named}"


def _onset_of_lasting_run(outside: Sequence[bool]) -> int | None:
    """How many come before the run of True that lasts to the end, where it is of two at least."""
    run = len(outside)
    while run and outside[run - 1]:
        run -= 1
    return run if len(outside) - run >= 2 else None
