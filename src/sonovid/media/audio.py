"""Sound out of a file: samples placed by their time stamps, mixed to one channel, resampled."""

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

from sonovid.core.geometry import count

log = logging.getLogger(__name__)

# Weights of the loudspeakers in one channel (ITU-R BS.775, 1/0 downmix); the low-frequency channel is left out.
HALF_POWER = 0.5**0.5
MONO_WEIGHTS = {"FL": HALF_POWER, "FR": HALF_POWER, "FC": 1.0, "BC": 0.5, "BL": 0.5, "BR": 0.5, "SL": 0.5, "SR": 0.5, "LFE": 0.0}

# Containers in which a seek of the sound lands where it says.
SEEKABLE = frozenset(["mov", "matroska", "wav", "w64", "flac", "aiff", "caf", "au"])

# Stamps that stray by less are taken for rounding, and the sound goes on without a seam.
TIMESTAMP_TOLERANCE = Fraction(20, 1000)


def frame_to_samples(frame: AudioFrame) -> np.ndarray:
    """The samples of a decoded frame, float32 [c n], full scale at 1."""
    array = frame.to_ndarray()
    if not frame.format.is_planar:
        array = array.reshape(-1, frame.layout.nb_channels).T
    if array.dtype == np.uint8:
        return (array.astype(np.float32) - 128) / 128
    if array.dtype.kind == "i":
        return (array / float(2 ** (8 * array.itemsize - 1))).astype(np.float32)
    return array.astype(np.float32)


def decode_audio_frames(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    """The decoded frames of a sound. The priming of a codec (AAC, MP3, Opus) is already taken off them."""
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue  # As with pictures: one damaged packet leaves a gap, which is filled with silence.


def trailing_padding(frame: AudioFrame) -> int:
    """How many samples at the end of a frame lie past its own length by the file's word; none where that is only rounded."""
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
    """The sound from `start` on, float32 [c n] at the file's own rate, with that rate and the time its last sample ends.

    Sound that begins after time zero has silence before it; sound that begins before it is cut; gaps are silent. Where the file
    says that its last frame holds less than its decoder gives, the rest is the codec's filling, and is left out.

    zero: what counts as time zero on the file's clock, in seconds; None: where the sound itself begins.
    start, seconds: the part that is wanted, counted from zero; None: to the end.
    mono: mix to one channel block by block, so that the channels are never in memory together.
    check: called with the samples and channels that are wanted so far; it raises where they are too many.
    """
    base = stream.time_base
    assert base is not None
    name = container.format.name.split(",")[0]
    if zero is None and name in SEEKABLE:
        zero = Fraction(stream.start_time or 0) * base if stream.start_time is not None else None
    if zero is not None and start > 10 and name in SEEKABLE:
        # Elsewhere (MP3) a seek may land beside the stamp it claims. A second of run-up lets the decoder settle.
        container.seek(int((zero + start - 1) / base), stream=stream)
    names = [channel.name for channel in stream.layout.channels]
    parts: list[tuple[int, np.ndarray]] = []
    position, rate, channels, end, surplus = None, 0, 0, Fraction(0), 0
    for frame in decode_audio_frames(container, stream):
        if not rate:
            rate, channels = frame.sample_rate, frame.layout.nb_channels
        if frame.sample_rate != rate or frame.layout.nb_channels != channels:
            log.warning("%s: the sound changes its rate or channels midway; only its first part is read", container.name)
            break
        stamp = Fraction(frame.pts) * (frame.time_base or base) if frame.pts is not None else None
        if zero is None:
            zero = stamp if stamp is not None else Fraction(0)
        if stamp is not None:
            wanted = count(stamp - zero - start, rate)
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
    waveform = np.zeros((1 if mono else max(channels, 1), num_samples), np.float32)
    # What is copied is let go, so that a long sound is never in memory twice.
    parts.reverse()
    while parts:
        position, samples = parts.pop()
        first, last = max(position, 0), min(position + samples.shape[1], num_samples)
        if last > first:
            waveform[:, first:last] = samples[:, first - position : last - position]
    return waveform, rate or stream.sample_rate, end


def to_mono(waveform: Float[np.ndarray, "c n"], channels: list[str]) -> Float[np.ndarray, "1 n"]:
    """One channel from several, by the ITU's weights, scaled to add up to one, so that full scale stays full scale.

    channels: their names in order, as in ["FL", "FR"]; where one is unknown, all weigh the same.
    """
    known = len(channels) == len(waveform) and all(name in MONO_WEIGHTS for name in channels)
    weights = np.asarray([MONO_WEIGHTS[name] for name in channels] if known else [1.0] * len(waveform), np.float32)
    if not weights.any():
        weights = np.ones_like(weights)
    return ((weights / weights.sum())[None] @ waveform).astype(np.float32)


def resample_audio(waveform: Float[np.ndarray, "c n"], rate: int, to_rate: int) -> Float[np.ndarray, "c m"]:
    """The same sound at another sample rate (soxr, high quality); its length is the same to the nearest sample."""
    if rate == to_rate:
        return waveform
    out = soxr.resample(np.ascontiguousarray(waveform.T), rate, to_rate, quality="HQ").T.astype(np.float32)
    return pad_or_trim(out.reshape(len(waveform), -1), count(Fraction(waveform.shape[1], rate), to_rate))


def pad_or_trim(waveform: Float[np.ndarray, "c n"], num_samples: int) -> Float[np.ndarray, "c m"]:
    """A sound cut, or filled up with silence, to `num_samples`."""
    if waveform.shape[1] >= num_samples:
        return np.ascontiguousarray(waveform[:, :num_samples])
    return np.pad(waveform, ((0, 0), (0, num_samples - waveform.shape[1])))
