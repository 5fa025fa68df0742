"""Greatest Hits (Owens et al. 2016): a drumstick strikes and scratches things, with each contact annotated.

vis-data (or vis-data-256) has train.txt and test.txt with the names of recordings, and for each NAME_denoised.mp4, NAME_mic.mp4
and NAME_times.txt: a line for each contact, of its second, material, kind (hit or scratch) and reaction.
"""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from sonovid.data.entry import Entry
from sonovid.data.sources import layout


class Contact(NamedTuple):
    """One annotated contact: its time in seconds, and what was struck or scratched ("" where nobody said)."""

    time: float
    material: str
    kind: str


def read(folder: Path, *, split: str = "train", seconds: float = 4.0, sound: str = "denoised") -> list[Entry]:
    """Stretches of the recordings of a split, end to end, with the times of their contacts as events.

    The label is the material of most contacts in the stretch, and the caption names the materials.
    seconds: the length of a stretch, in SVG 4. sound: denoised, or mic for the sound as recorded.

    Raises:
        ValueError: no such split or sound, no list, none of its videos, or a contact that is not understood.
    """
    layout.chosen(split, ("train", "test", "all"))
    if sound not in ("denoised", "mic"):
        raise ValueError(f"sound={sound}: expected denoised or mic")
    what = "the list of recordings that comes with Greatest Hits"
    lists = [layout.find(folder, f"{part}.txt", what) for part in (("train", "test") if split == "all" else (split,))]
    names = [name for path in lists for name in layout.lines(path)]
    files = layout.by_stem(folder)
    entries: list[Entry] = []
    missing = []
    for name in names:
        path = files.get(f"{name}_{sound}")
        if path is None:
            missing.append(f"{name}_{sound}.mp4")
            continue
        times = path.with_name(f"{name}_times.txt")
        found = contacts(times) if times.is_file() else []
        entries += _cut(path, path.relative_to(folder).as_posix(), found, seconds)
    layout.tell_missing(missing, len(names), f"recordings of the {split} list")
    return entries


def contacts(path: Path) -> list[Contact]:
    """The contacts of a recording, in order of time.

    Raises:
        ValueError: a line without a time.
    """
    found = []
    for number, line in enumerate(layout.lines(path), 1):
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


def _cut(path: Path, name: str, found: list[Contact], seconds: float) -> list[Entry]:
    entries = []
    for start in layout.stretches(path, seconds):
        here = [contact for contact in found if start <= contact.time < start + seconds]
        # Most first; of equally many the first heard.
        materials = [material for material, _ in Counter(contact.material for contact in here if contact.material).most_common()]
        things = " and ".join(materials) or "things"
        scratched = here and all(contact.kind == "scratch" for contact in here)
        caption = f"{'scratching' if scratched else 'hitting'} {things} with a drumstick"
        events = tuple(round(contact.time - start, 6) for contact in here)
        entries.append(Entry(str(path), caption, materials[0] if materials else "", start, seconds, events, name))
    return entries
