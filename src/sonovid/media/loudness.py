"""How loud a sound is (EBU R 128, by FFmpeg's meter), and a sound brought to a loudness without changing its dynamics."""

from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.filter import Graph
from jaxtyping import Float

from sonovid.media.audio import pad_or_trim

# Below this there is nothing to hear: raised to a listening level it would be noise. In LUFS.
SILENCE_THRESHOLD = -60.0
# What a raised sound may peak at, so that no decoder and no converter clips it (EBU R 128), in dB of full scale.
PEAK_CEILING = -1.0
# The meter's blocks last 0.4 s; a shorter sound is repeated to as long as this, which changes no level. In seconds.
MIN_SECONDS = 1
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


@dataclass(frozen=True)
class Loudness:
    """How loud a sound is. integrated: by EBU R 128, in LUFS; -70 for silence. peak: true peak in dB of full scale."""

    integrated: float
    peak: float


def measure_loudness(waveform: Float[np.ndarray, "c n"], sample_rate: int) -> Loudness:
    """The integrated loudness of a sound of 1, 2 or 6 channels, and its true peak (ITU-R BS.1770, EBU R 128).

    Args:
        waveform: full scale at 1; not empty. sample_rate: in Hz.
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
    """What the meter says of the frames that are ready, the latest last."""
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
    """A sound at another loudness, by one factor for all of it, and how loud it was, in LUFS; as it is where nothing is heard.

    Args:
        waveform: full scale at 1. sample_rate: in Hz.
        target: in LUFS. Where that would peak above -1 dB of full scale, the sound is as loud as it can be below.

    Returns:
        The sound, and its loudness before; None in place of the loudness where there is nothing to hear (below -60 LUFS).
    """
    found = measure_loudness(waveform, sample_rate)
    if found.integrated < SILENCE_THRESHOLD:
        return waveform, None
    gain = min(target - found.integrated, PEAK_CEILING - found.peak)
    return (waveform * 10 ** (gain / 20)).astype(np.float32), found.integrated


def apply_gain(waveform: Float[np.ndarray, "c n"], decibels: float) -> Float[np.ndarray, "c n"]:
    """A sound made louder or softer by so many decibels, but no louder than a peak of -1 dB of full scale."""
    peak = float(np.abs(waveform).max())
    room = PEAK_CEILING - 20 * np.log10(peak) if peak > 0 else decibels
    return (waveform * 10 ** (min(decibels, max(room, 0.0)) / 20)).astype(np.float32)


def duck_audio(
    background: Float[np.ndarray, "c n"], foreground: Float[np.ndarray, "d m"], sample_rate: int, decibels: float
) -> Float[np.ndarray, "c n"]:
    """A sound lowered by up to `decibels` while another is heard over it (a compressor keyed by that other sound).

    It is lowered in full where the other is within 20 dB of its loudest 20 ms, not at all 20 dB below that, and comes back over
    half a second.
    """
    hop = max(1, sample_rate // 50)
    blocks = -(-foreground.shape[1] // hop)
    power = np.square(pad_or_trim(foreground.astype(np.float32), blocks * hop).reshape(len(foreground), blocks, hop)).mean((0, 2))
    level = 10 * np.log10(power + 1e-12)
    wanted = np.clip((level - level.max() + 40) / 20, 0, 1) if level.max() > SILENCE_THRESHOLD else np.zeros(blocks)
    # Down within 20 ms, up again over half a second; a look ahead of one block, so that no onset is covered.
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
    """Two sounds of one rate together, as long as the second, with the channels of the first; softer where they would clip.

    Args:
        own: with 1, 2 or 6 channels. made: with 1 channel, or as many as `own`; a single one goes to the front left and right.
        duck: by how many decibels `own` is lowered while `made` is heard.
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
    """A sound with 1 or 2 channels: one is put on both sides, several are mixed to one by their mean."""
    if len(waveform) == channels:
        return waveform
    if channels == 1:
        return waveform.mean(0, keepdims=True, dtype=np.float32)
    return np.repeat(waveform, 2, axis=0) if len(waveform) == 1 else np.ascontiguousarray(waveform[:2])
