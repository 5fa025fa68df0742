"""Sets of clips to be measured, opened from a folder or a list, with the names that pair them and the files left out."""

import hashlib
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

from sonovid import media
from sonovid.core import text_files
from sonovid.core.processes import process_pool
from sonovid.media import MediaError, MediaInfo
from sonovid.media.files import audio_stream, open_media, video_stream
from sonovid.metrics.base import InputSpec, SetInfo

VIDEO = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".gif", ".mpg", ".mpeg", ".ts", ".flv", ".asf", ".wmv")
SUFFIXES = frozenset([*VIDEO, ".wav", ".flac", ".mp3", ".ogg", ".m4a", ".opus", ".aac", ".aiff"])
# Containers that declare the exact duration of each stream, and the difference in seconds allowed to the last packet.
CONTAINERS_WITH_DURATION, SLACK = ("mov", "wav", "flac"), Fraction(1, 20)
LISTS = (".csv", ".jsonl", ".ndjson", ".json")


@dataclass(frozen=True)
class Item:
    """One clip of a set.

    Attributes:
        name: pairs it with a clip of another set: its path in its folder without the suffix.
        path: of its file.
        caption: its caption, or "".
        sha256: of the file's bytes.
        info: its header.
        video_source, audio_source: the clip that lends this one its video or audio, if its set has none (a folder of .wav files
            with a reference of videos). Metrics of both streams use it; metrics of the borrowed stream alone do not count the
            clip.
    """

    name: str
    path: str
    caption: str
    sha256: str
    info: MediaInfo
    video_source: "Item | None" = None
    audio_source: "Item | None" = None

    def source(self, input_spec: InputSpec) -> "Item":
        """The clip whose file contains the streams that `input_spec` reads."""
        return (self.video_source if input_spec.video else self.audio_source if input_spec.audio else None) or self


@dataclass(frozen=True)
class ExcludedFile:
    """A file that is not part of the set, and the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class MediaSet:
    """A set of clips in the order of their names.

    Attributes:
        title: its name in tables.
        source: the folder or list, as given.
        items: the clips.
        left_out: the files that could not be used at all.
    """

    title: str
    source: str
    items: tuple[Item, ...]
    left_out: tuple[ExcludedFile, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    @property
    def sha256(self) -> str:
        """A hash of the names, bytes and captions of all clips."""
        lines = "\n".join(
            "\0".join(
                [item.name, item.sha256, item.caption, *(one.sha256 for one in (item.video_source, item.audio_source) if one)]
            )
            for item in self.items
        )
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def info(self) -> SetInfo:
        """Medians over the files on disk."""
        videos = [(item.video_source or item).info for item in self.items]
        audios = [(item.audio_source or item).info for item in self.items]
        rates = [float(info.fps) for info in videos if info.fps is not None]
        sizes = [info.size for info in videos if info.size is not None]
        sample_rates = [info.sample_rate for info in audios if info.sample_rate is not None]
        return SetInfo(
            clips=len(self.items),
            seconds=float(median(item.info.duration for item in self.items)),
            fps=float(median(rates)) if rates else None,
            size=(_middle([h for h, _ in sizes]), _middle([w for _, w in sizes])) if sizes else None,
            sample_rate=_middle(sample_rates) if sample_rates else None,
        )


def open_set(
    source: "str | Path", *, title: str | None = None, captions: "Mapping[str, str] | None" = None, workers: int = 0
) -> MediaSet:
    """Open a set of clips.

    Every file is hashed and its first frame decoded. Files that cannot be read are listed in `MediaSet.left_out`.

    Args:
        source: a folder, searched recursively, or a list (.csv or .jsonl with the columns path and caption; paths are relative to
            the list).
        title: its name in tables; default: the name of the source.
        captions: captions by clip name. By default the caption of clip.mp4 is read from clip.txt or clip.json beside it.
        workers: processes that read files; 0: this process.

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
                f"{source}: {seen[name].name} and {file.name} have the same name {name!r}; clips are paired by name: keep one"
            )
        seen[name] = file
    known = captions or {}
    items, left_out = [], []
    with process_pool(workers if len(named) > 50 else 0) as run:
        for (name, file, caption), found in zip(named, run(_inspect_file, [str(file) for _, file, _ in named]), strict=True):
            if isinstance(found, str):
                left_out.append(ExcludedFile(name, found))
            else:
                items.append(Item(name, str(file), known.get(name, caption), *found))
    if not items:
        raise ValueError(
            f"{source}: none of its {len(named)} files can be read; the first: {left_out[0].name}: {left_out[0].reason}"
        )
    return MediaSet(title or path.absolute().name or str(source), str(source), tuple(items), tuple(left_out))


