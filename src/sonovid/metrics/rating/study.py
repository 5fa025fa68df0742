"""Rating studies: blinded and shuffled clips of several systems, written as a folder for the raters and a secret key."""

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
# Formats that all current browsers play.
PLAYABLE = (".mp4", ".m4v", ".webm")
# Letters and digits that are not confused with each other, without vowels to avoid words.
LETTERS = "bcdfghjkmnpqrstvwxz23456789"


@dataclass(frozen=True)
class StudyClip:
    """One clip of the study. id: blind name; item: the input it was generated for, shared by all systems; file: its source."""

    id: str
    system: str
    item: str
    file: str
    sha256: str


@dataclass(frozen=True)
class Study:
    """A study's key: everything that the report needs.

    Attributes:
        study: the study's id.
        task, questions: select the questionnaire.
        seed: of the draw.
        paired: whether all systems have the same items, so that ratings of one item can be compared.
        systems: their names.
        clips: all clips.
        raters: for each rater the ids of the clips in display order.
        format: of the key file.
    """

    study: str
    task: str
    questions: str
    seed: int
    paired: bool
    systems: tuple[str, ...]
    clips: tuple[StudyClip, ...]
    raters: Mapping[str, tuple[str, ...]]
    format: str = KEY

    @property
    def form(self) -> Questionnaire:
        """The questionnaire."""
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
    """Draw clips of every system and an order for each rater, in which clips of one item are not adjacent if possible.

    Args:
        systems: names and folders, searched recursively; files with the same path without the suffix are the same item.
        task, questions: select the questionnaire.
        clips: clips per system.
        raters: the number of raters.
        groups: the items are divided into this many groups, and each rater gets one group with all systems, in turn (MM-LDM: 5
            groups, 10 raters).
        paired: use the same items for all systems. False: draw from each system independently, for systems without common inputs.
        seed: of the draw.

    Raises:
        ValueError: too few clips, items or raters, or an invalid folder.
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
            drawn.append(StudyClip(_blind(seed, system, item, digest), system, item, str(files[system][item]), digest))
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
    # Sorted by blind name: the order of the draw would reveal the systems.
    clips_by_id = tuple(sorted(drawn, key=lambda clip: clip.id))
    return Study(name, task, questions, seed, paired, tuple(systems), clips_by_id, orders)


def write(study: Study, out: "str | os.PathLike", *, copy: bool = False, embed_mb: float | int = 20) -> tuple[Path, Path]:
    """Write a study: `raters/index.html` with its clips for the raters, and `key.json` for the evaluation.

    Args:
        study: the study.
        out: a new or empty folder.
        copy: copy the files unchanged. By default each is re-encoded as mp4 at its own size and rates, which removes metadata,
            makes codecs equal and ensures that browsers play it, at the cost of another encoding.
        embed_mb: embed the clips in the page if they total at most this many MB; otherwise store them beside it.

    Returns:
        The paths of the page and the key.

    Raises:
        ValueError: `out` is not empty, or a clip cannot be read or lacks a stream.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out}: exists and is not empty; use a new folder, so that studies are not mixed")
    folder = out / "raters"
    (folder / "clips").mkdir(parents=True)
    written = {}
    for clip in study.clips:
        written[clip.id] = place = folder / "clips" / f"{clip.id}{Path(clip.file).suffix.lower() if copy else '.mp4'}"
        _write_clip(Path(clip.file), place, copy)
        # Modification times would reveal the order of the systems.
        os.utime(place, (0, 0))
    embedded = sum(place.stat().st_size for place in written.values()) <= embed_mb * 1e6
    html = page.render(study.study, study.form, study.raters, written, embed=embedded)
    (folder / "index.html").write_text(html, encoding="utf-8")
    if embedded:
        shutil.rmtree(folder / "clips")
    (out / "key.json").write_text(json.dumps(asdict(study), indent=1), encoding="utf-8")
    return folder / "index.html", out / "key.json"


def read_key(path: "str | os.PathLike") -> Study:
    """Read a study's key.

    Raises:
        ValueError: the file is not a key.
    """
    try:
        known: Any = json.loads(Path(path).read_text(encoding="utf-8"))
        if known["format"] != KEY:
            raise KeyError(known["format"])
        clips = tuple(StudyClip(**clip) for clip in known["clips"])
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
    """The items of each system, drawn without replacement."""

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
            "the same name, reduce --clips, or draw from each system independently with --unpaired"
        )
    same = drawn(common)
    return dict.fromkeys(files, same)


def _blind(seed: int, system: str, item: str, sha256: str) -> str:
    """A blind name. It also depends on the file's content, because a rater could derive names that depend on the seed only."""
    number = int.from_bytes(hashlib.sha256(repr((seed, system, item, sha256)).encode()).digest(), "big")
    return "".join(LETTERS[number // len(LETTERS) ** i % len(LETTERS)] for i in range(8))


def _shuffled(clips: Sequence[StudyClip], generator: np.random.Generator) -> list[str]:
    """Ids in random order, without adjacent clips of one item as long as others are left."""
    waiting = [clips[i] for i in generator.permutation(len(clips))]
    order: list[StudyClip] = []
    while waiting:
        last = order[-1].item if order else None
        left: dict[str, int] = {}
        for clip in waiting:
            left[clip.item] = left.get(clip.item, 0) + 1
        # An item with more than half of the remaining clips must come now, or its clips would be adjacent at the end.
        pressing = {item for item, number in left.items() if 2 * number > len(waiting) and item != last}
        fit = [clip for clip in waiting if clip.item in pressing] or [clip for clip in waiting if clip.item != last] or waiting
        order.append(fit[0])
        waiting.remove(fit[0])
    return [clip.id for clip in order]


def _write_clip(source: Path, place: Path, copy: bool) -> None:
    info = media.probe(source)
    if not (info.has_video and info.has_audio):
        raise ValueError(f"{source}: has no {'audio' if info.has_video else 'video'}; raters judge video with audio")
    if copy:
        if place.suffix not in PLAYABLE:
            raise ValueError(f"{source}: browsers do not play {place.suffix}; without --copy clips are written as mp4")
        shutil.copyfile(source, place)
    else:
        media.write(place, media.read(source), quality=12)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
