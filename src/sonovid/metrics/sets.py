"""A set of clips to be measured: what lies in a folder or stands in a list, under which names, and what had to be left out."""

import hashlib
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

from sonovid import media
from sonovid.core import text_files
from sonovid.core.processes import pool
from sonovid.media import MediaError, MediaInfo
from sonovid.media.files import audio_stream, opened, video_stream
from sonovid.metrics.base import Reading, SetFacts

VIDEO = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".gif", ".mpg", ".mpeg", ".ts", ".flv", ".asf", ".wmv")
SUFFIXES = frozenset([*VIDEO, ".wav", ".flac", ".mp3", ".ogg", ".m4a", ".opus", ".aac", ".aiff"])
# Containers that say exactly how long each stream is, and by how many seconds their packets may fall short of it.
DECLARING, SLACK = ("mov", "wav", "flac"), Fraction(1, 20)
LISTS = (".csv", ".jsonl", ".ndjson", ".json")


@dataclass(frozen=True)
class Item:
    """One clip. name: by which it is paired: its path in its folder without the suffix. sha256: of the file's bytes.

    pictures, sound: the clip whose pictures or sound stand beside this one's, where it has none of its own (a folder of wav
    against films): metrics of both streams take them from there, metrics of that stream alone do not count this clip.
    """

    name: str
    path: str
    caption: str
    sha256: str
    info: MediaInfo
    pictures: "Item | None" = None
    sound: "Item | None" = None

    def source(self, reading: Reading) -> "Item":
        """The clip whose file holds what a reading reads."""
        return (self.pictures if reading.video else self.sound if reading.audio else None) or self


