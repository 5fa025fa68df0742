"""Reads audio samples by timestamp, mixes them to mono and resamples them."""

import logging
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
import numpy as np
import soxr
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from jaxtyping import Float

from sonovid.core import renamed
from sonovid.core.geometry import count

log = logging.getLogger(__name__)

# Weights of the loudspeaker channels in a mono mix (ITU-R BS.775, 1/0 downmix). The low-frequency channel is left out.
HALF_POWER = 0.5**0.5
MONO_WEIGHTS = {"FL": HALF_POWER, "FR": HALF_POWER, "FC": 1.0, "BC": 0.5, "BL": 0.5, "BR": 0.5, "SL": 0.5, "SR": 0.5, "LFE": 0.0}

# Containers in which audio seeks are accurate.
SEEKABLE = frozenset(["mov", "matroska", "wav", "w64", "flac", "aiff", "caf", "au"])

# Timestamp deviations below this, in seconds, count as rounding: the samples continue without a gap.
TIMESTAMP_TOLERANCE = Fraction(20, 1000)


def frame_to_samples(frame: AudioFrame) -> np.ndarray:
    """Converts a decoded frame to float32 samples [c n] with full scale at 1."""
    array = frame.to_ndarray()
    if not frame.format.is_planar:
        array = array.reshape(-1, frame.layout.nb_channels).T
    if array.dtype == np.uint8:
        return (array.astype(np.float32) - 128) / 128
    if array.dtype.kind == "i":
        return (array / float(2 ** (8 * array.itemsize - 1))).astype(np.float32)
    return array.astype(np.float32)


