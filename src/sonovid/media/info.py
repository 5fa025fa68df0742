"""Reads what a media file contains, without decoding more than the first frame."""

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from sonovid.core.geometry import as_rate
from sonovid.media.files import Limits, MediaError, audio_stream, describe_unknown_codecs, open_media, video_stream
from sonovid.media.frames import MAX_END_GAP, cached_display_matrix, displayed_size, read_timeline
from sonovid.media.source import as_source


@dataclass(frozen=True)
class MediaInfo:
    """Properties of a media file. Properties that it does not have are None or zero.

    Attributes:
        duration: Seconds: that of the video where there is one, whose last frame is held while the audio continues. For a
            `Source`, the duration of its time range.
        fps: Average frames per second.
        size: Displayed size (h, w) in pixels: rotated, with square pixels.
        num_frames: Estimated number of frames.
        sample_rate: Sample rate of the audio in Hz.
        channels: Number of audio channels.
        has_video: Whether there is a video stream.
        has_audio: Whether there is an audio stream.
        rotation: Anticlockwise rotation of the stored frames for display, in degrees.
    """

    duration: Fraction
    fps: "Fraction | None"
    size: "tuple[int, int] | None"
    num_frames: int
    sample_rate: "int | None"
    channels: int
    has_video: bool
    has_audio: bool
    rotation: int


def probe(path: "str | os.PathLike", *, limits: "Limits | None" = None) -> MediaInfo:
    """Reads the properties of a media file.

    Args:
        path: Path or `Source`.
        limits: Limits on the file. Defaults to those of the source, else to `Limits()`.

    Raises:
        MediaError: The file cannot be read, has neither video nor audio, has no frame that can be decoded, or exceeds
            `limits.max_pixels`.
    """
    source = as_source(path)
    limits = limits or source.limits or Limits()
    with open_media(source, limits) as container:
        video, audio = video_stream(container), audio_stream(container)
        if video is None and audio is None:
            raise MediaError(f"{source}: has neither readable video nor readable audio{describe_unknown_codecs(container)}")
        stream = video or audio
        assert stream is not None
        seconds = None
        if stream.duration and stream.time_base:
            seconds = stream.duration * stream.time_base
        elif video is not None and audio is not None:
            # The header of Matroska gives the duration of the whole file, which may be that of the audio.
            seconds = read_timeline(source).seconds
        elif container.duration:
            seconds = Fraction(container.duration, av.time_base)
        if video is not None and audio is not None and seconds is not None and audio.duration and audio.time_base:
            begin = Fraction(video.start_time or 0) * Fraction(video.time_base or 1)
            heard = ((audio.start_time or 0) + audio.duration) * audio.time_base - begin
            # Durations that follow from a bit rate are estimates: the timestamps decide.
            if heard - seconds > MAX_END_GAP:
                seconds = read_timeline(source).seconds
        fps, size, num_frames, rotation = None, None, 0, 0
        if video is not None:
            limits.check_frame_size(Path(source), video.height, video.width)
            frame = next(container.decode(video), None)
            if frame is None:
                raise MediaError(f"{source}: none of its frames can be decoded")
            matrix = cached_display_matrix(source, frame)
            size = displayed_size(frame, video.sample_aspect_ratio, matrix)
            rotation = frame.rotation if matrix is not None else 0
            average = video.average_rate or video.guessed_rate
            if not seconds or not average:
                timeline = read_timeline(source)
                seconds, average = timeline.seconds, timeline.rate
            fps = as_rate(average)
            num_frames = video.frames or max(1, round(seconds * fps))
        whole = seconds or Fraction(0)
        part = source.part_duration(whole) if source.start or source.seconds else whole
        if part != whole and fps is not None:
            num_frames = max(1, round(part * fps))
        return MediaInfo(
            duration=part,
            fps=fps,
            size=size,
            num_frames=num_frames,
            sample_rate=audio.sample_rate if audio is not None else None,
            channels=audio.channels if audio is not None else 0,
            has_video=video is not None,
            has_audio=audio is not None,
            rotation=rotation,
        )
