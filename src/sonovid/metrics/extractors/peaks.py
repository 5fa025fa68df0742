"""Peaks of a sound's onsets and of the pictures' motion, beats, and the curves they are read from. No network is involved.

The detectors are librosa's and OpenCV's, because published figures are theirs.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from sonovid.core.clip import Clip
from sonovid.core.geometry import duration
from sonovid.metrics.alignment import change, grey, onset_strength, sound_onsets
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
    [t]: how much of the motion into a frame does not go on into the next, in pixels per frame; 0 at both ends. energy [t]: of
    `alignment.motion_energy`, of the frames that the flow is taken of.
    """

    lengths: np.ndarray
    impacts: np.ndarray
    energy: np.ndarray


def flow_curves(frames: Iterable[UInt8[np.ndarray, "h w 3"]], *, least_side: int | None = None) -> Flow:
    """How much moves from frame to frame, by dense optical flow, and how abruptly it stops.

    Impacts are the deceleration in each of eight directions, summed (Davis and Agrawala 2018): something that lands,
    stops or turns back has one.

    Args:
        frames: uint8 [t h w 3], or an iterable of frames [h w 3] of one size, of which two at a time are held.
        least_side: frames are first scaled down (bilinear) so that their shorter side has this many pixels; None: as they are.
            The unit is a pixel of the scaled frame.
    """
    cv2 = needed("cv2")
    lengths: list[float] = []
    energy: list[float] = []
    directions: list[np.ndarray] = []
    before: tuple[np.ndarray, np.ndarray] | None = None
    for frame in frames:
        small = scaled_down(frame, least_side)
        now = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), grey(small)
        if before is None:
            lengths.append(0.0)
            energy.append(0.0)
            directions.append(np.zeros(DIRECTIONS))
        else:
            flow = cv2.calcOpticalFlowFarneback(before[0], now[0], None, **FARNEBACK)
            length, angle = cv2.cartToPolar(flow[..., 0], flow[..., 1])
            lengths.append(float(np.hypot(flow[..., 0], flow[..., 1]).mean()))
            energy.append(change(before[1], now[1]))
            # Directions are sectors about the axes and the diagonals.
            sector = np.rint(angle * (DIRECTIONS / (2 * np.pi))).astype(np.int64) % DIRECTIONS
            directions.append(np.bincount(sector.ravel(), length.ravel(), DIRECTIONS) / length.size)
        before = now
    towards = np.array(directions).reshape(-1, DIRECTIONS)
    impacts = np.zeros(len(lengths))
    impacts[1:-1] = np.maximum(towards[1:-1] - towards[2:], 0).sum(1)
    lengths[:1] = lengths[1:2]
    return Flow(np.array(lengths), impacts, np.array(energy))


def scaled_down(frame: UInt8[np.ndarray, "h w 3"], least_side: int | None) -> UInt8[np.ndarray, "h2 w2 3"]:
    """A frame whose shorter side has at most `least_side` pixels (OpenCV, bilinear); None: the frame itself."""
    height, width = frame.shape[:2]
    if least_side is None or min(height, width) <= least_side:
        return frame
    cv2 = needed("cv2")
    scale = least_side / min(height, width)
    return cv2.resize(frame, (int(width * scale), int(height * scale)), interpolation=cv2.INTER_LINEAR)


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


def pictures_of(material: Material, least: int) -> tuple[Iterable[np.ndarray], Fraction]:
    """Frames [h w 3] to be gone through once, and how many there are a second.

    Raises:
        Unfit: there are none, or fewer than `least`.
    """
    if material.stream is not None:
        count, frames, fps = material.stream.num_frames, material.stream.frames, material.stream.fps
    elif material.clip is not None and material.clip.frames is not None:
        count, frames, fps = len(material.clip.frames), iter(material.clip.frames), material.clip.fps
    else:
        raise Unfit("it has no pictures")
    if count < least:
        raise Unfit(f"it has {count} frames, a peak of its motion needs {least}")
    return frames, fps


class PicturePeaks(Extractor):
    """Optical flow of the frames as they are in the file, at their own rate and size, and its peaks (TempoTokens' way).

    A file whose frame rate varies is read at its average rate.
    Arrays: flow [t], impacts [t] and energy [t] (`Flow`), times [k] of the peaks in seconds, heights [k] of the flow there,
    fps [1], seconds [1].
    """

    name = "farneback"
    what = "peaks of the mean optical flow (OpenCV, Farneback)"
    version = "2"
    reading = Reading(video=True, streamed=True)
    settings: ClassVar[Mapping[str, Any]] = {"farneback": FARNEBACK, "least_side": None}

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        needed("cv2")

    def prepare(self, material: Material) -> Arrays:
        frames, fps = pictures_of(material, 3)
        flow = flow_curves(frames, least_side=self.settings["least_side"])
        found = strict_peaks(flow.lengths)
        return {
            "flow": flow.lengths,
            "impacts": flow.impacts,
            "energy": flow.energy,
            "times": found / float(fps),
            "heights": flow.lengths[found],
            "fps": np.array([float(fps)]),
            "seconds": length(flow.lengths, fps),
        }


class PicturePeaks256(PicturePeaks):
    """The same on frames scaled down to 256 pixels on the shorter side: JavisBench's rule, and the size of Sony's evaluation.

    Smaller frames stay as they are. `Deviation:` JavisBench's `min=256` enlarges those; Sony's paper brings every clip to 256x256
    before it is measured, which `sonovid evaluate --size 256` does.
    """

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
