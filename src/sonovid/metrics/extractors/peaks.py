"""Audio onsets, beats, and peaks of optical flow, with the curves that they are detected in. No network is involved.

The detectors are librosa's and OpenCV's, as in the published programs.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from sonovid.core.clip import Clip
from sonovid.core.geometry import duration
from sonovid.metrics.alignment import change, grey, onset_strength, sound_onsets
from sonovid.metrics.base import Arrays, Extractor, InputSpec, Sample, UnusableClipError
from sonovid.metrics.extractors.optional import import_librosa, import_optional

# The arguments of OpenCV's dense optical flow (Farneback 2003) in all released AV-Align programs.
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
# The number of direction bins of the flow, in which decelerations are measured.
DIRECTIONS = 8
# librosa's hop and window in samples; shorter audio has no spectrum.
HOP, WINDOW = 512, 2048


class Flow(NamedTuple):
    """Curves of the optical flow, one value per frame.

    Attributes:
        lengths: [t] mean length of the flow into a frame, in pixels per frame; the first frame has the value of the second.
        impacts: [t] how much of the motion into a frame does not continue into the next, in pixels per frame; 0 at both ends.
        energy: [t] `alignment.motion_energy` of the frames that the flow is computed on.
    """

    lengths: np.ndarray
    impacts: np.ndarray
    energy: np.ndarray


def flow_curves(frames: Iterable[UInt8[np.ndarray, "h w 3"]], *, least_side: int | None = None) -> Flow:
    """Compute the mean optical flow and the impacts of each frame.

    Impacts are decelerations in eight directions, summed (Davis and Agrawala 2018): objects that land, stop or reverse cause one.

    Args:
        frames: uint8 [t h w 3], or an iterable of frames [h w 3] of one size, of which two are in memory at a time.
        least_side: frames are first downscaled (bilinear) until their shorter side has this many pixels; None: unchanged. The
            unit of the result is a pixel of the downscaled frame.
    """
    cv2 = import_optional("cv2")
    lengths: list[float] = []
    energy: list[float] = []
    directions: list[np.ndarray] = []
    before: tuple[np.ndarray, np.ndarray] | None = None
    for frame in frames:
        small = downscale(frame, least_side)
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
            # Directions are sectors centred at the axes and the diagonals.
            sector = np.rint(angle * (DIRECTIONS / (2 * np.pi))).astype(np.int64) % DIRECTIONS
            directions.append(np.bincount(sector.ravel(), length.ravel(), DIRECTIONS) / length.size)
        before = now
    towards = np.array(directions).reshape(-1, DIRECTIONS)
    impacts = np.zeros(len(lengths))
    impacts[1:-1] = np.maximum(towards[1:-1] - towards[2:], 0).sum(1)
    lengths[:1] = lengths[1:2]
    return Flow(np.array(lengths), impacts, np.array(energy))


def downscale(frame: UInt8[np.ndarray, "h w 3"], least_side: int | None) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Downscale a frame until its shorter side has at most `least_side` pixels (OpenCV, bilinear); None: unchanged."""
    height, width = frame.shape[:2]
    if least_side is None or min(height, width) <= least_side:
        return frame
    cv2 = import_optional("cv2")
    scale = least_side / min(height, width)
    return cv2.resize(frame, (int(width * scale), int(height * scale)), interpolation=cv2.INTER_LINEAR)


def strict_peaks(values: Float[np.ndarray, "t"]) -> np.ndarray:
    """Indices of the values above both neighbours; a plateau has none."""
    return 1 + np.flatnonzero((values[1:-1] > values[:-2]) & (values[1:-1] > values[2:]))


def onset_times(waveform: Float[np.ndarray, "n"], sample_rate: int) -> np.ndarray:
    """The times in seconds of librosa's onsets, with its default settings."""
    librosa = import_librosa()
    strength = librosa.onset.onset_strength(y=waveform, sr=sample_rate, hop_length=HOP)
    found = librosa.onset.onset_detect(onset_envelope=strength, sr=sample_rate, hop_length=HOP)
    return librosa.frames_to_time(found, sr=sample_rate, hop_length=HOP)


def beat_times(waveform: Float[np.ndarray, "n"], sample_rate: int) -> tuple[float, np.ndarray]:
    """The tempo in beats per minute and the times of the beats in seconds, by librosa's tracker (Ellis 2007) and its defaults."""
    librosa = import_librosa()
    tempo, beats = librosa.beat.beat_track(y=waveform, sr=sample_rate, hop_length=HOP, units="time")
    # Since librosa 0.10 the tempo is an array of one.
    return float(np.atleast_1d(tempo)[0]), np.asarray(beats, float)


def beat_seconds(waveform: Float[np.ndarray, "n"], sample_rate: int) -> np.ndarray:
    """For each started second, whether it contains an onset (Zhu et al. 2023, released code): 0 or 1.

    What that paper calls beats are onsets, not the output of a beat tracker.
    """
    librosa = import_librosa()
    found = librosa.onset.onset_detect(
        y=waveform, sr=sample_rate, hop_length=HOP, wait=1, delta=0.2, pre_avg=1, post_avg=1, post_max=1, units="time"
    )
    seconds = np.zeros(int(np.ceil(len(waveform) / sample_rate)))
    seconds[np.minimum(np.trunc(found).astype(int), len(seconds) - 1)] = 1
    return seconds


def get_mono_audio(sample: Sample) -> tuple[np.ndarray, int]:
    """The mono mix [n] of a sample's audio and its sample rate.

    Raises:
        UnusableClipError: there is no audio, it is too short, or it contains NaN or infinity.
    """
    clip: Clip | None = sample.clip
    if clip is None or clip.waveform is None:
        raise UnusableClipError("it has no audio")
    waveform = clip.waveform.mean(0)
    if len(waveform) < WINDOW:
        raise UnusableClipError(f"its audio has {len(waveform)} samples at {clip.sample_rate} Hz; onset detection needs {WINDOW}")
    if not np.isfinite(waveform).all():
        raise UnusableClipError("its audio contains NaN or infinity")
    return waveform, clip.sample_rate


