"""A sound as its decoder hands it out, with no regard to time stamps: how most published measurements hear a file."""

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
    """The sound of a file from its first decoded sample to its last, one after the other: a Clip without frames.

    What `read` does beside that is left undone: gaps are not filled with silence, a sound that begins before or after the
    pictures is not moved, and where a lossy codec overshoots full scale it is not cut. The same samples as ffmpeg writes to a WAV
    of floats.

    sample_rate: in Hz (soxr, high quality); None: the file's own. mono: mix to one channel.

    Raises:
        MediaError: not readable, without sound, or above the limits.
    """
    limits = limits or as_source(path).limits or Limits()
    path = Path(path)
    with open_media(path, limits) as container:
        stream = audio_stream(container)
        if stream is None:
            raise MediaError(f"{path}: holds no sound that can be read")
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
        raise MediaError(f"{path}: its sound has no samples (empty, or cut short)")
    waveform = np.concatenate(parts, axis=1)
    if not np.isfinite(waveform).all():
        raise MediaError(f"{path}: its sound holds values that are no numbers (NaN or infinity)")
    waveform = resample_audio(to_mono(waveform, names) if mono else waveform, rate, sample_rate or rate)
    return Clip(None, waveform, sample_rate=sample_rate or rate)
