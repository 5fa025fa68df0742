"""Greatest Hits (Owens et al. 2016): a drumstick hits and scratches objects, with annotated contacts.

vis-data (or vis-data-256) has train.txt and test.txt with the names of recordings. Each recording has NAME_denoised.mp4,
NAME_mic.mp4 (in vis-data-256 NAME_denoised_thumb.mp4 and so on) and NAME_times.txt, with one line per contact: time in seconds,
material, kind (hit or scratch) and reaction. The authors of SVG cut recordings into segments of 4 s, NAME_denoised_thumb-000.mp4,
-001 and so on, and published a caption for each in flist_*.txt: a path, a comma, and the quoted caption. Both forms are read.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from sonovid.data.datasets import layout
from sonovid.data.entry import Entry

# Segments of SVG's authors: recording, audio variant, and number of the segment.
SEGMENT, SEGMENT_SECONDS = re.compile(r"(.+)_(denoised|mic)(?:_thumb)?-(\d+)"), 4.0
# Captions by recording and number of the segment.
Captions = dict[tuple[str, int], str]


class Contact(NamedTuple):
    """An annotated contact: time in seconds, material and kind ("" where not annotated)."""

    time: float
    material: str
    kind: str


def read(folder: Path, *, split: str = "train", seconds: float = 4.0, sound: str = "denoised", captions: str = "") -> list[Entry]:
    """Cuts the recordings of a split into consecutive segments. Events are the times of the contacts.

    The label is the material of most contacts in the segment. The caption is that of SVG's lists for segments of 4 s, else the
    text file beside the video (`sonovid caption`), else it names the materials.

    Args:
        folder: Folder of the dataset.
        split: train, test or all.
        seconds: Length of a segment; 4 in SVG.
        sound: denoised, or mic for the audio as recorded.
        captions: A list of SVG or a folder of lists. Empty: flist_*.txt in the folder of the dataset.

    Raises:
        ValueError: The split or audio variant does not exist, a list is missing, none of the videos is there, or a contact is
            malformed.
    """
    layout.check_split(split, ("train", "test", "all"))
    if sound not in ("denoised", "mic"):
        raise ValueError(f"sound={sound}: expected denoised or mic")
    what = "the list of recordings that comes with Greatest Hits"
    lists = [layout.find_file(folder, f"{part}.txt", what) for part in (("train", "test") if split == "all" else (split,))]
    names = [name for path in lists for name in layout.read_lines(path)]
    files, svg_captions = layout.videos_by_stem(folder), read_captions(folder, captions)
    times = {path.name: path for path in sorted(folder.rglob("*_times.txt"))}
    segments: dict[str, list[tuple[int, Path]]] = {}
    for stem, path in files.items():
        if (found := SEGMENT.fullmatch(stem)) and found[2] == sound:
            segments.setdefault(found[1], []).append((int(found[3]), path))
    entries: list[Entry] = []
    missing = []
    for name in names:
        whole = files.get(f"{name}_{sound}") or files.get(f"{name}_{sound}_thumb")
        parts = sorted(segments.get(name, [])) if whole is None else [(0, whole)]
        if not parts:
            missing.append(f"{name}_{sound}.mp4")
            continue
        annotated = times.get(f"{name}_times.txt")
        contacts = [] if annotated is None else read_contacts(annotated)
        for number, path in parts:
            begin = number * SEGMENT_SECONDS
            entries += _cut_segments(
                path,
                path.relative_to(folder).as_posix(),
                contacts,
                seconds,
                begin,
                _recording_captions(svg_captions, name, seconds),
            )
    layout.report_missing(missing, len(names), f"recordings of the {split} list")
    return entries


def read_captions(folder: Path, given: str = "") -> Captions:
    """Reads the captions of SVG's lists by recording and segment. Empty if there are no lists.

    Raises:
        ValueError: The given list does not exist, or a line is malformed.
    """
    place = Path(given).expanduser() if given else folder
    if given and not place.exists():
        place = folder / given
    paths: Iterable[Path] = [place] if place.is_file() else sorted(place.rglob("flist_*.txt"))
    found: Captions = {}
    for path in paths:
        for number, row in enumerate(csv.reader(layout.read_lines(path), skipinitialspace=True), 1):
            segment = SEGMENT.fullmatch(Path(row[0]).name.removesuffix(".mp4")) if row else None
            if segment is None or len(row) < 2:
                raise ValueError(
                    f'{path} line {number}: expected NAME_denoised_thumb-000.mp4,"caption"; got {", ".join(row)[:60]!r}'
                )
            found[segment[1], int(segment[3])] = " ".join(", ".join(row[1:]).split())
    if given and not found:
        raise ValueError(f"captions={given}: no flist_*.txt of SVG found there")
    return found


def _recording_captions(svg_captions: Captions, name: str, seconds: float) -> dict[int, str]:
    """The captions of one recording by segment. They apply to segments of 4 s only."""
    return (
        {number: text for (recording, number), text in svg_captions.items() if recording == name}
        if seconds == SEGMENT_SECONDS
        else {}
    )


def read_contacts(path: Path) -> list[Contact]:
    """Reads the contacts of a recording, sorted by time.

    Raises:
        ValueError: A line has no time.
    """
    found = []
    for number, line in enumerate(layout.read_lines(path), 1):
        words = line.split()
        try:
            time = float(words[0])
        except ValueError:
            time = -1.0
        if not time >= 0:
            raise ValueError(f"{path} line {number}: expected seconds, material, kind, reaction; got {line!r}")
        material, kind = [*words[1:3], "", ""][:2]
        found.append(Contact(time, "" if material == "None" else material, "" if kind == "None" else kind))
    return sorted(found)


def _cut_segments(
    path: Path, name: str, contacts: list[Contact], seconds: float, begin: float, svg_captions: dict[int, str]
) -> list[Entry]:
    """Cuts a file into segments. `begin` is the start of the file within its recording, to which contacts and captions refer."""
    words = path.with_suffix(".txt")
    beside = " ".join(" ".join(layout.read_lines(words)).split()) if words.is_file() else ""
    entries = []
    for start in layout.segment_starts(path, seconds):
        since = begin + start
        here = [contact for contact in contacts if since <= contact.time < since + seconds]
        # Most frequent first; ties in order of appearance.
        materials = [material for material, _ in Counter(contact.material for contact in here if contact.material).most_common()]
        things = " and ".join(materials) or "things"
        scratched = here and all(contact.kind == "scratch" for contact in here)
        caption = svg_captions.get(round(since / SEGMENT_SECONDS)) or beside
        caption = caption or f"{'scratching' if scratched else 'hitting'} {things} with a drumstick"
        events = tuple(round(contact.time - since, 6) for contact in here)
        entries.append(Entry(str(path), caption, materials[0] if materials else "", start, seconds, events, name))
    return entries
