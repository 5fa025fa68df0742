"""What a media file holds, found without decoding more than its first picture."""

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
    """What a file says of itself; what it does not have is None or zero.

    duration: seconds, of the pictures where there are any, the last of which is held while the sound goes on; of a `Source`, of
    its part. fps: pictures per second, on average. size: (h, w) in pixels, as shown: turned and with square pixels. num_frames:
    an estimate. rotation: degrees anticlockwise by which the stored pictures are turned to be shown. channels: of the sound.
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

    Args:
        path: a path or a `Source`.
        limits: what the file may ask of this machine; None: the source's, or the defaults.

    Raises:
        MediaError: not readable, without pictures and sound, pictures that cannot be decoded, or above `limits` in pixels.
    """
    source = as_source(path)
    limits = limits or source.limits or Limits()
    with open_media(source, limits) as container:
        video, audio = video_stream(container), audio_stream(container)
        if video is None and audio is None:
            raise MediaError(f"{source}: holds neither pictures nor sound that can be read{describe_unknown_codecs(container)}")
        stream = video or audio
        assert stream is not None
        seconds = None
        if stream.duration and stream.time_base:
            seconds = stream.duration * stream.time_base
        elif video is not None and audio is not None:
            # Matroska's header says how long all of it lasts, which may be the sound.
            seconds = read_timeline(source).seconds
        elif container.duration:
            seconds = Fraction(container.duration, av.time_base)
        if video is not None and audio is not None and seconds is not None and audio.duration and audio.time_base:
            begin = Fraction(video.start_time or 0) * Fraction(video.time_base or 1)
            heard = ((audio.start_time or 0) + audio.duration) * audio.time_base - begin
            # The rate of a stream of bits is an estimate, and so is what follows from it.
            if heard - seconds > MAX_END_GAP:
                seconds = read_timeline(source).seconds
        fps, size, num_frames, rotation = None, None, 0, 0
        if video is not None:
            limits.check_picture(Path(source), video.height, video.width)
            frame = next(container.decode(video), None)
            if frame is None:
                raise MediaError(f"{source}: no picture in it can be decoded")
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
