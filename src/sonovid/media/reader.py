"""A media file -> Clip."""

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
    """The pictures and the sound of a file, in step: both begin at the first picture's stamp (at the sound's own beginning where
    there are no pictures), and both last exactly equally long: the last picture is held as long as it says or as the sound goes
    on, and a sound that ends earlier is filled with silence.

    A clip without sound has waveform None, a sound alone has frames None. Rotation and pixel aspect are applied.

    path: a path or a `Source`, whose part and limits count; numbered pictures need one, for their rate.
    fps: frames per second; each frame is the picture on screen at its time, by the time stamps. None: the file's own rate, or its
        average where the rate varies.
    size: (h, w); pictures are scaled to cover it and cut evenly at the sides (Pillow, triangle filter). None: as they are shown.
    sample_rate: in Hz (soxr, high quality); None: the file's own. mono: mix to one channel by the weights of ITU-R BS.775.
    start, seconds: the part to read, from time zero; a file that ends before gives a shorter clip.
    video, audio: which of the two to read.
    limits: what the file may ask of this machine.

    Raises:
        MediaError: not readable, damaged, cut short, without what was asked for, or above the limits.
    """
    source = as_source(path)
    limits = limits or source.limits or Limits()
    start, length = _resolve_range(source, start, seconds)
    if not video and not audio:
        raise ValueError("read: neither video nor audio was asked for")
    with open_media(source, limits) as container:
        video_in, audio_in = video_stream(container), audio_stream(container)
        header = Fraction(container.duration, av.time_base) if container.duration else None
        if not (video_in and video) and not (audio_in and audio):
            what = "neither pictures nor sound" if video and audio else ("no pictures" if video else "no sound")
            raise MediaError(f"{source}: holds {what} that can be read{describe_unknown_codecs(container)}")
        if video_in and video:
            limits.check_picture(Path(source), video_in.height, video_in.width)
        if length is None and header is not None:
            limits.check_seconds(Path(source), header - start)
    timeline = read_timeline(source) if video_in else None
    frames, rate = None, as_rate(fps) if fps is not None else Fraction(25)
    if timeline is not None and video:
        rate = as_rate(fps) if fps is not None else timeline.rate
        frames = _read_frames(source, timeline, rate, size, start, length, limits)
        length = duration(len(frames), rate)
    elif timeline is not None and length is None:
        timeline.check_plausible(source)
    waveform = None
    if audio_in and audio:
        zero = timeline.zero if timeline is not None else None
        waveform, own = _read_audio(source, zero, start, length, mono, limits)
        waveform = resample_audio(waveform, own, sample_rate or own)
        sample_rate = sample_rate or own
        if frames is not None and length is not None:
            waveform = pad_or_trim(waveform, count(length, sample_rate))
        # Lossy codecs and resampling overshoot full scale a little, a clip does not.
        waveform = np.clip(waveform, -1.0, 1.0, out=waveform if waveform.flags.writeable else None)
    return Clip(frames, waveform, fps=rate, sample_rate=sample_rate or 16000)


def _resolve_range(
    source: Source, start: "Fraction | int | float", seconds: "Fraction | int | float | None"
) -> tuple[Fraction, "Fraction | None"]:
    """Where reading begins in the file and how long it goes on: a part of what the source itself is a part of."""
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
    """The pictures from `start` on at `rate`, uint8 [t h w 3]."""
    path = Path(source)
    left = timeline.seconds - start
    if left <= 0:
        raise MediaError(
            f"{path}: start={float(start):g} s lies after the end of the pictures at {float(timeline.seconds):.2f} s"
        )
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
        for index, (stamp, frame) in enumerate(frames_at(decode_frames(container, stream, timeline.zero + start), times, slack)):
            if frames is None:
                matrix = cached_display_matrix(source, frame)
                size = size or displayed_size(frame, aspect, matrix)
                limits.check_memory(path, num_frames, *size)
                frames = np.empty((num_frames, *size, 3), np.uint8)
            if frame is not last:
                limits.check_picture(path, frame.height, frame.width)
            frames[index] = frames[index - 1] if frame is last else to_rgb(frame, aspect, size, matrix)
            last, reached = frame, stamp
            report("reading", float(index + 1), float(num_frames))
    if frames is None:
        raise MediaError(f"{path}: none of its pictures can be decoded (damaged, or cut short)")
    # The last picture that was found has to be near the last that was to be shown.
    expected = timeline.zero + min(start + duration(num_frames - 1, rate), timeline.last)
    if expected - reached > max(Fraction(1, 2), 3 / timeline.rate) and timeline.constant:
        raise MediaError(
            f"{path}: ends early, at {float(reached - timeline.zero):.2f} s of {float(timeline.seconds):.2f} s (damaged, or cut short)"
        )
    return frames


def _read_audio(
    source: Source, zero: "Fraction | None", start: Fraction, length: "Fraction | None", mono: bool, limits: Limits
) -> tuple[np.ndarray, int]:
    """The sound from `start` on, float32 [c n], and its own sample rate."""
    path = Path(source)
    with open_media(source, limits) as container:
        stream = audio_stream(container)
        assert stream is not None
        declared = _declared_end(container)
        # A raw stream has no header, its length is an estimate from its bit rate.
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
            raise MediaError(f"{path}: its sound has no samples (empty, or cut short)")
        if start >= end:
            raise MediaError(f"{path}: start={float(start):g} s lies after the end of the sound at {float(end):.2f} s")
        if declared is not None:
            surplus = end - declared
            if 0 < surplus < Fraction(4096, rate):
                # Codecs come in whole frames; what lies after the end that the file declares is their filling.
                waveform = waveform[:, : max(1, count(declared - start, rate))]
            elif length is None and certain and -surplus > max(Fraction(1, 2), declared / 20):
                raise MediaError(f"{path}: ends early, at {float(end):.2f} s of {float(declared):.2f} s (damaged, or cut short)")
    if not np.isfinite(waveform).all():
        raise MediaError(f"{path}: its sound holds values that are no numbers (NaN or infinity)")
    return waveform, rate


def _declared_end(container: InputContainer) -> "Fraction | None":
    """How long the sound lasts by the file's own word, in seconds."""
    stream = audio_stream(container)
    if stream is not None and stream.duration and stream.time_base:
        return stream.duration * stream.time_base
    return Fraction(container.duration, av.time_base) if container.duration else None
