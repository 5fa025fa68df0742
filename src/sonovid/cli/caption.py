"""sonovid caption: captions for clips by an image-text model."""

import argparse
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from sonovid.cli.argument_types import positive_int

log = logging.getLogger(__name__)

DESCRIPTION = """\
Caption clips with an image-text model of transformers. The caption of clip.mp4 is written to clip.txt.

  sonovid caption clips --model llava-hf/llava-v1.6-mistral-7b-hf
  sonovid caption clips --model Salesforce/blip2-opt-2.7b --manifest clips.jsonl
  sonovid caption greatest-hits:vis-data-256 --model llava-hf/llava-v1.6-mistral-7b-hf --manifest train.jsonl

Clips that have a clip.txt are skipped, so that an interrupted run is resumed by the same command. The files of a dataset may be
cut into several clips each. Captions of a dataset are therefore written to the manifest only, and existing ones are kept.
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""

    parser = commands.add_parser(
        "caption",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("folder", metavar="FOLDER", help="folder of clips, searched recursively, or a dataset as NAME:FOLDER")
    parser.add_argument("--model", required=True, metavar="ID", help="image-text model: a Hub repository or a folder")
    parser.add_argument(
        "--prompt", help="instruction for the model; default: asks for one sentence on what happens and can be heard"
    )
    parser.add_argument(
        "--frames", type=positive_int, default=4, help="evenly spaced frames for models that take several images; default: 4"
    )
    parser.add_argument("--tokens", type=positive_int, default=64, help="longest caption in tokens; default: 64")
    parser.add_argument(
        "--manifest", type=Path, metavar="FILE", help="write all clips with their captions to this .jsonl or .csv file"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing captions and an existing manifest")
    parser.add_argument("--device", metavar="DEVICE", help="device, such as cpu or cuda:1; default: a GPU if available")


def run(args: argparse.Namespace) -> None:
    """Caption the clips of a folder that have no caption yet."""
    from sonovid.cli.device import resolve_device
    from sonovid.core import atomic, progress
    from sonovid.curation.captioning import Captioner
    from sonovid.data import datasets, manifest, manifest_writer
    from sonovid.media import MediaError

    if datasets.is_dataset(args.folder):
        caption_dataset(args)
        return
    if not Path(args.folder).is_dir():
        raise ValueError(f"caption {args.folder}: no such folder, and no dataset NAME:FOLDER")
    if args.manifest:
        manifest_writer.check_path(args.manifest)
        if args.manifest.exists() and not args.overwrite:
            raise ValueError(f"--manifest {args.manifest} exists already; --overwrite replaces it")
    entries = manifest.read(args.folder)
    places = [Path(entry.path).with_suffix(".txt") for entry in entries]
    if len(set(places)) < len(places):
        twice = next(place for place in places if places.count(place) > 1)
        raise ValueError(f"caption {args.folder}: two clips would share {twice}; rename one of them")
    waiting = [(i, place) for i, place in enumerate(places) if args.overwrite or not place.exists()]
    failed = 0
    if waiting:
        captioner = Captioner.from_pretrained(
            args.model, device=resolve_device(args.device), prompt=args.prompt, tokens=args.tokens
        )
        for i, place in progress.bar(waiting, desc="captions", unit="clip"):
            try:
                caption = captioner(sample_frames(entries[i].path, args.frames))
            except MediaError as error:
                log.warning("no caption: %s", error)
                failed += 1
                continue
            if not caption:
                log.warning("no caption: %s: the model generated no text", entries[i].path)
                failed += 1
                continue
            atomic.write_text(place, caption + "\n")
            entries[i] = replace(entries[i], caption=caption)
    if args.manifest:
        manifest_writer.write(args.manifest, entries)
    print(f"{args.folder}: {len(waiting) - failed} captions written, {len(entries) - len(waiting)} kept, {failed} failed")
    if waiting and failed == len(waiting):
        raise ValueError(f"caption {args.folder}: none of {failed} clips could be captioned; the log says why")


def caption_dataset(args: argparse.Namespace) -> None:
    """Caption the clips of a dataset into a manifest, which is saved every hundred clips and resumed from.

    Raises:
        ValueError: no manifest is named, or no clip could be captioned.
    """
    from sonovid.cli.clip_files import name_entries
    from sonovid.cli.device import resolve_device
    from sonovid.core import progress
    from sonovid.curation.captioning import Captioner
    from sonovid.data import manifest, manifest_writer
    from sonovid.media import MediaError

    if not args.manifest:
        raise ValueError(f"caption {args.folder}: its files may hold several clips each, so that --manifest FILE is needed")
    manifest_writer.check_path(args.manifest)
    entries = name_entries(manifest.read(args.folder))
    known = {} if args.overwrite or not args.manifest.exists() else read_captions(args.manifest)
    done = {entry.name: known[place] for entry in entries if (place := (entry.path, entry.start)) in known}
    waiting = [entry for entry in entries if entry.name not in done]
    captioner, failed = None, 0

    def captioned_entries() -> list[Any]:
        return [replace(entry, caption=done[entry.name]) for entry in entries if entry.name in done]

    for count, entry in enumerate(progress.bar(waiting, desc="captions", unit="clip"), 1):
        if captioner is None:
            captioner = Captioner.from_pretrained(
                args.model, device=resolve_device(args.device), prompt=args.prompt, tokens=args.tokens
            )
        try:
            caption = captioner(sample_frames(entry.path, args.frames, entry.start, entry.seconds))
        except MediaError as error:
            log.warning("no caption: %s", error)
            caption = ""
        if caption:
            done[entry.name] = caption
        failed += not caption
        if count % 100 == 0:
            manifest_writer.write(args.manifest, captioned_entries())
    if waiting and failed == len(waiting):
        raise ValueError(f"caption {args.folder}: none of {failed} clips could be captioned; the log says why")
    manifest_writer.write(args.manifest, captioned_entries())
    print(f"{args.manifest}: {len(waiting) - failed} captions written, {len(entries) - len(waiting)} kept, {failed} failed")


def read_captions(path: Path) -> dict[tuple[str, float], str]:
    """The captions of a manifest by (path, start)."""
    from sonovid.data import manifest

    return {(entry.path, entry.start): entry.caption for entry in manifest.read(path) if entry.caption}


def sample_frames(path: str, count: int, start: float = 0.0, seconds: float | None = None) -> Any:
    """Frames of a clip, one from the middle of each of `count` equal parts.

    Args:
        path: A media file.
        count: Number of frames.
        start: Beginning of the clip in the file, in seconds.
        seconds: Duration of the clip in seconds; None: to the end of the file.

    Returns:
        Frames uint8 [t h w 3], t at most `count`.
    """
    from fractions import Fraction

    from sonovid import media

    first = Fraction(start)
    length = media.probe(path).duration - first if seconds is None else Fraction(seconds)
    part = length / count
    if length > 0:
        clip = media.read(path, fps=1 / part, start=first + part / 2, seconds=length - part / 2, audio=False)
    else:
        clip = media.read(path, audio=False)
    assert clip.frames is not None
    return clip.frames[:count]
