"""Long videos to clips at shot boundaries, which PySceneDetect finds; packets are copied where a shot begins at a keyframe."""

import itertools
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from sonovid import media
from sonovid.core.geometry import count, duration

log = logging.getLogger(__name__)

# Pictures are compared at this height; PySceneDetect's own default makes them about as small.
HEIGHT = 144
# A film may be as long as it is: a few pictures of it are in memory at a time.
UNLIMITED = media.Limits(max_seconds=1e6)


@dataclass(frozen=True)
class Shot:
    """One stretch of a video without a cut, in seconds from its beginning."""

    start: Fraction
    end: Fraction

    @property
    def seconds(self) -> Fraction:
        return self.end - self.start


def shots(path: "str | Path", *, threshold: float | int = 27.0, least: float | int = 0.5) -> list[Shot]:
    """The shots of a video, end to end, by PySceneDetect's content detector.

    Args:
        path: a video.
        threshold: how much hue, saturation and brightness must change on average from one picture to the next for a cut, of 255.
        least: the shortest shot in seconds; a cut that follows the last one sooner is passed over.

    Raises:
        ValueError: PySceneDetect is not installed, or the file cannot be read.
    """
    try:
        from scenedetect import FrameTimecode
        from scenedetect.detectors import ContentDetector
    except ImportError:
        raise ValueError("PySceneDetect is not installed: pip install 'sonovid[split]'") from None
    info = media.probe(path)
    if info.size is None or info.fps is None:
        raise ValueError(f"{path}: has no pictures, so no shots")
    height, width = info.size
    shown = media.stream_frames(path, size=(HEIGHT, max(8, round(HEIGHT * width / height))), limits=UNLIMITED)
    rate = float(shown.fps)
    detector = ContentDetector(threshold=threshold, min_scene_len=max(1, round(least * rate)))
    cuts: list[int] = []
    last: Any = None
    for number, frame in enumerate(shown.frames):
        last = FrameTimecode(number, rate)
        # PySceneDetect works on OpenCV's order of colours.
        cuts += [cut.frame_num for cut in detector.process_frame(last, np.ascontiguousarray(frame[..., ::-1]))]
    if last is not None:
        cuts += [cut.frame_num for cut in detector.post_process(last)]
    edges = [Fraction(0), *(duration(cut, shown.fps) for cut in sorted(set(cuts))), duration(shown.num_frames, shown.fps)]
    return [Shot(start, end) for start, end in itertools.pairwise(edges) if end > start]


def stretches(found: list[Shot], *, least: float | int, most: float | int) -> Iterator[Shot]:
    """Shots that are long enough, longer ones cut into equal parts of at most `most` seconds.

    Raises:
        ValueError: `most` is less than twice `least`, so that parts could be too short.
    """
    if not 0 < 2 * least <= most:
        raise ValueError(f"least={least}, most={most}: expected seconds above zero, the second at least twice the first")
    for shot in found:
        if shot.seconds < Fraction(least):
            continue
        parts = math.ceil(shot.seconds / Fraction(most))
        part = shot.seconds / parts
        for i in range(parts):
            yield Shot(shot.start + i * part, shot.start + (i + 1) * part)


def cut(path: "str | Path", shot: Shot, out: "str | Path", *, quality: int = 18) -> None:
    """One shot as a file of its own: pictures are copied where the shot begins at a keyframe, and encoded anew elsewhere.

    Args:
        path: the video.
        shot: what is cut out of it.
        out: .mp4, .mov or .mkv; whole or not at all.
        quality: of pictures that are encoded, as in `media.write`.

    Raises:
        MediaError: the file cannot be read there.
    """
    info = media.probe(path)
    rate = info.sample_rate or 48000
    if info.has_audio:
        part: dict[str, Any] = {"start": shot.start, "seconds": shot.seconds}
        waveform = media.read(path, video=False, limits=UNLIMITED, **part).waveform
    else:
        waveform = None
    if waveform is None:
        waveform = np.zeros((1, count(shot.seconds, rate)), np.float32)
    media.mux(media.Source(path, shot.start, shot.seconds, limits=UNLIMITED), waveform, rate, out, quality=quality)
