"""sonovid generate for many inputs: a folder, a pattern or a list of inputs into a folder of clips, resumable."""

import argparse
import glob
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# The most clips in one call of the pipeline. They are written before the next call.
MAX_GROUP = 32
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mxf", ".ts", ".gif", ".webp")
AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".m4a", ".opus", ".aac")
OUTPUT_SUFFIXES = (".mp4", ".mov", ".mkv")
MANIFEST = "manifest.jsonl"
# Column names of --from: the first is this package's, the others are common in other data sets' lists.
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
class BatchItem:
    """One clip to generate.

    Args:
        name: The name of its file in the output folder.
        seed: Its random seed.
        prompt: The prompt, or None.
        video: The path of the conditioning video, or None.
        audio: The path of the conditioning audio, or None.
        label: The class, or None.
        negative: The negative prompt, or None.
    """

    name: str
    seed: int
    prompt: str | None = None
    video: str | None = None
    audio: str | None = None
    label: str | None = None
    negative: str | None = None

    @property
    def task(self) -> tuple[bool, bool]:
        """Whether (video, audio) are given. Only items of one task are generated in one call."""
        return self.video is not None, self.audio is not None


def is_batch(args: argparse.Namespace) -> bool:
    """Whether the options name more than one input: a list, a folder of media files, or a pattern."""
    inputs = ((args.video, VIDEO_SUFFIXES), (args.audio, AUDIO_SUFFIXES))
    return args.list is not None or any(_list_files(path, suffixes) is not None for path, suffixes in inputs)


def _list_files(path: str | None, suffixes: tuple[str, ...]) -> list[Path] | None:
    """The files of a folder or a pattern, sorted by name. None for a single file or a folder of numbered images."""
    if path is None or Path(path).is_file():
        return None
    if Path(path).is_dir():
        from sonovid.media.source import is_image_sequence

        if is_image_sequence(path):
            return None
        files = sorted(file for file in Path(path).iterdir() if file.suffix.lower() in suffixes and file.is_file())
        return files or None
    if glob.has_magic(path):
        return sorted(Path(name) for name in glob.glob(path, recursive=True) if Path(name).is_file())
    return None


def collect_items(args: argparse.Namespace) -> list[BatchItem]:
    """The clips to generate, in order.

    Raises:
        ValueError: no inputs, an unreadable list, or two clips of the same name.
    """
    if args.list is not None:
        items = list(_read_list(args))
    else:
        items = []
        files = _list_files(args.video or args.audio, VIDEO_SUFFIXES if args.video else AUDIO_SUFFIXES) or []
        for number, path in enumerate(files):
            suffix = path.suffix.lower() if args.video and path.suffix.lower() in OUTPUT_SUFFIXES else ".mp4"
            source = {"video" if args.video else "audio": str(path)}
            items.append(BatchItem(path.stem + suffix, args.seed + number, args.prompt, label=args.label, **source))
        items = [replace(item, negative=args.negative) for item in items]
    if not items:
        raise ValueError(f"{args.list or args.video or args.audio}: no inputs found there to generate clips from")
    counts: dict[str, int] = {}
    for item in items:
        counts[item.name] = counts.get(item.name, 0) + 1
    if duplicates := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f"{len(duplicates)} names stand for several clips, such as {duplicates[0]}: give each clip its own name")
    return items


