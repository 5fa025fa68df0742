"""Peaks of a sound's onsets and of the pictures' motion, beats, and the curves they are read from. No network is involved.

The detectors are librosa's and OpenCV's, because published figures are theirs.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from sonovid.clip import Clip
from sonovid.geometry import duration
from sonovid.metrics.alignment import motion_energy, onset_strength, sound_onsets
from sonovid.metrics.base import Arrays, Extractor, Material, Missing, Reading, Unfit

# The arguments of OpenCV's dense optical flow (Farneback 2003) in every released AV-Align.
FARNEBACK: dict[str, Any] = {
    "pyr_scale": 0.5,
    "levels": 3,
    "winsize": 15,
    "iterations": 3,
    "poly_n": 5,
    "poly_sigma": 1.2,
    "flags": 0,
}
SAMPLE_RATE = 22050
# In which the flow is sorted to see where it stops.
DIRECTIONS = 8
# librosa's step between frames, in samples, and its window: shorter sounds have no spectrum.
HOP, WINDOW = 512, 2048


def needed(module: str) -> ModuleType:
    """librosa or cv2, imported when it is first needed.

    Raises:
        Missing: it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = {"cv2": "opencv-python-headless"}.get(module, module)
        raise Missing(f"{package} cannot be imported ({error}): pip install 'sonovid[eval]'") from None


class Flow(NamedTuple):
    """Curves of the optical flow, one value per frame.

    lengths [t]: mean length of the flow into a frame, in pixels per frame; the first frame has its successor's value. impacts
    [t]: how much of the motion into a frame does not go on into the next, in pixels per frame; 0 at both ends.
    """

    lengths: np.ndarray
    impacts: np.ndarray


def flow_curves(frames: UInt8[np.ndarray, "t h w 3"], *, least_side: int | None = None) -> Flow:
    """How much moves from frame to frame, by dense optical flow, and how abruptly it stops.

    Impacts are the deceleration in each of eight directions, summed (Davis and Agrawala 2018): something that lands,
    stops or turns back has one.

    least_side: frames are first scaled down (bilinear) so that their shorter side has this many pixels; None: as they are. The
    unit is a pixel of the scaled frame.
    """
    cv2 = needed("cv2")
    height, width = frames.shape[1:3]
    scale = 1.0 if least_side is None else min(1.0, least_side / min(height, width))
    size = (int(width * scale), int(height * scale))

    def grey(frame: np.ndarray) -> np.ndarray:
        if size != (width, height):
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
        return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)

    lengths, directions = np.zeros(len(frames)), np.zeros((len(frames), DIRECTIONS))
    before = grey(frames[0])
    for i in range(1, len(frames)):
        now = grey(frames[i])
        flow = cv2.calcOpticalFlowFarneback(before, now, None, **FARNEBACK)
        length, angle = cv2.cartToPolar(flow[..., 0], flow[..., 1])
        lengths[i] = np.hypot(flow[..., 0], flow[..., 1]).mean()
        # Directions are sectors about the axes and the diagonals.
        sector = np.rint(angle * (DIRECTIONS / (2 * np.pi))).astype(np.int64) % DIRECTIONS
        directions[i] = np.bincount(sector.ravel(), length.ravel(), DIRECTIONS) / length.size
        before = now
    impacts = np.zeros(len(frames))
    impacts[1:-1] = np.maximum(directions[1:-1] - directions[2:], 0).sum(1)
    lengths[:1] = lengths[1:2]
    return Flow(lengths, impacts)


def strict_peaks(values: Float[np.ndarray, "t"]) -> np.ndarray:
    """Indices of the values above both of their neighbours; a plateau has none."""
    return 1 + np.flatnonzero((values[1:-1] > values[:-2]) & (values[1:-1] > values[2:]))


def onset_times(waveform: Float[np.ndarray, "n"], sample_rate: int) -> np.ndarray:
    """Times in seconds of librosa's onsets, with its default settings."""
    librosa = needed("librosa")
    strength = librosa.onset.onset_strength(y=waveform, sr=sample_rate, hop_length=HOP)
    found = librosa.onset.onset_detect(onset_envelope=strength, sr=sample_rate, hop_length=HOP)
    return librosa.frames_to_time(found, sr=sample_rate, hop_length=HOP)


def beat_times(waveform: Float[np.ndarray, "n"], sample_rate: int) -> tuple[float, np.ndarray]:
    """The tempo in beats per minute and the times of the beats in seconds, by librosa's tracker (Ellis 2007) and its defaults."""
    librosa = needed("librosa")
    tempo, beats = librosa.beat.beat_track(y=waveform, sr=sample_rate, hop_length=HOP, units="time")
    # An array of one since librosa 0.10.
    return float(np.atleast_1d(tempo)[0]), np.asarray(beats, float)


def beat_seconds(waveform: Float[np.ndarray, "n"], sample_rate: int) -> np.ndarray:
    """For each second begun whether an onset lies in it (Zhu et al. 2023, released code): 0 or 1.

    What they call beats are onsets, not the beats of a tracker.
    """
    librosa = needed("librosa")
    found = librosa.onset.onset_detect(
        y=waveform, sr=sample_rate, hop_length=HOP, wait=1, delta=0.2, pre_avg=1, post_avg=1, post_max=1, units="time"
    )
    seconds = np.zeros(int(np.ceil(len(waveform) / sample_rate)))
    seconds[np.minimum(np.trunc(found).astype(int), len(seconds) - 1)] = 1
    return seconds


