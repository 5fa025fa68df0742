"""Reads a media file as a `Clip`."""

import os
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer

from sonovid.core.clip import Clip
from sonovid.core.geometry import as_rate, count, duration
from sonovid.media.audio import pad_or_trim, read_samples, resample_audio
from sonovid.media.files import Limits, MediaError, audio_stream, describe_unknown_codecs, open_media, video_stream
from sonovid.media.frames import Timeline, cached_display_matrix, decode_frames, displayed_size, frames_at, read_timeline, to_rgb
from sonovid.media.progress import report
from sonovid.media.source import Source, as_source


def read(
    path: "str | os.PathLike",
    *,
    fps: "Fraction | int | float | str | None" = None,
    size: "tuple[int, int] | None" = None,
    sample_rate: "int | None" = None,
    mono: bool = False,
    start: "Fraction | int | float" = 0,
    seconds: "Fraction | int | float | None" = None,
    video: bool = True,
    audio: bool = True,
    limits: "Limits | None" = None,
) -> Clip:
    """Reads the video and audio of a file, aligned by their timestamps.

    Both begin at the timestamp of the first frame (of the first sample in audio files) and have equal duration: the last frame
    is held for its own duration or as long as the audio continues, and shorter audio is padded with silence. Rotation and pixel
    aspect ratio are applied.

    Args:
        path: Path or `Source`. An image sequence needs a source, for its frame rate.
        fps: Frames per second. Each frame is the one on screen at its time. None: the rate of the file, averaged if it varies.
        size: Frame size (h, w). Frames are scaled to cover it and cropped at the centre (triangle filter). None: displayed size.
        sample_rate: In Hz (resampled with soxr, high quality). None: the rate of the file.
        mono: Whether to mix down to one channel, by the weights of ITU-R BS.775.
        start, seconds: The part to read, from time zero. A file that ends earlier gives a shorter clip.
        video, audio: Which streams to read.
        limits: Limits on the file. Defaults to those of the source, else to `Limits()`.

    Returns:
        A clip. Its waveform is None without audio, its frames are None without video.

    Raises:
        MediaError: The file cannot be read, is damaged or truncated, lacks the requested streams, or exceeds the limits.
    """
    source = as_source(path)
    limits = limits or source.limits or Limits()
    start, length = _resolve_range(source, start, seconds)
    if not video and not audio:
        raise ValueError("read: expected video=True or audio=True")
    has_video, has_audio = _check_streams(source, start, length, limits, video=video, audio=audio)
    timeline = read_timeline(source) if has_video else None
    frames, rate = None, as_rate(fps) if fps is not None else Fraction(25)
    if timeline is not None and video:
        rate = as_rate(fps) if fps is not None else timeline.rate
        frames = _read_frames(source, timeline, rate, size, start, length, limits)
        length = duration(len(frames), rate)
    elif timeline is not None and length is None:
        timeline.check_plausible(source)
    waveform = None
    if has_audio and audio:
        zero = timeline.zero if timeline is not None else None
        waveform, own = _read_audio(source, zero, start, length, mono, limits)
        waveform = resample_audio(waveform, own, sample_rate or own)
        sample_rate = sample_rate or own
        if frames is not None and length is not None:
            waveform = pad_or_trim(waveform, count(length, sample_rate))
        # Lossy codecs and resampling overshoot full scale slightly. A clip does not.
        waveform = np.clip(waveform, -1.0, 1.0, out=waveform if waveform.flags.writeable else None)
    return Clip(frames, waveform, fps=rate, sample_rate=sample_rate or 16000)


def _check_streams(
    source: Source, start: Fraction, length: "Fraction | None", limits: Limits, *, video: bool, audio: bool
) -> tuple[bool, bool]:
    """Checks that a file has a requested stream and keeps to the limits. Returns whether it has video and audio at all."""
    with open_media(source, limits) as container:
        video_in, audio_in = video_stream(container), audio_stream(container)
        header = Fraction(container.duration, av.time_base) if container.duration else None
        if not (video_in and video) and not (audio_in and audio):
            missing = "neither readable video nor readable audio" if video and audio else ("no video" if video else "no audio")
            raise MediaError(f"{source}: has {missing}{describe_unknown_codecs(container)}")
        if video_in and video:
            limits.check_frame_size(Path(source), video_in.height, video_in.width)
        if length is None and header is not None:
            limits.check_seconds(Path(source), header - start)
    return video_in is not None, audio_in is not None


def _resolve_range(
    source: Source, start: "Fraction | int | float", seconds: "Fraction | int | float | None"
) -> tuple[Fraction, "Fraction | None"]:
    """Start and length of the part to read. It is relative to the time range of the source."""
    begin = _check_seconds("start", start)
    length = None if seconds is None else _check_seconds("seconds", seconds)
    if length is not None and length <= 0:
        raise ValueError(f"read: seconds={seconds}, expected a length above zero")
    if source.seconds is not None:
        left = source.seconds - begin
        if left <= 0:
            raise MediaError(f"{source}: start={float(begin):g} s lies after the end of the part of {float(source.seconds):g} s")
        length = left if length is None else min(length, left)
    return source.start + begin, length


