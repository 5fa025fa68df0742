"""EPIC-SOUNDS (Huh et al. 2023): the sounds of the kitchens of EPIC-KITCHENS-100, each with its beginning, end and class.

EPIC_Sounds_train.csv and EPIC_Sounds_validation.csv have a row for each sound: video_id, start_timestamp, stop_timestamp
(hours:minutes:seconds), class (in older files description). The test list has no classes. Videos are P01_01.MP4 and so on, in any
folder below; EPIC-KITCHENS' own script puts them in P01/videos/.
"""

from pathlib import Path
from typing import NamedTuple

from sonovid.data.entry import Entry
from sonovid.data.sources import layout

LISTS = {
    "train": "EPIC_Sounds_train.csv",
    "validation": "EPIC_Sounds_validation.csv",
    "test": "EPIC_Sounds_recognition_test_timestamps.csv",
}


class Sound(NamedTuple):
    """One annotated sound: beginning and end in seconds, and its class ("" in the test list)."""

    start: float
    stop: float
    kind: str


def read(folder: Path, *, split: str = "train", seconds: float = 4.0) -> list[Entry]:
    """Stretches of the videos of a split, end to end, in which at least one annotated sound begins.

    events: the beginnings of sounds. The label is the class that sounds longest in the stretch; the caption names the classes in
    the order in which they begin. seconds: the length of a stretch.

    Raises:
        ValueError: no such split, no list, none of its videos, or a time that is not understood.
    """
    layout.chosen(split, LISTS)
    listed = layout.find(folder, LISTS[split], "published with EPIC-SOUNDS")
    sounds: dict[str, list[Sound]] = {}
    for number, row in enumerate(layout.table(listed, ("video_id", "start_timestamp", "stop_timestamp")), 2):
        start, stop = (_seconds(listed, number, row[key]) for key in ("start_timestamp", "stop_timestamp"))
        kind = " ".join((row.get("class") or row.get("description") or "").split())
        sounds.setdefault(row["video_id"], []).append(Sound(start, stop, kind))
    files = layout.by_stem(folder)
    entries: list[Entry] = []
    for video, found in sounds.items():
        if video in files:
            entries += _cut(files[video], files[video].relative_to(folder).as_posix(), sorted(found), seconds)
    layout.tell_missing([f"{video}.MP4" for video in sounds if video not in files], len(sounds), f"videos of the {split} list")
    return entries


def _seconds(path: Path, number: int, text: str) -> float:
    """Seconds from hours:minutes:seconds."""
    parts = text.strip().split(":")
    try:
        hours, minutes, seconds = int(parts[0]), int(parts[1]), float(parts[2])
    except (ValueError, IndexError):
        raise ValueError(f"{path} line {number}: time {text!r}; expected hours:minutes:seconds") from None
    return 3600 * hours + 60 * minutes + seconds


def _cut(path: Path, name: str, sounds: list[Sound], seconds: float) -> list[Entry]:
    entries = []
    for start in layout.stretches(path, seconds):
        stop = start + seconds
        begun = [sound for sound in sounds if start <= sound.start < stop]
        if not begun:
            continue
        lasting: dict[str, float] = {}
        for sound in sounds:
            if (shared := min(sound.stop, stop) - max(sound.start, start)) > 0 and sound.kind:
                lasting[sound.kind] = lasting.get(sound.kind, 0.0) + shared
        kinds = list(dict.fromkeys(sound.kind for sound in begun if sound.kind))
        events = tuple(round(sound.start - start, 6) for sound in begun)
        label = max(lasting, key=lambda kind: lasting[kind]) if lasting else ""
        caption = f"in a kitchen: {', '.join(kinds)}" if kinds else "in a kitchen"
        entries.append(Entry(str(path), caption, label, start, seconds, events, name))
    return entries
