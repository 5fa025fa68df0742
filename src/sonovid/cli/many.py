"""sonovid generate for many clips: a folder, a pattern or a list of inputs to a folder of clips; resumable, with a summary."""

import argparse
import glob
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# Clips that are asked of the pipeline together: what is done is written before the next ones begin.
TOGETHER = 32
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mxf", ".ts", ".gif", ".webp")
SOUNDS = (".wav", ".flac", ".mp3", ".ogg", ".m4a", ".opus", ".aac")
FILMS = (".mp4", ".mov", ".mkv")
MANIFEST = "manifest.jsonl"
# The first name of each column is ours; the others are what lists of this field call it.
COLUMNS = {
    "prompt": ("prompt", "caption", "text"),
    "path": ("path", "media_path", "file"),
    "video": ("video",),
    "audio": ("audio", "sound"),
    "label": ("label", "class"),
    "negative": ("negative", "negative_prompt"),
    "seed": ("seed",),
    "name": ("name", "id"),
}
TASKS = ("joint", "video-to-audio", "audio-to-video")


@dataclass(frozen=True)
class Item:
    """One clip to be made: what from, and its file in the folder."""

    name: str
    seed: int
    prompt: str | None = None
    video: str | None = None
    audio: str | None = None
    label: str | None = None
    negative: str | None = None

    @property
    def task(self) -> tuple[bool, bool]:
        """Which streams are given: clips of one task run together."""
        return self.video is not None, self.audio is not None


def is_meant(args: argparse.Namespace) -> bool:
    """Whether more than a single input is named: a list, a folder of films, or a pattern."""
    pairs = ((args.video, VIDEOS), (args.audio, SOUNDS))
    return args.list is not None or any(_found(path, kinds) is not None for path, kinds in pairs)


def _found(path: str | None, kinds: tuple[str, ...]) -> list[Path] | None:
    """The files of a folder or of a pattern, in the order of their names; None where one file is meant, or numbered pictures."""
    if path is None or Path(path).is_file():
        return None
    if Path(path).is_dir():
        from sonovid.media.source import is_numbered

        if is_numbered(path):
            return None
        files = sorted(one for one in Path(path).iterdir() if one.suffix.lower() in kinds and one.is_file())
        return files or None
    if glob.has_magic(path):
        return sorted(Path(one) for one in glob.glob(path, recursive=True) if Path(one).is_file())
    return None


def items(args: argparse.Namespace) -> list[Item]:
    """What is to be made, in order.

    Raises:
        ValueError: nothing there, a list that cannot be read, or two clips of one name.
    """
    if args.list is not None:
        found = list(_listed(args))
    else:
        found = []
        for number, path in enumerate(_found(args.video or args.audio, VIDEOS if args.video else SOUNDS) or []):
            suffix = path.suffix.lower() if args.video and path.suffix.lower() in FILMS else ".mp4"
            given = {"video" if args.video else "audio": str(path)}
            found.append(Item(path.stem + suffix, args.seed + number, args.prompt, label=args.label, **given))
        found = [replace(item, negative=args.negative) for item in found]
    if not found:
        raise ValueError(f"{args.list or args.video or args.audio}: nothing there to make clips from")
    names: dict[str, int] = {}
    for item in found:
        names[item.name] = names.get(item.name, 0) + 1
    if twice := [name for name, count in names.items() if count > 1]:
        raise ValueError(f"{len(twice)} names stand for several clips, such as {twice[0]}: give each a name of its own")
    return found


def _listed(args: argparse.Namespace) -> Iterator[Item]:
    """The items of a list, `--from`."""
    from sonovid.core import text_files

    path = Path(args.list)
    if path.suffix.lower() not in (".jsonl", ".ndjson", ".csv"):
        raise ValueError(f"--from {path}: expected a .jsonl or .csv list of prompts or clips")
    if not path.is_file():
        raise ValueError(f"--from {path}: no such file")
    read: Callable[..., Any] = text_files.table if path.suffix.lower() == ".csv" else text_files.json_lines
    aliases = {alias: name for name, names in COLUMNS.items() for alias in names}
    for index, (line, row) in enumerate(read(path)):
        known = {aliases[column]: value for column, value in row.items() if column in aliases and value not in (None, "")}
        where = f"{path} line {line}"
        for name in ("path", "video", "audio"):
            if name in known:
                known[name] = str(path.parent / str(known[name]))
        clip = known.pop("path", None)
        if args.task != "joint":
            stream = "video" if args.task == "video-to-audio" else "audio"
            if clip is None and stream not in known:
                raise ValueError(f"{where}: --task {args.task} needs a path, the clip whose {stream} is given")
            known.setdefault(stream, clip)
        if not any(name in known for name in ("prompt", "video", "audio", "label")):
            raise ValueError(f"{where}: nothing to go by; expected one of {', '.join(COLUMNS['prompt'])}, video, audio, label")
        name = str(known.pop("name", "") or (Path(clip).stem if clip else f"{index:05d}"))
        if Path(name).name != name:
            raise ValueError(f"{where}: name {name!r}: expected a name without a folder")
        try:
            seed = int(known.pop("seed", args.seed + index))
        except ValueError:
            raise ValueError(f"{where}: seed is no whole number") from None
        words = {name: str(known[name]) for name in ("prompt", "label", "negative", "video", "audio") if name in known}
        words.setdefault("negative", args.negative)
        yield Item(name if Path(name).suffix in FILMS else name + ".mp4", seed, **words)