def _check_seconds(name: str, value: "Fraction | int | float") -> Fraction:
    try:
        seconds = Fraction(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"read: {name}={value!r}, expected seconds") from None
    if seconds < 0:
        raise ValueError(f"read: {name}={value}, expected seconds from zero up")
    return seconds


def _read_frames(
    source: Source,
    timeline: Timeline,
    rate: Fraction,
    size: "tuple[int, int] | None",
    start: Fraction,
    length: "Fraction | None",
    limits: Limits,
) -> np.ndarray:
    """Reads the frames from `start` on at `rate`, uint8 [t h w 3]."""
    path = Path(source)
    left = timeline.seconds - start
    if left <= 0:
        raise MediaError(f"{path}: start={float(start):g} s lies after the end of the video at {float(timeline.seconds):.2f} s")
    if length is None:
        timeline.check_plausible(source)
    length = left if length is None else min(length, left)
    limits.check_seconds(path, length)
    num_frames = max(1, count(length, rate))
    if size is not None:
        limits.check_memory(path, num_frames, *size)
    slack = timeline.slack if timeline.constant and rate == timeline.rate else min(timeline.slack, Fraction(1, 1000))
    times = (timeline.zero + start + duration(i, rate) for i in range(num_frames))
    with open_media(source, limits) as container:
        stream = video_stream(container)
        assert stream is not None
        aspect, matrix = stream.sample_aspect_ratio, None
        frames, last, reached = None, None, Fraction(0)
        for index, (timestamp, frame) in enumerate(
            frames_at(decode_frames(container, stream, timeline.zero + start), times, slack)
        ):
            if frames is None:
                matrix = cached_display_matrix(source, frame)
                size = size or displayed_size(frame, aspect, matrix)
                limits.check_memory(path, num_frames, *size)
                frames = np.empty((num_frames, *size, 3), np.uint8)
            if frame is not last:
                limits.check_frame_size(path, frame.height, frame.width)
            frames[index] = frames[index - 1] if frame is last else to_rgb(frame, aspect, size, matrix)
            last, reached = frame, timestamp
            report("reading", float(index + 1), float(num_frames))
    if frames is None:
        raise MediaError(f"{path}: none of its frames can be decoded (damaged or truncated)")
    # The last frame that was decoded has to be close to the last one that was due.
    expected = timeline.zero + min(start + duration(num_frames - 1, rate), timeline.last)
    if expected - reached > max(Fraction(1, 2), 3 / timeline.rate) and timeline.constant:
        raise MediaError(
            f"{path}: ends early, at {float(reached - timeline.zero):.2f} s of {float(timeline.seconds):.2f} s "
            "(damaged or truncated)"
        )
    return frames


def _read_audio(
    source: Source, zero: "Fraction | None", start: Fraction, length: "Fraction | None", mono: bool, limits: Limits
) -> tuple[np.ndarray, int]:
    """Reads the audio from `start` on, float32 [c n], and its sample rate."""
    path = Path(source)
    with open_media(source, limits) as container:
        stream = audio_stream(container)
        assert stream is not None
        declared = _declared_end(container)
        # A raw stream has no header: its duration is estimated from the bit rate.
        certain = container.format.name not in ("mp3", "aac", "mpegts", "mpeg")
        ceiling = Fraction(limits.max_seconds) + 1 if length is None else length
        whole = length if length is not None else (declared - start if declared is not None else Fraction(0))
        limits.check_samples(path, count(max(whole, Fraction(0)), stream.sample_rate), 1 if mono else stream.channels)
        most = partial(limits.check_samples, path)
        waveform, rate, end = read_samples(container, stream, zero=zero, start=start, seconds=ceiling, mono=mono, check=most)
        if length is None:
            limits.check_seconds(path, Fraction(waveform.shape[1], rate))
    if zero is None:
        if end == 0:
            raise MediaError(f"{path}: its audio has no samples (empty or truncated)")
        if start >= end:
            raise MediaError(f"{path}: start={float(start):g} s lies after the end of the audio at {float(end):.2f} s")
        if declared is not None:
            surplus = end - declared
            if 0 < surplus < Fraction(4096, rate):
                # Codecs encode whole frames. Samples after the declared end are padding.
                waveform = waveform[:, : max(1, count(declared - start, rate))]
            elif length is None and certain and -surplus > max(Fraction(1, 2), declared / 20):
                raise MediaError(f"{path}: ends early, at {float(end):.2f} s of {float(declared):.2f} s (damaged or truncated)")
    if not np.isfinite(waveform).all():
        raise MediaError(f"{path}: its audio contains NaN or infinity")
    return waveform, rate


def _declared_end(container: InputContainer) -> "Fraction | None":
    """Declared duration of the audio, in seconds."""
    stream = audio_stream(container)
    if stream is not None and stream.duration and stream.time_base:
        return stream.duration * stream.time_base
    return Fraction(container.duration, av.time_base) if container.duration else None
