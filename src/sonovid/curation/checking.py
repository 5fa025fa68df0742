"""Quality checks of training clips and detection of duplicates. Files are not changed."""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np

from sonovid import media
from sonovid.core.processes import process_pool
from sonovid.curation import fingerprints
from sonovid.data import manifest
from sonovid.data.entry import Entry
from sonovid.media.files import MediaError
from sonovid.media.frames import read_timeline
from sonovid.metrics import alignment
from sonovid.metrics import offset as offsets

# Frame rate and height of the analysed video, sample rate of the analysed audio, and the most seconds of each file.
FPS, HEIGHT, RATE, SECONDS = 12, 72, 16000, 60.0
# Audio below this level in dBFS is silent; runs of this many samples at full scale are clipped.
SILENT_DB, CLIPPED_RUN, CLIPPED_SHARE = -60.0, 3, 1e-3
# Of 255: the maximum mean brightness of a black video, and the maximum frame difference of a frozen one.
BLACK, STILL = 16.0, 0.5
# Offsets of at least this many seconds are reported if the estimate has this confidence.
OFFSET, CONFIDENCE = 0.15, 0.4

FAULTS = {
    "broken": "cannot be read to its end",
    "no pictures": "has no video",
    "no sound": "has no audio",
    "silent": f"its audio stays below {SILENT_DB:g} dBFS",
    "clipped": f"more than {CLIPPED_SHARE:.1%} of its samples are at full scale",
    "black": "its video is black throughout",
    "frozen": "its video never changes",
    "variable rate": "its frame rate varies",
    "offset": f"its audio is offset from its video by {OFFSET:g} s or more",
    "no caption": "has no caption",
    "copy": "is a copy of another clip",
    "leak": "is a copy of a clip on the other side of the split",
}