def sound_of(material: Material) -> tuple[np.ndarray, int]:
    """One channel [n] and its sample rate.

    Raises:
        Unfit: there is none, or it is too short, or holds values that are no numbers.
    """
    clip: Clip | None = material.clip
    if clip is None or clip.waveform is None:
        raise Unfit("it has no sound")
    waveform = clip.waveform.mean(0)
    if len(waveform) < WINDOW:
        raise Unfit(f"its sound has {len(waveform)} samples at {clip.sample_rate} Hz, onsets need {WINDOW}")
    if not np.isfinite(waveform).all():
        raise Unfit("its sound holds values that are no numbers (NaN or infinity)")
    return waveform, clip.sample_rate


def length(values: np.ndarray, rate: "Fraction | int") -> np.ndarray:
    """How long so many samples or frames last, in seconds, as an array of one."""
    return np.array([float(duration(len(values), rate))])


class PicturePeaks(Extractor):
    """Optical flow of the frames as they are in the file, at their own rate and size, and its peaks.

    A file whose frame rate varies is read at its average rate.
    Arrays: flow [t] and impacts [t] (`Flow`), energy [t] of `alignment.motion_energy`, times [k] of the peaks in seconds,
    heights [k] of the flow there, fps [1], seconds [1].
    """

    name = "farneback"
    what = "peaks of the mean optical flow (OpenCV, Farneback)"
    reading = Reading(video=True)
    settings: ClassVar[Mapping[str, Any]] = {"farneback": FARNEBACK, "least_side": None}

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        needed("cv2")

    def prepare(self, material: Material) -> Arrays:
        clip = material.clip
        if clip is None or clip.frames is None:
            raise Unfit("it has no pictures")
        if len(clip.frames) < 3:
            raise Unfit(f"it has {len(clip.frames)} frames, a peak of its motion needs 3")
        flow, impacts = flow_curves(clip.frames, least_side=self.settings["least_side"])
        found = strict_peaks(flow)
        return {
            "flow": flow,
            "impacts": impacts,
            "energy": motion_energy(clip.frames),
            "times": found / float(clip.fps),
            "heights": flow[found],
            "fps": np.array([float(clip.fps)]),
            "seconds": length(clip.frames, clip.fps),
        }


class PicturePeaks256(PicturePeaks):
    """The same on frames scaled down to 256 pixels on the shorter side: ten times faster on large files, and other numbers."""

    name = "farneback256"
    what = "the same on frames whose shorter side has 256 pixels at most"
    settings: ClassVar[Mapping[str, Any]] = {"farneback": FARNEBACK, "least_side": 256}


class SoundPeaks(Extractor):
    """Onsets of the sound at 22 050 Hz, mixed to one channel, its time stamps passed over.

    Arrays: times [k] in seconds, seconds [1].
    """

    name = "onsets"
    what = "onsets of the sound at 22 050 Hz (librosa)"
    reading = Reading(audio=True, sample_rate=SAMPLE_RATE, placed=False)
    settings: ClassVar[Mapping[str, Any]] = {"hop": HOP}

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        needed("librosa")

    def prepare(self, material: Material) -> Arrays:
        waveform, rate = sound_of(material)
        return {"times": onset_times(waveform, rate), "seconds": length(waveform, rate)}


class SoundPeaksNative(SoundPeaks):
    """The same at the file's own sample rate: finer steps, and more onsets."""

    name = "onsets_native"
    what = "onsets of the sound at the file's own sample rate (librosa)"
    reading = Reading(audio=True, placed=False)


class SoundCurve(Extractor):
    """How strongly the sound sets in at every moment, with the sound where its time stamps put it beside the pictures.

    Arrays: moments [l] (s) and strength [l] of `alignment.onset_strength`, onsets [k] of `alignment.sound_onsets` (s),
    seconds [1].
    """

    name = "curve"
    what = "strength of the sound's onsets at 16 kHz, every 5 ms"
    reading = Reading(audio=True, sample_rate=16000)

    def prepare(self, material: Material) -> Arrays:
        waveform, rate = sound_of(material)
        moments, strength = onset_strength(waveform, rate)
        return {
            "moments": moments,
            "strength": strength,
            "onsets": sound_onsets(waveform, rate),
            "seconds": length(waveform, rate),
        }


class Beats(Extractor):
    """Beats of the sound at 22 050 Hz, mixed to one channel, its time stamps passed over.

    Arrays: beats [k] in seconds, tempo [1] in beats per minute, bins [s], one per second begun (`beat_seconds`), seconds [1].
    """

    name = "beats"
    what = "beats of the sound at 22 050 Hz (librosa)"
    reading = Reading(audio=True, sample_rate=SAMPLE_RATE, placed=False)
    settings: ClassVar[Mapping[str, Any]] = {"hop": HOP}

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        needed("librosa")

    def prepare(self, material: Material) -> Arrays:
        waveform, rate = sound_of(material)
        tempo, beats = beat_times(waveform, rate)
        return {
            "beats": beats,
            "tempo": np.array([tempo]),
            "bins": beat_seconds(waveform, rate),
            "seconds": length(waveform, rate),
        }