def _read_list(args: argparse.Namespace) -> Iterator[BatchItem]:
    """The items of the list that --from names."""
    from sonovid.core import text_files

    path = Path(args.list)
    if path.suffix.lower() not in (".jsonl", ".ndjson", ".csv"):
        raise ValueError(f"--from {path}: expected a .jsonl or .csv list of prompts or clips")
    if not path.is_file():
        raise ValueError(f"--from {path}: no such file")
    read: Callable[..., Any] = text_files.read_table if path.suffix.lower() == ".csv" else text_files.read_json_lines
    aliases = {alias: name for name, names in COLUMNS.items() for alias in names}
    for index, (line, row) in enumerate(read(path)):
        values = {aliases[column]: value for column, value in row.items() if column in aliases and value not in (None, "")}
        where = f"{path} line {line}"
        for name in ("path", "video", "audio"):
            if name in values:
                values[name] = str(path.parent / str(values[name]))
        clip = values.pop("path", None)
        if args.task != "joint":
            stream = "video" if args.task == "video-to-audio" else "audio"
            if clip is None and stream not in values:
                raise ValueError(f"{where}: --task {args.task} needs a path, the clip whose {stream} is the input")
            values.setdefault(stream, clip)
        if not any(name in values for name in ("prompt", "video", "audio", "label")):
            raise ValueError(
                f"{where}: nothing to generate from; expected one of {', '.join(COLUMNS['prompt'])}, video, audio, label"
            )
        name = str(values.pop("name", "") or (Path(clip).stem if clip else f"{index:05d}"))
        if Path(name).name != name:
            raise ValueError(f"{where}: name {name!r}: expected a name without a folder")
        try:
            seed = int(values.pop("seed", args.seed + index))
        except ValueError:
            raise ValueError(f"{where}: seed is not a whole number") from None
        fields = {name: str(values[name]) for name in ("prompt", "label", "negative", "video", "audio") if name in values}
        fields.setdefault("negative", args.negative)
        yield BatchItem(name if Path(name).suffix in OUTPUT_SUFFIXES else name + ".mp4", seed, **fields)


def check_output_folder(args: argparse.Namespace) -> Path:
    """The folder of the clips, checked with the other options before any work is done.

    Raises:
        ValueError: an output that is not a folder, or an option that needs a single input.
    """
    for name, option in (("clip", "--continue"), ("drift", "--drift"), ("preview", "--preview")):
        if getattr(args, name):
            raise ValueError(f"{option}: only for a single input, and there are several")
    if args.count != 1:
        raise ValueError(f"--count {args.count}: one clip per input is generated; name an input several times in a list instead")
    if args.video and args.audio:
        raise ValueError("--video and --audio are both given, so there is nothing to generate: give one of them")
    if args.keep_audio != "replace" and not args.video and args.task != "video-to-audio":
        raise ValueError(f"--keep-audio {args.keep_audio}: it concerns the original sound of a video; give --video")
    if args.list is not None and (args.video or args.audio):
        raise ValueError("--from names its inputs itself: leave --video and --audio out")
    folder = Path("out" if args.output == "out.mp4" else args.output)
    if folder.is_file() or folder.suffix.lower() in (*VIDEO_SUFFIXES, *AUDIO_SUFFIXES):
        raise ValueError(f"-o {folder}: several clips are written into a folder: give the name of a folder")
    return folder


def run(
    args: argparse.Namespace,
    load: Callable[[argparse.Namespace], Any],
    options: Callable[[argparse.Namespace, Any], dict[str, Any]],
    write: Callable[[argparse.Namespace, Any, BatchItem, Path, Any], None],
) -> None:
    """Generate the clips that are missing in the output folder, skip faulty inputs, and print a summary.

    Args:
        args: The options of the command.
        load: Loads the pipeline.
        options: Gives the keyword arguments of every call of the pipeline.
        write: Writes one clip to its file.

    Raises:
        ValueError: some clips could not be generated. All others are written.
    """
    folder = check_output_folder(args)
    items = collect_items(args)
    existing = [item for item in items if (folder / item.name).is_file() and not args.overwrite]
    pending = [item for item in items if item not in existing]
    folder.mkdir(parents=True, exist_ok=True)
    done: list[BatchItem] = []
    failed: list[BatchItem] = []
    groups = list(group_by_task(pending))
    if args.ray and pending:
        from sonovid.cli.ray_generation import generate_with_ray

        outcomes = generate_with_ray(args, groups, folder, load, options, write)
    else:
        outcomes = generate_here(args, groups, folder, load, options, write)
    last = {group[-1].name for group in groups}
    for item, error in outcomes:
        (done if error is None else failed).append(item)
        if error is not None:
            print(f"sonovid: {item.name}: {error}", file=sys.stderr)
        if item.name in last:
            _write_manifest(folder, [item for item in items if (folder / item.name).is_file()])
    if not args.quiet:
        print(f"{folder}: {len(done)} clips generated, {len(existing)} existed already, {len(failed)} failed")
    if failed:
        raise ValueError(f"{len(failed)} of {len(items)} clips failed, the first {failed[0].name}; the others are complete")