@dataclass
class Report:
    """The result of checking one clip. Unknown numbers are NaN.

    Attributes:
        name, path: of the clip.
        faults: keys of `FAULTS`.
        detail: why a file is broken.
        seconds: duration.
        loudness: RMS level in dBFS.
        clipped: the share of clipped samples.
        offset: of the audio in seconds, positive if it is late.
        confidence: of the offset.
        copy_of: the first clip that it is a copy of.
        moments: fingerprints of five frames and of the thirds of the audio.
    """

    name: str
    path: str
    faults: list[str] = field(default_factory=list)
    detail: str = ""
    seconds: float = math.nan
    loudness: float = math.nan
    clipped: float = math.nan
    offset: float = math.nan
    confidence: float = math.nan
    copy_of: str = ""
    moments: list[int] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON, without fingerprints and unknown values."""
        kept = {name: value for name, value in asdict(self).items() if name != "moments"}
        rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in kept.items()}
        return {name: value for name, value in rounded.items() if value not in ("", []) and value == value}


def check_clips(entries: Sequence[Entry], *, captions: bool = False, workers: int = 0) -> Iterator[Report]:
    """Check each clip by itself, in order. `find_copies` compares the reports.

    Args:
        entries: the clips.
        captions: whether a missing caption is a fault.
        workers: processes; 0: this process.

    Raises:
        ValueError: an entry is a scene, which has no file.
    """
    if scene := next((entry for entry in entries if entry.scene), None):
        raise ValueError(f"{scene.name} is a scene and has no file; only files can be checked")
    with process_pool(workers) as run:
        yield from run(partial(check_clip, captions=captions), entries)


def check_clip(entry: Entry, *, captions: bool = False) -> Report:
    """Check one clip."""
    report = Report(entry.name or entry.path, entry.path)
    if captions and not entry.caption:
        report.faults.append("no caption")
    try:
        info = media.probe(entry.path)
        report.seconds = float(info.duration)
        motion = _check_video(entry, report) if info.has_video else None
        wave = _check_audio(entry, report) if info.has_audio else None
    except (MediaError, OSError) as error:
        report.faults.insert(0, "broken")
        report.detail = str(error).removeprefix(f"{entry.path}: ")
        return report
    for there, fault in ((info.has_video, "no pictures"), (info.has_audio, "no sound")):
        if not there:
            report.faults.append(fault)
    if motion is not None and wave is not None and not {"silent", "frozen"} & set(report.faults):
        _check_offset(motion, wave, report)
    return report


def _length(entry: Entry) -> float:
    return min(SECONDS, entry.seconds or SECONDS)


def _check_video(entry: Entry, report: Report) -> np.ndarray:
    """Check the video and add its fingerprints to the report; returns the motion energy of each frame."""
    if not read_timeline(entry.path).constant:
        report.faults.append("variable rate")
    height, width = media.probe(entry.path).size or (HEIGHT, HEIGHT)
    size = (HEIGHT, max(8, round(HEIGHT * width / height)))
    clip = media.read(entry.path, fps=FPS, size=size, start=entry.start, seconds=_length(entry), audio=False)
    frames = clip.frames
    assert frames is not None
    if frames.reshape(len(frames), -1).mean(1).max() < BLACK:
        report.faults.append("black")
    steps = [float(np.abs(b.astype(np.int16) - a).mean()) for a, b in itertools.pairwise(frames)]
    if len(frames) > 1 and max(steps) < STILL:
        report.faults.append("frozen")
    small = _cells(frames[[len(frames) * (2 * i + 1) // (2 * fingerprints.MOMENTS) for i in range(fingerprints.MOMENTS)]])
    report.moments = [fingerprints.frame_hash(frame) for frame in small]
    return alignment.motion_energy(iter(frames))


def _cells(frames: np.ndarray) -> np.ndarray:
    """Downscale frames to 8x9 by averaging."""
    rows, columns = (np.linspace(0, n, parts + 1).astype(int) for n, parts in zip(frames.shape[1:3], (8, 9), strict=True))
    sums = np.add.reduceat(np.add.reduceat(frames.astype(np.float32), rows[:-1], axis=1), columns[:-1], axis=2)
    return (sums / (np.diff(rows)[None, :, None, None] * np.diff(columns)[None, None, :, None])).round().astype(np.uint8)


def _check_audio(entry: Entry, report: Report) -> np.ndarray:
    """Check the audio and add its fingerprints to the report; returns the samples."""
    wave = media.read(entry.path, sample_rate=RATE, mono=True, start=entry.start, seconds=_length(entry), video=False).waveform
    assert wave is not None
    samples = wave[0]
    level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0
    report.loudness = 20 * math.log10(level) if level > 0 else -math.inf
    if report.loudness < SILENT_DB:
        report.faults.append("silent")
    report.clipped = clipped_share(samples)
    if report.clipped > CLIPPED_SHARE:
        report.faults.append("clipped")
    report.moments = [*(report.moments or [0] * fingerprints.MOMENTS), *fingerprints.audio_hashes(samples)]
    return samples


def clipped_share(samples: np.ndarray) -> float:
    """The share of samples in runs at full scale, within 1 %. Clipping produces runs of several samples."""
    top = float(np.abs(samples).max(initial=0.0))
    if top < 0.9:
        return 0.0
    high = np.abs(samples) >= 0.99 * top
    edges = np.flatnonzero(np.diff(np.concatenate([[0], high.astype(np.int8), [0]])))
    lengths = edges[1::2] - edges[::2]
    return float(lengths[lengths >= CLIPPED_RUN].sum() / max(1, len(samples)))


def _check_offset(motion: np.ndarray, samples: np.ndarray, report: Report) -> None:
    """Estimate the offset between audio and video."""
    seconds = min(len(motion) / FPS, len(samples) / RATE)
    times, strength = alignment.onset_strength(samples, RATE)
    sound = offsets.audio_curve(strength, times, seconds, float(FPS))
    found = offsets.offset(sound, offsets.video_curve(motion, np.arange(len(motion)) / FPS, seconds))
    report.offset, report.confidence = found
    if found.confidence >= CONFIDENCE and abs(found.seconds) >= OFFSET:
        report.faults.append("offset")


def find_copies(reports: Sequence[Report], entries: Sequence[Entry], *, share: float = 0.0) -> None:
    """Mark clips that are copies of earlier ones, and copies across the training split.

    Args:
        reports: of all clips; modified in place.
        entries: the clips.
        share: the held-out share, as `data.held_out` of a training; 0: no split.
    """
    held_out = {id(entry) for entry in (manifest.split(entries, share)[1] if share else [])}
    for members in fingerprints.group_copies([report.moments for report in reports]):
        sides = {id(entries[i]) in held_out for i in members}
        for i in members:
            if i != members[0]:
                reports[i].copy_of = reports[members[0]].name
                reports[i].faults.append("copy")
            if len(sides) > 1:
                reports[i].faults.append("leak")


def table(reports: Sequence[Report], *, shown: int = 3) -> list[str]:
    """A summary: the number of clips with each fault, and the names of the first."""
    counts = Counter(fault for report in reports for fault in report.faults)
    lines = [f"{len(reports)} clips, {sum(not report.faults for report in reports)} without a fault"]
    for fault, what in FAULTS.items():
        if counts[fault]:
            named = [_named(report, fault) for report in reports if fault in report.faults][:shown]
            more = f" and {counts[fault] - shown} more" if counts[fault] > shown else ""
            lines.append(f"{fault:14}{counts[fault]:6}  {what}: {', '.join(named)}{more}")
    return lines


def _named(report: Report, fault: str) -> str:
    """A clip's name with details of its fault."""
    details = {
        "broken": report.detail,
        "silent": f"{report.loudness:.0f} dBFS",
        "clipped": f"{report.clipped:.1%}",
        "offset": f"{1000 * report.offset:+.0f} ms",
        "copy": f"of {report.copy_of}",
    }
    return f"{report.name} ({details[fault]})" if details.get(fault) else report.name