def read_captions(path: "str | Path") -> dict[str, str]:
    """Read captions by clip name.

    Args:
        path: a .json object {name: caption}, or a .jsonl or .csv with the columns name (or path) and caption.

    Raises:
        ValueError: no such file, or no captions in it.
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


def pair_by_name(first: MediaSet, second: MediaSet) -> list[tuple[Item, Item]]:
    """Pair clips by name: by the whole name, or by its last part if no whole names agree and last parts are unique."""
    partners = {item.name: item for item in second.items}
    found = [(item, partners[item.name]) for item in first.items if item.name in partners]
    if found:
        return found
    ends = [[item.name.rsplit("/", 1)[-1] for item in side.items] for side in (first, second)]
    if any(len(set(side)) < len(side) for side in ends):
        return []
    partners = dict(zip(ends[1], second.items, strict=True))
    return [(item, partners[end]) for item, end in zip(first.items, ends[0], strict=True) if end in partners]


def fill_captions(generated: MediaSet, reference: MediaSet) -> MediaSet:
    """Give clips without a caption the caption of their partner in the reference."""
    partners = {own.name: other.caption for own, other in pair_by_name(generated, reference)}
    items = tuple(item if item.caption else replace(item, caption=partners.get(item.name, "")) for item in generated.items)
    return replace(generated, items=items)


def borrow_streams(generated: MediaSet, reference: MediaSet) -> MediaSet:
    """Let a set without video (or without audio) borrow that stream from its partners in the reference.

    If some clips of the set have the stream, the others are faulty, and nothing is borrowed.
    """
    lacking = {
        "video_source": not any(item.info.has_video for item in generated.items),
        "audio_source": not any(item.info.has_audio for item in generated.items),
    }
    partners = {own.name: other for own, other in pair_by_name(generated, reference)} if any(lacking.values()) else {}
    items = []
    for item in generated.items:
        other = partners.get(item.name)
        available = {"video_source": other.info.has_video, "audio_source": other.info.has_audio} if other else {}
        borrowed: dict[str, Any] = {name: other for name in available if lacking[name] and available[name]}
        items.append(replace(item, **borrowed))
    return replace(generated, items=tuple(items))


def set_warnings(generated: MediaSet, reference: "MediaSet | None", ignored: Container[str] = ()) -> list[str]:
    """Warnings about properties of the sets that limit what their numbers mean, one line each.

    Args:
        generated: the generated set.
        reference: the reference set, if any.
        ignored: properties (seconds, fps, size) that a protocol makes equal; differences in them are not reported.
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
        rates = {(item.video_source or item).info.fps for item in side.items}
        sizes = {(item.video_source or item).info.size for item in side.items}
        for what, key, values in (("frame rates", "fps", rates), ("frame sizes", "size", sizes)):
            if len(values) > 1 and key not in ignored:
                lines.append(f"{side.title}: its clips have {len(values)} different {what}")
    for what, borrowing in (
        ("video", [item for item in generated.items if item.video_source]),
        ("audio", [item for item in generated.items if item.audio_source]),
    ):
        if borrowing:
            lines.append(
                f"{generated.title}: {len(borrowing)} of {len(generated)} clips have no {what} and borrow the {what} of their "
                f"partners in the reference, which metrics of {what} alone do not count"
            )
    if reference is None:
        return lines
    matched = pair_by_name(generated, reference)
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
        own, other = generated.info[key], reference.info[key]  # type: ignore[literal-required]
        if key not in ignored and own is not None and other is not None and not _nearly_equal(own, other):
            lines.append(f"{generated.title} is of {_shown(own)} {what}, {reference.title} of {_shown(other)}")
    return lines


def _nearly_equal(own: Any, other: Any) -> bool:
    # Containers round durations to whole frames.
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
    words, info = path.with_suffix(".txt"), path.with_suffix(".json")
    if words.is_file():
        return text_files.read_caption(words)
    if info.is_file():
        found = text_files.read_json(info)
        if isinstance(found, dict) and isinstance(found.get("caption"), str):
            return _caption_in(str(info), found["caption"])
    return ""


def _caption_in(where: str, given: Any) -> str:
    """A caption from a list or a JSON file, as one line."""
    try:
        return text_files.to_one_line(given or "")
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
        return text_files.read_table(path)
    return _json_rows(path) if path.suffix == ".json" else text_files.read_json_lines(path)


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    rows = text_files.read_json(path)
    for number, row in enumerate(rows if isinstance(rows, list) else [rows], 1):
        if not isinstance(row, dict):
            raise ValueError(f"{path} line {number}: expected an object with path and caption")
        yield number, row


def _inspect_file(path: str) -> tuple[str, MediaInfo] | str:
    """A file's hash and header, or the reason why it cannot be used."""
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        info = media.probe(path)
        return _find_truncation(path) or (digest, info)
    except (MediaError, OSError) as error:
        return _without_path(str(error), path)


def _find_truncation(path: str) -> str:
    """Describe where a file's packets end before the declared duration; "" if they do not.

    Decoders return what there is, so that half a clip would be measured as if it were whole.
    """
    with open_media(path) as container:
        if container.format.name.split(",")[0] not in CONTAINERS_WITH_DURATION:
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