def decode_audio_frames(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    """Decodes the audio frames of a stream. FFmpeg has already removed the codec's priming samples (AAC, MP3, Opus)."""
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue  # A damaged packet leaves a gap, which is filled with silence.


def trailing_padding(frame: AudioFrame) -> int:
    """Number of samples at the end of a frame beyond its declared duration. Zero if the difference is only rounding."""
    if not frame.duration or not frame.time_base:
        return 0
    surplus = frame.samples - count(frame.duration * frame.time_base, frame.sample_rate)
    return surplus if surplus > frame.time_base * frame.sample_rate else 0


def read_samples(
    container: InputContainer,
    stream: AudioStream,
    *,
    zero: "Fraction | None",
    start: Fraction,
    seconds: "Fraction | None",
    mono: bool = False,
    check: "Callable[[int, int], None] | None" = None,
) -> tuple[np.ndarray, int, Fraction]:
    """Reads the audio from `start` on, at the sample rate of the file.

    Audio that begins after time zero is preceded by silence, and audio before time zero is cut. Gaps are silent. Padding that the
    codec adds to the last frame is removed.

    Args:
        container: The open file.
        stream: The audio stream.
        zero: Time zero on the clock of the file, in seconds. None: the beginning of the audio.
        start: Beginning of the part to read, in seconds from time zero.
        seconds: Length of the part. None: to the end.
        mono: Whether to mix down to one channel, block by block, so that the full channels are never all in memory.
        check: Called with the numbers of samples and channels so far. It raises if there are too many.

    Returns:
        The samples, float32 [c n], their sample rate, and the end time of the last sample.
    """
    base = stream.time_base
    assert base is not None
    name = container.format.name.split(",")[0]
    if zero is None and name in SEEKABLE:
        zero = Fraction(stream.start_time or 0) * base if stream.start_time is not None else None
    if zero is not None and start > 10 and name in SEEKABLE:
        # In other containers (MP3) a seek may be inaccurate. One second of pre-roll lets the decoder settle.
        container.seek(int((zero + start - 1) / base), stream=stream)
    names = [channel.name for channel in stream.layout.channels]
    parts: list[tuple[int, np.ndarray]] = []
    position, rate, channels, end, surplus = None, 0, 0, Fraction(0), 0
    for frame in decode_audio_frames(container, stream):
        if not rate:
            rate, channels = frame.sample_rate, frame.layout.nb_channels
        if frame.sample_rate != rate or frame.layout.nb_channels != channels:
            log.warning("%s: the audio changes its sample rate or channels; only the part before is read", container.name)
            break
        timestamp = Fraction(frame.pts) * (frame.time_base or base) if frame.pts is not None else None
        if zero is None:
            zero = timestamp if timestamp is not None else Fraction(0)
        if timestamp is not None:
            wanted = count(timestamp - zero - start, rate)
            if position is None or abs(wanted - position) > TIMESTAMP_TOLERANCE * rate:
                position = wanted
        position = position or 0
        samples = to_mono(frame_to_samples(frame), names) if mono else frame_to_samples(frame)
        if position + samples.shape[1] > 0:
            parts.append((position, samples))
            if check is not None:
                check(min(position + samples.shape[1], count(seconds or position + samples.shape[1], rate)), len(samples))
        position += samples.shape[1]
        surplus = trailing_padding(frame)
        end = start + Fraction(position - surplus, rate)
        if seconds is not None and position >= seconds * rate:
            break
    num_samples = max(max((p + s.shape[1] for p, s in parts), default=0) - surplus, 0)
    if seconds is not None:
        num_samples = min(num_samples, count(seconds, rate or 1))
    return _assemble(parts, 1 if mono else max(channels, 1), num_samples), rate or stream.sample_rate, end


def _assemble(parts: list[tuple[int, np.ndarray]], channels: int, num_samples: int) -> np.ndarray:
    """Joins blocks of samples at their positions. Consumes the list, so that long audio is never in memory twice."""
    waveform = np.zeros((channels, num_samples), np.float32)
    parts.reverse()
    while parts:
        position, samples = parts.pop()
        first, last = max(position, 0), min(position + samples.shape[1], num_samples)
        if last > first:
            waveform[:, first:last] = samples[:, first - position : last - position]
    return waveform


def to_mono(waveform: Float[np.ndarray, "c n"], channels: list[str]) -> Float[np.ndarray, "1 n"]:
    """Mixes channels to one with the weights of ITU-R BS.775, normalised to sum to one so that full scale stays full scale.

    Args:
        waveform: Samples [c n].
        channels: Names of the channels in order, such as ["FL", "FR"]. If one is unknown, all have equal weight.
    """
    known = len(channels) == len(waveform) and all(name in MONO_WEIGHTS for name in channels)
    weights = np.asarray([MONO_WEIGHTS[name] for name in channels] if known else [1.0] * len(waveform), np.float32)
    if not weights.any():
        weights = np.ones_like(weights)
    return ((weights / weights.sum())[None] @ waveform).astype(np.float32)


def resample_audio(waveform: Float[np.ndarray, "c n"], rate: int, to_rate: int) -> Float[np.ndarray, "c m"]:
    """Resamples audio (soxr, high quality). The duration stays the same to the nearest sample.

    Args:
        waveform: Samples [c n].
        rate: Sample rate of the input in Hz.
        to_rate: Sample rate of the output in Hz.
    """
    if rate == to_rate:
        return waveform
    out = soxr.resample(np.ascontiguousarray(waveform.T), rate, to_rate, quality="HQ").T.astype(np.float32)
    return pad_or_trim(out.reshape(len(waveform), -1), count(Fraction(waveform.shape[1], rate), to_rate))


def pad_or_trim(waveform: Float[np.ndarray, "c n"], num_samples: int) -> Float[np.ndarray, "c m"]:
    """Trims audio, or pads it with silence, to `num_samples`."""
    if waveform.shape[1] >= num_samples:
        return np.ascontiguousarray(waveform[:, :num_samples])
    return np.pad(waveform, ((0, 0), (0, num_samples - waveform.shape[1])))


__getattr__ = renamed.attributes(__name__, {"lasting": "pad_or_trim", "placed": "read_samples", "resampled": "resample_audio"})