def duration_array(values: np.ndarray, rate: "Fraction | int") -> np.ndarray:
    """The duration of samples or frames in seconds, as an array of one."""
    return np.array([float(duration(len(values), rate))])


def iterate_frames(sample: Sample, least: int) -> tuple[Iterable[np.ndarray], Fraction]:
    """An iterable of the frames [h w 3] of a sample, and their rate.

    Raises:
        UnusableClipError: there is no video, or fewer than `least` frames.
    """
    if sample.stream is not None:
        count, frames, fps = sample.stream.num_frames, sample.stream.frames, sample.stream.fps
    elif sample.clip is not None and sample.clip.frames is not None:
        count, frames, fps = len(sample.clip.frames), iter(sample.clip.frames), sample.clip.fps
    else:
        raise UnusableClipError("it has no video")
    if count < least:
        raise UnusableClipError(f"it has {count} frames; a peak needs {least}")
    return frames, fps


class MotionPeaks(Extractor):
    """Optical flow at the file's own rate and size, and its peaks (TempoTokens).

    A file with a variable frame rate is read at its average rate.

    Arrays: `flow` [t], `impacts` [t] and `energy` [t] (see `Flow`), `times` [k] of the peaks in seconds, `heights` [k] of the
    flow at the peaks, `fps` [1], `seconds` [1].
    """

    name = "farneback"
    what = "peaks of the mean optical flow (OpenCV, Farneback)"
    version = "2"
    input_spec = InputSpec(video=True, streamed=True)
    settings: ClassVar[Mapping[str, Any]] = {"farneback": FARNEBACK, "least_side": None}

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        import_optional("cv2")

    def prepare(self, sample: Sample) -> Arrays:
        frames, fps = iterate_frames(sample, 3)
        flow = flow_curves(frames, least_side=self.settings["least_side"])
        found = strict_peaks(flow.lengths)
        return {
            "flow": flow.lengths,
            "impacts": flow.impacts,
            "energy": flow.energy,
            "times": found / float(fps),
            "heights": flow.lengths[found],
            "fps": np.array([float(fps)]),
            "seconds": duration_array(flow.lengths, fps),
        }


class MotionPeaks256(MotionPeaks):
    """The same on frames downscaled to 256 pixels on the shorter side, as in JavisBench and Sony's evaluation.

    `Deviation:` smaller frames are not enlarged, as JavisBench's `min=256` does. Sony's paper converts every clip to 256x256
    before it is measured, which `sonovid evaluate --size 256` does.
    """

    name = "farneback256"
    what = "the same on frames downscaled to at most 256 pixels on the shorter side"
    settings: ClassVar[Mapping[str, Any]] = {"farneback": FARNEBACK, "least_side": 256}


class Onsets(Extractor):
    """Onsets of the audio at 22 050 Hz, mixed to one channel, ignoring its time stamps.

    Arrays: `times` [k] in seconds, `seconds` [1].
    """

    name = "onsets"
    what = "onsets of the audio at 22 050 Hz (librosa)"
    input_spec = InputSpec(audio=True, sample_rate=SAMPLE_RATE, placed=False)
    settings: ClassVar[Mapping[str, Any]] = {"hop": HOP}

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        import_librosa()

    def prepare(self, sample: Sample) -> Arrays:
        waveform, rate = get_mono_audio(sample)
        return {"times": onset_times(waveform, rate), "seconds": duration_array(waveform, rate)}


class NativeRateOnsets(Onsets):
    """The same at the file's own sample rate, with a finer time grid and more onsets."""

    name = "onsets_native"
    what = "onsets of the audio at the file's own sample rate (librosa)"
    input_spec = InputSpec(audio=True, placed=False)


class OnsetCurve(Extractor):
    """Onset strength over time, with the audio placed by its time stamps relative to the video.

    Arrays: `moments` [l] in seconds and `strength` [l] of `alignment.onset_strength`, `onsets` [k] of `alignment.sound_onsets` in
    seconds, `seconds` [1].
    """

    name = "curve"
    what = "onset strength of the audio at 16 kHz, every 5 ms"
    input_spec = InputSpec(audio=True, sample_rate=16000)

    def prepare(self, sample: Sample) -> Arrays:
        waveform, rate = get_mono_audio(sample)
        moments, strength = onset_strength(waveform, rate)
        return {
            "moments": moments,
            "strength": strength,
            "onsets": sound_onsets(waveform, rate),
            "seconds": duration_array(waveform, rate),
        }


class Beats(Extractor):
    """Beats of the audio at 22 050 Hz, mixed to one channel, ignoring its time stamps.

    Arrays: `beats` [k] in seconds, `tempo` [1] in beats per minute, `bins` [s], one per started second (`beat_seconds`),
    `seconds` [1].
    """

    name = "beats"
    what = "beats of the audio at 22 050 Hz (librosa)"
    input_spec = InputSpec(audio=True, sample_rate=SAMPLE_RATE, placed=False)
    settings: ClassVar[Mapping[str, Any]] = {"hop": HOP}

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        import_librosa()

    def prepare(self, sample: Sample) -> Arrays:
        waveform, rate = get_mono_audio(sample)
        tempo, beats = beat_times(waveform, rate)
        return {
            "beats": beats,
            "tempo": np.array([tempo]),
            "bins": beat_seconds(waveform, rate),
            "seconds": duration_array(waveform, rate),
        }
