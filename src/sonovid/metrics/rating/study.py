"""A rating study: clips of several systems, blinded and shuffled, as a folder for raters and a key that they do not get."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sonovid import media
from sonovid.metrics.rating import page
from sonovid.metrics.rating.questions import Questionnaire, questionnaire

log = logging.getLogger(__name__)

KEY = "sonovid-rating-key/1"
SUFFIXES = (".mp4", ".m4v", ".webm", ".mov", ".mkv", ".avi", ".gif")
# What every browser of today plays.
PLAYABLE = (".mp4", ".m4v", ".webm")
# Letters and digits that are not taken for one another; no vowels, so that no words come out.
LETTERS = "bcdfghjkmnpqrstvwxz23456789"


@dataclass(frozen=True)
class Drawn:
    """One clip of the study. id: its blind name; item: what it was made for, the same in all systems; file: its origin."""

    id: str
    system: str
    item: str
    file: str
    sha256: str


@dataclass(frozen=True)
class Study:
    """All that the report needs to know. raters: of each rater the ids in the order in which they are shown.

    paired: whether all systems have the same items, so that ratings of one item can be compared.
    """

    study: str
    task: str
    questions: str
    seed: int
    paired: bool
    systems: tuple[str, ...]
    clips: tuple[Drawn, ...]
    raters: Mapping[str, tuple[str, ...]]
    format: str = KEY

    @property
    def form(self) -> Questionnaire:
        """What was asked."""
        return questionnaire(self.questions, self.task)


def draw(
    systems: Mapping[str, "str | os.PathLike"],
    *,
    task: str,
    questions: str,
    clips: int,
    raters: int,
    groups: int = 1,
    paired: bool = True,
    seed: int = 0,
) -> Study:
    """Choose `clips` items of every system and give each rater an order of them.

    systems: names and folders, searched with their subfolders; what has the same path without its suffix is the same item.
    clips: of each system. raters: orders to be made. groups: parts into which the items are divided; a rater gets one of them
    with all systems, and parts are dealt in turn (MM-LDM: 5 groups, 10 raters). paired: all systems show the same items; False
    draws from each system by itself, for clips that were made for nothing in common.
    Two clips of one item do not follow each other where that can be had.

    Raises:
        ValueError: too few clips, items or raters, or what a folder lacks.
    """
    questionnaire(questions, task)
    if len(systems) < 1 or clips < 1 or raters < 1 or not 1 <= groups <= min(clips, raters):
        raise ValueError(
            f"systems={len(systems)}, clips={clips}, raters={raters}, groups={groups}: expected at least one of each, no more "
            "groups than clips or raters"
        )
    files = {name: _files(name, Path(folder)) for name, folder in systems.items()}
    generator = np.random.Generator(np.random.PCG64(seed))
    chosen = _items(files, clips, paired, generator)
    drawn = []
    for system, items in chosen.items():
        for item in items:
            digest = _sha256(files[system][item])
            drawn.append(Drawn(_blind(seed, system, item, digest), system, item, str(files[system][item]), digest))
    assert len({clip.id for clip in drawn}) == len(drawn)
    same: dict[str, list[str]] = {}
    for clip in drawn:
        same.setdefault(clip.sha256, []).append(clip.system)
    if copies := [" and ".join(sorted(set(found))) for found in same.values() if len(found) > 1]:
        log.warning("%d files are in the study more than once, byte for byte (%s)", len(copies), copies[0])
    part = {(system, item): i % groups for system, items in chosen.items() for i, item in enumerate(items)}
    orders = {}
    for number in range(raters):
        own = [clip for clip in drawn if part[clip.system, clip.item] == number % groups]
        orders[str(number + 1)] = tuple(_shuffled(own, generator))
    facts = json.dumps([[(c.id, c.sha256) for c in drawn], questions, task, seed, raters, groups])
    name = hashlib.sha256(facts.encode()).hexdigest()[:12]
    # Sorted by blind name: the order of drawing would tell systems apart.
    clips_by_id = tuple(sorted(drawn, key=lambda clip: clip.id))
    return Study(name, task, questions, seed, paired, tuple(systems), clips_by_id, orders)


def write(study: Study, out: "str | os.PathLike", *, copy: bool = False, embed_mb: float | int = 20) -> tuple[Path, Path]:
    """The study as files: `raters/index.html` with its clips, for the raters, and `key.json`, for whoever reads the answers.

    copy: take files as they are. Otherwise each is written anew as mp4, at its own size and rates: whatever a file says of its
    maker is gone then, codecs do not tell systems apart, and every browser plays it; the price is one more encoding of all.
    embed_mb: up to this much in all, clips go into the page itself, which is then a single file; else beside it.

    Returns: the page and the key.

    Raises:
        ValueError: OUT holds something, or a clip cannot be read or lacks pictures or sound.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out}: exists and is not empty; take a new folder, so that no study is mixed with another")
    folder = out / "raters"
    (folder / "clips").mkdir(parents=True)
    written = {}
    for clip in study.clips:
        written[clip.id] = place = folder / "clips" / f"{clip.id}{Path(clip.file).suffix.lower() if copy else '.mp4'}"
        _write_clip(Path(clip.file), place, copy)
        # The time at which a file was written would tell in which order systems were gone through.
        os.utime(place, (0, 0))
    embedded = sum(place.stat().st_size for place in written.values()) <= embed_mb * 1e6
    html = page.render(study.study, study.form, study.raters, written, embed=embedded)
    (folder / "index.html").write_text(html, encoding="utf-8")
    if embedded:
        shutil.rmtree(folder / "clips")
    (out / "key.json").write_text(json.dumps(asdict(study), indent=1), encoding="utf-8")
    return folder / "index.html", out / "key.json"


