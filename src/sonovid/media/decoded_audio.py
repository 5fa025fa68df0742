"""Reads audio in decoding order and ignores timestamps, as most published evaluations do."""

import os
from fractions import Fraction
from pathlib import Path

import numpy as np

from sonovid.core.clip import Clip
from sonovid.media.audio import decode_audio_frames, frame_to_samples, resample_audio, to_mono
from sonovid.media.files import Limits, MediaError, audio_stream, open_media
from sonovid.media.source import as_source


def read_as_decoded(
    path: "str | os.PathLike", *, sample_rate: "int | None" = None, mono: bool = False, limits: "Limits | None" = None
) -> Clip:
    """Reads the audio of a file from the first to the last decoded sample.

    Unlike `read`, this fills no gaps with silence, applies no offset between audio and video, and does not clip samples above
    full scale, which lossy codecs produce. The samples equal those that ffmpeg writes to a float WAV file.

    Args:
        path: Path or `Source`.
        sample_rate: Sample rate in Hz (resampled with soxr, high quality). Defaults to the rate of the file.
        mono: Whether to mix down to one channel.
        limits: Limits on the file. Defaults to those of the source, else to `Limits()`.

    Returns:
        A clip without frames.

    Raises:
        MediaError: The file cannot be read, has no audio or exceeds the limits.
    """
    limits = limits or as_source(path).limits or Limits()
    path = Path(path)
    with open_media(path, limits) as container:
        stream = audio_stream(container)
        if stream is None:
            raise MediaError(f"{path}: has no audio")
        names = [channel.name for channel in stream.layout.channels]
        parts: list[np.ndarray] = []
        rate, length = 0, 0
        for frame in decode_audio_frames(container, stream):
            samples = frame_to_samples(frame)
            rate = rate or frame.sample_rate
            if frame.sample_rate != rate or (parts and len(samples) != len(parts[0])):
                break
            parts.append(samples)
            length += samples.shape[1]
            limits.check_seconds(path, Fraction(length, rate))
            limits.check_samples(path, length, len(samples))
    if not parts:
        raise MediaError(f"{path}: its audio has no samples (empty or truncated)")
    waveform = np.concatenate(parts, axis=1)
    if not np.isfinite(waveform).all():
        raise MediaError(f"{path}: its audio contains NaN or infinity")
    waveform = resample_audio(to_mono(waveform, names) if mono else waveform, rate, sample_rate or rate)
    return Clip(None, waveform, sample_rate=sample_rate or rate)
