"""Splitting long videos into clips at the shot boundaries that PySceneDetect finds, without re-encoding where possible."""

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

# Frames are compared at this height, about PySceneDetect's own default.
HEIGHT = 144
# Videos may have any length: only a few frames are in memory at a time.
UNLIMITED = media.Limits(max_seconds=1e6)


@dataclass(frozen=True)
class Shot:
    """A part of a video without a cut, in seconds from its start."""

    start: Fraction
    end: Fraction

    @property
    def seconds(self) -> Fraction:
        return self.end - self.start


def detect_shots(path: "str | Path", *, threshold: float | int = 27.0, least: float | int = 0.5) -> list[Shot]:
    """Detect the shots of a video with PySceneDetect's content detector.

    Args:
        path: a video.
        threshold: the mean change of hue, saturation and brightness between frames at a cut, of 255.
        least: the shortest shot in seconds; earlier cuts are ignored.

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
        raise ValueError(f"{path}: has no video, so it cannot be split")
    height, width = info.size
    shown = media.stream_frames(path, size=(HEIGHT, max(8, round(HEIGHT * width / height))), limits=UNLIMITED)
    rate = float(shown.fps)
    detector = ContentDetector(threshold=threshold, min_scene_len=max(1, round(least * rate)))
    cuts: list[int] = []
    last: Any = None
    for number, frame in enumerate(shown.frames):
        last = FrameTimecode(number, rate)
        # PySceneDetect takes BGR as OpenCV.
        cuts += [cut.frame_num for cut in detector.process_frame(last, np.ascontiguousarray(frame[..., ::-1]))]
    if last is not None:
        cuts += [cut.frame_num for cut in detector.post_process(last)]
    edges = [Fraction(0), *(duration(cut, shown.fps) for cut in sorted(set(cuts))), duration(shown.num_frames, shown.fps)]
    return [Shot(start, end) for start, end in itertools.pairwise(edges) if end > start]


def split_shots(found: list[Shot], *, least: float | int, most: float | int) -> Iterator[Shot]:
    """Drop short shots, and split long ones into equal parts.

    Args:
        found: the shots.
        least: the shortest part in seconds.
        most: the longest part in seconds, at least twice `least`, so that no part is too short.

    Raises:
        ValueError: invalid lengths.
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


def write_shot(path: "str | Path", shot: Shot, out: "str | Path", *, quality: int = 18) -> None:
    """Write a shot to a file. The video is copied if the shot starts at a keyframe, and re-encoded otherwise.

    Args:
        path: the video.
        shot: the part to write.
        out: .mp4, .mov or .mkv; written atomically.
        quality: of re-encoded video, as in `media.write`.

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