def check(args: argparse.Namespace) -> Path:
    """The folder for the clips, found out before any work is done.

    Raises:
        ValueError: an output that is no folder, or an option of single clips.
    """
    for name, option in (("clip", "--continue"), ("drift", "--drift"), ("preview", "--preview")):
        if getattr(args, name):
            raise ValueError(f"{option}: it goes with a single clip, and many are asked for")
    if args.count != 1:
        raise ValueError(f"--count {args.count}: many inputs make one clip each; name an input several times in a list instead")
    if args.video and args.audio:
        raise ValueError("--video and --audio are both given, so there is nothing to generate: give one of them")
    if args.keep_audio != "replace" and not args.video and args.task != "video-to-audio":
        raise ValueError(f"--keep-audio {args.keep_audio}: it tells what becomes of a film's own sound; give --video")
    if args.list is not None and (args.video or args.audio):
        raise ValueError("--from names its inputs itself: leave --video and --audio out")
    folder = Path("out" if args.output == "out.mp4" else args.output)
    if folder.is_file() or folder.suffix.lower() in (*VIDEOS, *SOUNDS):
        raise ValueError(f"-o {folder}: many clips go into a folder: give the name of one")
    return folder


def run(
    args: argparse.Namespace,
    load: Callable[[argparse.Namespace], Any],
    options: Callable[[argparse.Namespace, Any], dict[str, Any]],
    write: Callable[[argparse.Namespace, Any, Item, Path, Any], None],
) -> None:
    """Make what is not there yet, go on past what cannot be made, and say in the end how it went.

    Args:
        args: of the command. load: the pipeline. options: what every call is given. write: puts one clip into its file.

    Raises:
        ValueError: some clips could not be made; all others are there.
    """
    folder = check(args)
    wanted = items(args)
    there = [item for item in wanted if (folder / item.name).is_file() and not args.overwrite]
    left = [item for item in wanted if item not in there]
    folder.mkdir(parents=True, exist_ok=True)
    made, failed = [], []
    if left:
        pipe = load(args)
        for group in groups(left):
            for item, clip, error in attempted(args, pipe, group, options(args, pipe)):
                try:
                    if error is None:
                        write(args, pipe, item, folder / item.name, clip)
                        made.append(item)
                except (ValueError, OSError) as fault:
                    error = fault
                if error is not None:
                    failed.append(item)
                    line = " ".join(str(error).split())
                    print(f"sonovid: {item.name}: {line}", file=sys.stderr)
            _note(folder, [item for item in wanted if (folder / item.name).is_file()])
    if not args.quiet:
        print(f"{folder}: {len(made)} clips made, {len(there)} were there, {len(failed)} failed")
    if failed:
        raise ValueError(f"{len(failed)} of {len(wanted)} clips were not made, the first {failed[0].name}; the others are there")


def groups(left: list[Item]) -> Iterator[list[Item]]:
    """Items of one task that follow each other, at most `TOGETHER`."""
    held: list[Item] = []
    for item in left:
        if held and (held[0].task != item.task or len(held) == TOGETHER):
            yield held
            held = []
        held.append(item)
    if held:
        yield held


def attempted(
    args: argparse.Namespace, pipe: Any, group: list[Item], options: dict[str, Any]
) -> Iterator[tuple[Item, Any, Exception | None]]:
    """Every item of a group with its clip, or with what was wrong: where the group fails, each is tried alone."""
    try:
        yield from ((item, clip, None) for item, clip in zip(group, called(args, pipe, group, options), strict=True))
        return
    except (ValueError, OSError) as error:
        if len(group) == 1:
            yield group[0], None, error
            return
    for item in group:
        yield from attempted(args, pipe, [item], options)


def called(args: argparse.Namespace, pipe: Any, group: list[Item], options: dict[str, Any]) -> list[Any]:
    """The clips of a group."""
    from sonovid.cli import given_media

    paths = {name: [getattr(item, name) for item in group] for name in ("video", "audio")}
    given = {name: [None if path is None else given_media.source(args, path) for path in found] for name, found in paths.items()}
    return pipe(
        [item.prompt or "" for item in group],
        negative_prompt=[item.negative for item in group],
        label=[item.label or "" for item in group] if any(item.label for item in group) else None,
        generator=[item.seed for item in group],
        **{name: found for name, found in given.items() if found[0] is not None},
        **options,
    ).clips


def _note(folder: Path, items: list[Item]) -> None:
    """A list of what lies in the folder, which trains and is evaluated as any manifest."""
    from sonovid.core import atomic

    rows = [{"path": one.name, "caption": one.prompt or "", "label": one.label or "", "seed": one.seed} for one in items]
    atomic.write_text(folder / MANIFEST, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
