"""Loudness by EBU R 128 (FFmpeg's meter), normalisation, mixing and ducking."""

from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.filter import Graph
from jaxtyping import Float

from sonovid.core import renamed
from sonovid.media.audio import pad_or_trim

# Audio below this, in LUFS, counts as silent: amplified to a listening level it would be noise.
SILENCE_THRESHOLD = -60.0
# Highest true peak after amplification, in dBFS, so that no decoder and no converter clips (EBU R 128).
PEAK_CEILING = -1.0
# The blocks of the meter last 0.4 s. Shorter audio is repeated to this many seconds, which changes no level.
MIN_SECONDS = 1
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


@dataclass(frozen=True)
class Loudness:
    """Loudness of a waveform.

    Attributes:
        integrated: Integrated loudness by EBU R 128, in LUFS; -70 for silence.
        peak: True peak in dBFS.
    """

    integrated: float
    peak: float


def measure_loudness(waveform: Float[np.ndarray, "c n"], sample_rate: int) -> Loudness:
    """Measures the integrated loudness and the true peak (ITU-R BS.1770, EBU R 128).

    Args:
        waveform: Samples [c n] with full scale at 1, of 1, 2 or 6 channels; not empty.
        sample_rate: In Hz.
    """
    channels, num_samples = waveform.shape
    if num_samples < MIN_SECONDS * sample_rate:
        waveform = np.tile(waveform, (1, -(-MIN_SECONDS * sample_rate // num_samples)))
    graph = Graph()
    layout = _LAYOUTS[channels]
    clock = Fraction(1, sample_rate)
    source = graph.add_abuffer(sample_rate=sample_rate, format="fltp", layout=layout, time_base=clock)
    meter, sink = graph.add("ebur128", "metadata=1:peak=true"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    read: dict[str, str] = {}
    for first in range(0, waveform.shape[1], sample_rate):
        block = np.ascontiguousarray(waveform[:, first : first + sample_rate], dtype=np.float32)
        frame = AudioFrame.from_ndarray(block, "fltp", layout)
        frame.sample_rate, frame.pts, frame.time_base = sample_rate, first, clock
        graph.push(frame)
        read.update(_readings(graph))
    graph.push(None)
    read.update(_readings(graph))
    peak = float(read.get("lavfi.r128.true_peak", 0))
    peak = max(peak, float(np.abs(waveform).max()))
    return Loudness(float(read.get("lavfi.r128.I", -70.0)), 20 * float(np.log10(max(peak, 1e-10))))


def _readings(graph: Graph) -> dict[str, str]:
    """Reads the metadata of all frames that the meter has ready. Later values replace earlier ones."""
    found: dict[str, str] = {}
    while True:
        try:
            frame = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return found
        found.update(frame.metadata)


def normalize_loudness(
    waveform: Float[np.ndarray, "c n"], sample_rate: int, target: float
) -> tuple[Float[np.ndarray, "c n"], "float | None"]:
    """Scales audio to a target loudness with one gain factor, which keeps its dynamics.

    Args:
        waveform: Samples [c n] with full scale at 1.
        sample_rate: In Hz.
        target: Target loudness in LUFS. The gain is reduced where the true peak would exceed -1 dBFS.

    Returns:
        The scaled waveform and its previous loudness in LUFS. Silent audio (below -60 LUFS) is returned unchanged, with None.
    """
    found = measure_loudness(waveform, sample_rate)
    if found.integrated < SILENCE_THRESHOLD:
        return waveform, None
    gain = min(target - found.integrated, PEAK_CEILING - found.peak)
    return (waveform * 10 ** (gain / 20)).astype(np.float32), found.integrated


def apply_gain(waveform: Float[np.ndarray, "c n"], decibels: float) -> Float[np.ndarray, "c n"]:
    """Applies a gain in decibels, limited so that the peak does not exceed -1 dBFS."""
    peak = float(np.abs(waveform).max())
    room = PEAK_CEILING - 20 * np.log10(peak) if peak > 0 else decibels
    return (waveform * 10 ** (min(decibels, max(room, 0.0)) / 20)).astype(np.float32)


def duck_audio(
    background: Float[np.ndarray, "c n"], foreground: Float[np.ndarray, "d m"], sample_rate: int, decibels: float
) -> Float[np.ndarray, "c n"]:
    """Lowers background audio while foreground audio is heard (a compressor with a side chain).

    The attenuation is full where the foreground is within 20 dB of its loudest 20 ms block, falls to zero 20 dB below that, and
    is released over half a second.

    Args:
        background: Samples [c n] that are lowered.
        foreground: Samples [d m] that control the attenuation.
        sample_rate: Of both, in Hz.
        decibels: Largest attenuation.
    """
    hop = max(1, sample_rate // 50)
    blocks = -(-foreground.shape[1] // hop)
    power = np.square(pad_or_trim(foreground.astype(np.float32), blocks * hop).reshape(len(foreground), blocks, hop)).mean((0, 2))
    level = 10 * np.log10(power + 1e-12)
    wanted = np.clip((level - level.max() + 40) / 20, 0, 1) if level.max() > SILENCE_THRESHOLD else np.zeros(blocks)
    # Attack within 20 ms, release over half a second. One block of look-ahead keeps onsets audible.
    fall, amount = 0.02 / 0.5, np.zeros(blocks)
    now = 0.0
    for index in range(blocks):
        now = max(wanted[index], wanted[min(index + 1, blocks - 1)], now - fall)
        amount[index] = now
    centres = (np.arange(blocks) + 0.5) * hop
    factor = 10 ** (-decibels * np.interp(np.arange(background.shape[1]), centres, amount) / 20)
    return (background * factor).astype(np.float32)


def mix_audio(
    audio: Float[np.ndarray, "c n"], overlay: Float[np.ndarray, "d m"], sample_rate: int, *, duck: float = 0.0
) -> np.ndarray:
    """Mixes two waveforms of one sample rate. The result is as long as the overlay and is scaled down where it would clip.

    Args:
        audio: Samples [c n] with 1, 2 or 6 channels.
        overlay: Samples [d m] with 1 channel, or as many as `audio`. A single channel goes to front left and right.
        sample_rate: Of both, in Hz.
        duck: Attenuation of `audio` in decibels while `overlay` is heard, see `duck_audio`.
    """
    audio = pad_or_trim(audio, overlay.shape[1])
    if duck > 0:
        audio = duck_audio(audio, overlay, sample_rate, duck)
    total = audio.copy()
    if len(overlay) == len(audio):
        total += overlay
    else:
        total[: min(len(audio), 2)] += overlay.mean(0)
    peak = float(np.abs(total).max())
    ceiling = 10 ** (PEAK_CEILING / 20)
    return total * np.float32(ceiling / peak) if peak > 1 else total


def convert_channels(waveform: Float[np.ndarray, "c n"], channels: int) -> Float[np.ndarray, "d n"]:
    """Converts audio to 1 or 2 channels: mono is copied to both channels, several channels are averaged to mono."""
    if len(waveform) == channels:
        return waveform
    if channels == 1:
        return waveform.mean(0, keepdims=True, dtype=np.float32)
    return np.repeat(waveform, 2, axis=0) if len(waveform) == 1 else np.ascontiguousarray(waveform[:2])


__getattr__ = renamed.attributes(
    __name__,
    {
        "AUDIBLE": "SILENCE_THRESHOLD",
        "brought_to": "normalize_loudness",
        "ducked": "duck_audio",
        "gained": "apply_gain",
        "loudness": "measure_loudness",
        "mixed": "mix_audio",
        "with_channels": "convert_channels",
    },
)