def generate_here(
    args: argparse.Namespace,
    groups: list[list[BatchItem]],
    folder: Path,
    load: Callable[[argparse.Namespace], Any],
    options: Callable[[argparse.Namespace, Any], dict[str, Any]],
    write: Callable[[argparse.Namespace, Any, BatchItem, Path, Any], None],
) -> Iterator[tuple[BatchItem, str | None]]:
    """Generate and write groups of clips in this process; yield each clip with its error, if there is one. See `run`."""
    pipe = load(args) if groups else None
    for group in groups:
        yield from write_group(args, pipe, group, folder, options(args, pipe), write)


def write_group(
    args: argparse.Namespace,
    pipe: Any,
    group: list[BatchItem],
    folder: Path,
    options: dict[str, Any],
    write: Callable[[argparse.Namespace, Any, BatchItem, Path, Any], None],
) -> Iterator[tuple[BatchItem, str | None]]:
    """Generate and write a group of clips; yield each clip with its error in one line, if there is one."""
    for item, clip, error in generate_group(args, pipe, group, options):
        try:
            if error is None:
                write(args, pipe, item, folder / item.name, clip)
        except (ValueError, OSError) as fault:
            error = fault
        yield item, None if error is None else " ".join(str(error).split())


def group_by_task(items: list[BatchItem]) -> Iterator[list[BatchItem]]:
    """Groups of consecutive items with the same task, of at most `MAX_GROUP` items."""
    group: list[BatchItem] = []
    for item in items:
        if group and (group[0].task != item.task or len(group) == MAX_GROUP):
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def generate_group(
    args: argparse.Namespace, pipe: Any, group: list[BatchItem], options: dict[str, Any]
) -> Iterator[tuple[BatchItem, Any, Exception | None]]:
    """Yield each item of a group with its clip or its error. If the call fails for the group, each item is tried alone."""
    try:
        yield from ((item, clip, None) for item, clip in zip(group, call_pipeline(args, pipe, group, options), strict=True))
        return
    except (ValueError, OSError) as error:
        if len(group) == 1:
            yield group[0], None, error
            return
    for item in group:
        yield from generate_group(args, pipe, [item], options)


def call_pipeline(args: argparse.Namespace, pipe: Any, group: list[BatchItem], options: dict[str, Any]) -> list[Any]:
    """The clips of a group, from one call of the pipeline."""
    from sonovid.cli.media_options import media_source

    paths = {name: [getattr(item, name) for item in group] for name in ("video", "audio")}
    sources = {name: [None if path is None else media_source(args, path) for path in found] for name, found in paths.items()}
    return pipe(
        [item.prompt or "" for item in group],
        negative_prompt=[item.negative for item in group],
        label=[item.label or "" for item in group] if any(item.label for item in group) else None,
        generator=[item.seed for item in group],
        **{name: found for name, found in sources.items() if found[0] is not None},
        **options,
    ).clips


def _write_manifest(folder: Path, items: list[BatchItem]) -> None:
    """Write a manifest of the clips in the folder, which can be trained on and evaluated."""
    from sonovid.core import atomic

    rows = [{"path": item.name, "caption": item.prompt or "", "label": item.label or "", "seed": item.seed} for item in items]
    atomic.write_text(folder / MANIFEST, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
