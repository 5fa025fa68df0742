"""What a media file holds, found without decoding more than its first picture."""

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from sonovid.geometry import as_rate
from sonovid.media.files import Limits, MediaError, audio_stream, opened, video_stream
from sonovid.media.pictures import display_matrix, displayed_size, scan


@dataclass(frozen=True)
class MediaInfo:
    """What a file says of itself; what it does not have is None or zero.

    duration: seconds, of the pictures where there are any. fps: pictures per second, on average. size: (h, w) in pixels, as
    shown: turned and with square pixels. num_frames: an estimate. rotation: degrees anticlockwise by which the stored pictures
    are turned to be shown. channels: of the sound.
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
    """What a media file holds.

    Raises:
        MediaError: not readable, without pictures and sound, pictures that cannot be decoded, or above `limits` in pixels.
    """
    with opened(path) as container:
        video, audio = video_stream(container), audio_stream(container)
        if video is None and audio is None:
            raise MediaError(f"{path}: holds neither pictures nor sound that can be read")
        stream = video or audio
        assert stream is not None
        seconds = None
        if stream.duration and stream.time_base:
            seconds = stream.duration * stream.time_base
        elif video is not None and audio is not None:
            # Matroska's header says how long all of it lasts, which may be the sound.
            seconds = scan(path).seconds
        elif container.duration:
            seconds = Fraction(container.duration, av.time_base)
        fps, size, num_frames, rotation = None, None, 0, 0
        if video is not None:
            if limits is not None:
                limits.check_picture(Path(path), video.height, video.width)
            frame = next(container.decode(video), None)
            if frame is None:
                raise MediaError(f"{path}: no picture in it can be decoded")
            size = displayed_size(frame, video.sample_aspect_ratio)
            rotation = frame.rotation if display_matrix(frame) is not None else 0
            average = video.average_rate or video.guessed_rate
            if not seconds or not average:
                timeline = scan(path)
                seconds, average = timeline.seconds, timeline.rate
            fps = as_rate(average)
            num_frames = video.frames or max(1, round(seconds * fps))
        return MediaInfo(
            duration=seconds or Fraction(0),
            fps=fps,
            size=size,
            num_frames=num_frames,
            sample_rate=audio.sample_rate if audio is not None else None,
            channels=audio.channels if audio is not None else 0,
            has_video=video is not None,
            has_audio=audio is not None,
            rotation=rotation,
        )