@dataclass(frozen=True)
class LeftOut:
    """A clip that is not counted, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class MediaSet:
    """The clips of one source, in the order of their names, and the files that could not be used at all.

    title: what tables call it. source: as it was given.
    """

    title: str
    source: str
    items: tuple[Item, ...]
    left_out: tuple[LeftOut, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    @property
    def sha256(self) -> str:
        """A hash of the names, bytes and captions of all clips that are counted."""
        lines = "\n".join(
            "\0".join([item.name, item.sha256, item.caption, *(one.sha256 for one in (item.pictures, item.sound) if one)])
            for item in self.items
        )
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def facts(self) -> SetFacts:
        """Medians over the files as they lie on disk."""
        seen = [(item.pictures or item).info for item in self.items]
        heard = [(item.sound or item).info for item in self.items]
        rates = [float(info.fps) for info in seen if info.fps is not None]
        sizes = [info.size for info in seen if info.size is not None]
        sounds = [info.sample_rate for info in heard if info.sample_rate is not None]
        return SetFacts(
            clips=len(self.items),
            seconds=float(median(item.info.duration for item in self.items)),
            fps=float(median(rates)) if rates else None,
            size=(_middle([h for h, _ in sizes]), _middle([w for _, w in sizes])) if sizes else None,
            sample_rate=_middle(sounds) if sounds else None,
        )


def open_set(
    source: "str | Path", *, title: str | None = None, captions: "Mapping[str, str] | None" = None, workers: int = 0
) -> MediaSet:
    """The clips of a folder, searched with its subfolders, or of a list (.csv, .jsonl with path and caption, relative to it).

    The caption of clip.mp4 is in clip.txt or clip.json beside it, or in `captions` by the clip's name. Every file is hashed and
    its first picture decoded; one that cannot be read is left out by name, with the reason.

    Raises:
        ValueError: no such source, no media files in it, two files of one name, or none that can be read.
    """
    path = Path(source).expanduser()
    named = list(_folder(path) if path.is_dir() else _list(path))
    if not named:
        raise ValueError(f"{source}: no media files there; known suffixes are {' '.join(sorted(SUFFIXES))}")
    seen: dict[str, Path] = {}
    for name, file, _ in named:
        if name in seen:
            raise ValueError(
                f"{source}: {seen[name].name} and {file.name} are both named {name!r}; clips are paired by name: keep one"
            )
        seen[name] = file
    known = captions or {}
    items, left_out = [], []
    with pool(workers if len(named) > 50 else 0) as run:
        for (name, file, caption), found in zip(named, run(_examine, [str(file) for _, file, _ in named]), strict=True):
            if isinstance(found, str):
                left_out.append(LeftOut(name, found))
            else:
                items.append(Item(name, str(file), known.get(name, caption), *found))
    if not items:
        raise ValueError(
            f"{source}: none of its {len(named)} files can be read; the first: {left_out[0].name}: {left_out[0].reason}"
        )
    return MediaSet(title or path.absolute().name or str(source), str(source), tuple(items), tuple(left_out))


def read_captions(path: "str | Path") -> dict[str, str]:
    """Captions by clip name: a .json object {name: caption}, or a .jsonl or .csv with name (or path) and caption.

    Raises:
        ValueError: no such file, or none in it.
    """
    path = Path(path)
    if path.suffix == ".json" and path.is_file():
        found = text_files.read_json(path)
        if not isinstance(found, dict):
            raise ValueError(f"{path}: expected an object of clip names and captions")
        return {_stem(name): _caption_in(f"{path}: {name}", words) for name, words in found.items()}
    found = {name: caption for name, _, caption in _list(path, must_exist=False) if caption}
    if not found:
        raise ValueError(f"{path}: no captions in it; expected the columns name (or path) and caption")
    return found


def pairs(first: MediaSet, second: MediaSet) -> list[tuple[Item, Item]]:
    """Clips of the same name: by the whole name, or by its last part where no whole names agree and last parts are unique."""
    partners = {item.name: item for item in second.items}
    found = [(item, partners[item.name]) for item in first.items if item.name in partners]
    if found:
        return found
    ends = [[item.name.rsplit("/", 1)[-1] for item in side.items] for side in (first, second)]
    if any(len(set(side)) < len(side) for side in ends):
        return []
    partners = dict(zip(ends[1], second.items, strict=True))
    return [(item, partners[end]) for item, end in zip(first.items, ends[0], strict=True) if end in partners]


def with_captions_of(generated: MediaSet, reference: MediaSet) -> MediaSet:
    """The set with the captions of its partners where it has none of its own."""
    partners = {own.name: other.caption for own, other in pairs(generated, reference)}
    items = tuple(item if item.caption else replace(item, caption=partners.get(item.name, "")) for item in generated.items)
    return replace(generated, items=items)


def with_streams_of(generated: MediaSet, reference: MediaSet) -> MediaSet:
    """The set with its partners' pictures beside its sounds where no clip of it has pictures, and the other way round.

    Where some clips have a stream, those without it lack what was asked of them, and nothing stands in for it.
    """
    lacking = {
        "pictures": not any(item.info.has_video for item in generated.items),
        "sound": not any(item.info.has_audio for item in generated.items),
    }
    partners = {own.name: other for own, other in pairs(generated, reference)} if any(lacking.values()) else {}
    items = []
    for item in generated.items:
        other = partners.get(item.name)
        holds = {"pictures": other.info.has_video, "sound": other.info.has_audio} if other else {}
        lent: dict[str, Any] = {what: other for what in holds if lacking[what] and holds[what]}
        items.append(replace(item, **lent))
    return replace(generated, items=tuple(items))


def faults(generated: MediaSet, reference: "MediaSet | None", passed_over: Container[str] = ()) -> list[str]:
    """One line for everything about the sets that makes their numbers less than they seem.

    passed_over: facts (seconds, fps, size) in which sets may differ, since a protocol makes them equal.
    """
    lines = []
    for side in [generated] + ([reference] if reference else []):
        if side.left_out:
            shown = "; ".join(f"{one.name}: {one.reason}" for one in side.left_out[:3]) + (
                "; ..." if len(side.left_out) > 3 else ""
            )
            lines.append(f"{side.title}: {len(side.left_out)} of {len(side) + len(side.left_out)} files left out: {shown}")
        if copies := len(side) - len({item.sha256 for item in side.items}):
            lines.append(f"{side.title}: {copies} of {len(side)} files are copies of others, byte by byte")
        rates = {(item.pictures or item).info.fps for item in side.items}
        sizes = {(item.pictures or item).info.size for item in side.items}
        for what, key, values in (("frame rates", "fps", rates), ("picture sizes", "size", sizes)):
            if len(values) > 1 and key not in passed_over:
                lines.append(f"{side.title}: its clips have {len(values)} different {what}")
    for what, lent in (
        ("pictures", [i for i in generated.items if i.pictures]),
        ("sound", [i for i in generated.items if i.sound]),
    ):
        if lent:
            lines.append(
                f"{generated.title}: {len(lent)} of {len(generated)} clips have no {what}; beside them is the {what} of their "
                f"partners in the reference, which metrics of {what} alone do not count"
            )
    if reference is None:
        return lines
    matched = pairs(generated, reference)
    if len(matched) < max(len(generated), len(reference)):
        alone = [item.name for item in generated.items if item.name not in {own.name for own, _ in matched}]
        more = f", such as {alone[0]}" if alone else ""
        lines.append(
            f"{len(matched)} pairs by name, of {len(generated)} clips in {generated.title} and {len(reference)} in "
            f"{reference.title}: "
            f"{len(generated) - len(matched)} and {len(reference) - len(matched)} are without a partner{more}"
        )
    if shared := len({item.sha256 for item in generated.items} & {item.sha256 for item in reference.items}):
        lines.append(f"{shared} files lie in both sets, byte by byte")
    for what, key in (("frames per second", "fps"), ("pixels", "size"), ("Hz", "sample_rate"), ("seconds", "seconds")):
        own, other = generated.facts[key], reference.facts[key]  # type: ignore[literal-required]
        if key not in passed_over and own is not None and other is not None and not _alike(own, other):
            lines.append(f"{generated.title} is of {_shown(own)} {what}, {reference.title} of {_shown(other)}")
    return lines


def _alike(own: Any, other: Any) -> bool:
    # Containers round lengths to their frames.
    return own == other or (isinstance(own, float) and abs(own - other) <= 0.02 * max(own, other))


def _shown(value: Any) -> str:
    return f"{value[1]}x{value[0]}" if isinstance(value, tuple) else f"{value:g}"


def _middle(values: Sequence[int]) -> int:
    return sorted(values)[len(values) // 2]


def _stem(name: str) -> str:
    """A name without the suffix of a media file."""
    end = "." + name.rsplit(".", 1)[-1].lower()
    return name[: -len(end)] if end in SUFFIXES else name


def _folder(folder: Path) -> Iterator[tuple[str, Path, str]]:
    inside = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    visible = [path for path in inside if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    for path in sorted(visible, key=lambda path: path.relative_to(folder).as_posix()):
        yield _stem(path.relative_to(folder).as_posix()), path, _caption(path)


def _caption(path: Path) -> str:
    words, facts = path.with_suffix(".txt"), path.with_suffix(".json")
    if words.is_file():
        return text_files.caption_of(words)
    if facts.is_file():
        found = text_files.read_json(facts)
        if isinstance(found, dict) and isinstance(found.get("caption"), str):
            return _caption_in(str(facts), found["caption"])
    return ""


def _caption_in(where: str, given: Any) -> str:
    """A caption that stands in a list or in facts, as one line."""
    try:
        return text_files.one_line(given or "")
    except ValueError as error:
        raise ValueError(f"{where}: caption: {error}") from None


def _list(path: Path, *, must_exist: bool = True) -> Iterator[tuple[str, Path, str]]:
    """Names, files and captions of a list, in the order of the names."""
    if not path.is_file() or path.suffix not in LISTS:
        what = f"expected a folder or one of {', '.join(LISTS)}" if path.is_file() else "no such folder or file"
        raise ValueError(f"{path}: {what}")
    found = []
    for number, row in _rows(path):
        given = str(row.get("path") or row.get("name") or "")
        if not given:
            raise ValueError(f"{path} line {number}: neither path nor name")
        file = Path(given) if Path(given).is_absolute() else path.parent / given
        if must_exist and not file.is_file():
            raise ValueError(f"{path} line {number}: no such file: {given} (paths are relative to the list)")
        name = _stem(Path(given).name if Path(given).is_absolute() else Path(given).as_posix())
        found.append((str(row.get("name") or name), file, _caption_in(f"{path} line {number}", row.get("caption"))))
    yield from sorted(found)


def _rows(path: Path) -> Iterable[tuple[int, Mapping[str, Any]]]:
    if path.suffix == ".csv":
        return text_files.table(path)
    return _of_json(path) if path.suffix == ".json" else text_files.json_lines(path)


def _of_json(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    rows = text_files.read_json(path)
    for number, row in enumerate(rows if isinstance(rows, list) else [rows], 1):
        if not isinstance(row, dict):
            raise ValueError(f"{path} line {number}: expected an object with path and caption")
        yield number, row


def _examine(path: str) -> tuple[str, MediaInfo] | str:
    """A file's hash and what it holds, or why it cannot be used."""
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        info = media.probe(path)
        return _cut_short(path) or (digest, info)
    except (MediaError, OSError) as error:
        return _without_path(str(error), path)


def _cut_short(path: str) -> str:
    """Whether a file's packets end before it says that they do: how far, in words, or "".

    Decoders hand out what there is; a measure of half a clip would pass for one of the whole.
    """
    with opened(path) as container:
        if container.format.name.split(",")[0] not in DECLARING:
            return ""
        streams = [s for s in (video_stream(container), audio_stream(container)) if s and s.duration and s.time_base]
        reached = {s.index: Fraction(0) for s in streams}
        damaged = False
        for packet in container.demux(streams) if streams else ():
            damaged |= packet.is_corrupt
            if packet.pts is not None and packet.time_base is not None:
                end = (packet.pts + (packet.duration or 0)) * packet.time_base
                reached[packet.stream.index] = max(reached[packet.stream.index], end)
        for stream in streams:
            declared = ((stream.start_time or 0) + (stream.duration or 0)) * (stream.time_base or 0)
            if declared - reached[stream.index] > SLACK:
                where = f"at {float(reached[stream.index]):.2f} s of {float(declared):.2f} s"
                return f"its {stream.type} ends early, {where} (damaged, or cut short)"
    return "its last packet is cut off (damaged, or cut short)" if damaged else ""


def _without_path(line: str, path: str) -> str:
    return line.removeprefix(f"{path}: ")
