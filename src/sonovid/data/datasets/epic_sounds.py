"""EPIC-SOUNDS (Huh et al. 2023): annotated sounds in the kitchen videos of EPIC-KITCHENS-100, with start, end and class.

EPIC_Sounds_train.csv and EPIC_Sounds_validation.csv have one row per sound: video_id, start_timestamp, stop_timestamp
(hours:minutes:seconds) and class (description in older files). The test list has no classes. Videos are named P01_01.MP4 and
lie in any subfolder; the download script of EPIC-KITCHENS uses P01/videos/.
"""

from pathlib import Path
from typing import NamedTuple

from sonovid.data.datasets import layout
from sonovid.data.entry import Entry

LISTS = {
    "train": "EPIC_Sounds_train.csv",
    "validation": "EPIC_Sounds_validation.csv",
    "test": "EPIC_Sounds_recognition_test_timestamps.csv",
}


class SoundEvent(NamedTuple):
    """An annotated sound: start and end in seconds, and its class ("" in the test list)."""

    start: float
    stop: float
    kind: str


def read(folder: Path, *, split: str = "train", seconds: float = 4.0) -> list[Entry]:
    """Cuts the videos of a split into consecutive segments and reads those in which an annotated sound begins.

    Events are the starts of sounds. The label is the class with the longest duration in the segment. The caption names the
    classes in the order in which they begin.

    Args:
        folder: Folder of the dataset.
        split: train, validation or test.
        seconds: Length of a segment.

    Raises:
        ValueError: The split or its list does not exist, none of its videos is there, or a timestamp is malformed.
    """
    layout.check_split(split, LISTS)
    listed = layout.find_file(folder, LISTS[split], "published with EPIC-SOUNDS")
    sounds: dict[str, list[SoundEvent]] = {}
    for number, row in enumerate(layout.read_table(listed, ("video_id", "start_timestamp", "stop_timestamp")), 2):
        start, stop = (_parse_timestamp(listed, number, row[key]) for key in ("start_timestamp", "stop_timestamp"))
        kind = " ".join((row.get("class") or row.get("description") or "").split())
        sounds.setdefault(row["video_id"], []).append(SoundEvent(start, stop, kind))
    files = layout.videos_by_stem(folder)
    entries: list[Entry] = []
    for video, found in sounds.items():
        if video in files:
            entries += _cut_segments(files[video], files[video].relative_to(folder).as_posix(), sorted(found), seconds)
    layout.report_missing([f"{video}.MP4" for video in sounds if video not in files], len(sounds), f"videos of the {split} list")
    return entries


def _parse_timestamp(path: Path, number: int, text: str) -> float:
    """Converts hours:minutes:seconds to seconds."""
    parts = text.strip().split(":")
    try:
        hours, minutes, seconds = int(parts[0]), int(parts[1]), float(parts[2])
    except (ValueError, IndexError):
        raise ValueError(f"{path} line {number}: time {text!r}; expected hours:minutes:seconds") from None
    return 3600 * hours + 60 * minutes + seconds


def _cut_segments(path: Path, name: str, sounds: list[SoundEvent], seconds: float) -> list[Entry]:
    entries = []
    for start in layout.segment_starts(path, seconds):
        stop = start + seconds
        starting = [sound for sound in sounds if start <= sound.start < stop]
        if not starting:
            continue
        durations: dict[str, float] = {}
        for sound in sounds:
            if (shared := min(sound.stop, stop) - max(sound.start, start)) > 0 and sound.kind:
                durations[sound.kind] = durations.get(sound.kind, 0.0) + shared
        kinds = list(dict.fromkeys(sound.kind for sound in starting if sound.kind))
        events = tuple(round(sound.start - start, 6) for sound in starting)
        label = max(durations, key=lambda kind: durations[kind]) if durations else ""
        caption = f"in a kitchen: {', '.join(kinds)}" if kinds else "in a kitchen"
        entries.append(Entry(str(path), caption, label, start, seconds, events, name))
    return entries