def read_key(path: "str | os.PathLike") -> Study:
    """A study from its key.

    Raises:
        ValueError: not a key.
    """
    try:
        known: Any = json.loads(Path(path).read_text(encoding="utf-8"))
        if known["format"] != KEY:
            raise KeyError(known["format"])
        clips = tuple(Drawn(**clip) for clip in known["clips"])
        raters = {rater: tuple(order) for rater, order in known["raters"].items()}
        return Study(**{**known, "systems": tuple(known["systems"]), "clips": clips, "raters": raters})
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: not the key of a rating study ({error}); expected the key.json of `sonovid rate make`"
        ) from None


def _files(system: str, folder: Path) -> dict[str, Path]:
    """A system's clips by item.

    Raises:
        ValueError: no folder, no clips, or two files of one item.
    """
    if not folder.is_dir():
        raise ValueError(f"{system}={folder}: no such folder")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if path.suffix.lower() not in SUFFIXES or any(part.startswith(".") for part in inner.parts) or not path.is_file():
            continue
        item = inner.with_suffix("").as_posix()
        if item in found:
            raise ValueError(f"{system}={folder}: {found[item].name} and {path.name} are both of the item {item}; keep one")
        found[item] = path
    if not found:
        raise ValueError(f"{system}={folder}: no video files there; known are {' '.join(SUFFIXES)}")
    return found


def _items(
    files: Mapping[str, Mapping[str, Path]], clips: int, paired: bool, generator: np.random.Generator
) -> dict[str, list[str]]:
    """The items of each system, drawn without repetition."""

    def drawn(items: Sequence[str]) -> list[str]:
        return [items[i] for i in generator.permutation(len(items))[:clips]]

    if not paired:
        for system, found in files.items():
            if len(found) < clips:
                raise ValueError(f"clips={clips}: {system} has {len(found)}")
        return {system: drawn(sorted(found)) for system, found in files.items()}
    common = sorted(set.intersection(*(set(found) for found in files.values())))
    if len(common) < clips:
        counts = ", ".join(f"{system} {len(found)}" for system, found in files.items())
        raise ValueError(
            f"clips={clips}: the systems have {len(common)} items of the same name in common ({counts}); give files of one item "
            "the same name, ask for fewer, or draw from each system by itself with --unpaired"
        )
    same = drawn(common)
    return dict.fromkeys(files, same)


def _blind(seed: int, system: str, item: str, sha256: str) -> str:
    """A name that says nothing: from the file's contents too, since names by a seed alone could be worked out by a rater."""
    number = int.from_bytes(hashlib.sha256(repr((seed, system, item, sha256)).encode()).digest(), "big")
    return "".join(LETTERS[number // len(LETTERS) ** i % len(LETTERS)] for i in range(8))


def _shuffled(clips: Sequence[Drawn], generator: np.random.Generator) -> list[str]:
    """Ids in random order, an item never twice in a row where another is left."""
    waiting = [clips[i] for i in generator.permutation(len(clips))]
    order: list[Drawn] = []
    while waiting:
        last = order[-1].item if order else None
        left: dict[str, int] = {}
        for clip in waiting:
            left[clip.item] = left.get(clip.item, 0) + 1
        # An item that more than half of what is left belongs to has to come now, or its clips will meet at the end.
        pressing = {item for item, number in left.items() if 2 * number > len(waiting) and item != last}
        fit = [clip for clip in waiting if clip.item in pressing] or [clip for clip in waiting if clip.item != last] or waiting
        order.append(fit[0])
        waiting.remove(fit[0])
    return [clip.id for clip in order]


def _write_clip(source: Path, place: Path, copy: bool) -> None:
    info = media.probe(source)
    if not (info.has_video and info.has_audio):
        raise ValueError(f"{source}: has no {'sound' if info.has_video else 'pictures'}; raters judge pictures with their sound")
    if copy:
        if place.suffix not in PLAYABLE:
            raise ValueError(f"{source}: browsers do not play {place.suffix}; leave --copy away, and clips are written as mp4")
        shutil.copyfile(source, place)
    else:
        media.write(place, media.read(source), quality=12)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
