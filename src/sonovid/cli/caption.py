"""sonovid caption: captions for a folder of clips by an image-text model, clip.txt beside clip.mp4."""

import argparse
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

DESCRIPTION = """\
Have an image-text model of transformers say what each clip shows, and write it to clip.txt beside clip.mp4.

  sonovid caption clips --model llava-hf/llava-v1.6-mistral-7b-hf
  sonovid caption clips --model Salesforce/blip2-opt-2.7b --manifest clips.jsonl
  sonovid caption greatest-hits:vis-data-256 --model llava-hf/llava-v1.6-mistral-7b-hf --manifest train.jsonl

A clip that has its clip.txt is left as it is, so an interrupted call goes on where it stopped. Of a dataset's files several clips
may be cut: their captions go into the manifest alone, which is trained on then, and what stands there already is kept.
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    from sonovid.cli.generate import whole

    parser = commands.add_parser(
        "caption",
        help="captions for a folder of clips by an image-text model",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("folder", metavar="FOLDER", help="clips, in it and its subfolders; or a dataset, NAME:FOLDER")
    parser.add_argument("--model", required=True, metavar="ID", help="an image-text model: hub id or folder")
    parser.add_argument("--prompt", help="what the model is asked; default: one sentence on what happens and can be heard")
    parser.add_argument("--frames", type=whole, default=4, help="shown to models that take several, evenly spread; default: 4")
    parser.add_argument("--tokens", type=whole, default=64, help="of the longest caption; default: 64")
    parser.add_argument("--manifest", type=Path, metavar="FILE", help="all clips with their captions as .jsonl or .csv")
    parser.add_argument("--overwrite", action="store_true", help="replace captions that exist, and FILE")
    parser.add_argument("--device", metavar="DEVICE", help="default: a GPU where there is one")


def run(args: argparse.Namespace) -> None:
    """Caption what has no caption."""
    from sonovid.cli.device import usable
    from sonovid.core import atomic, progress
    from sonovid.curation.captioning import Captioner
    from sonovid.data import listing, manifest, sources
    from sonovid.media import MediaError

    if sources.known(args.folder):
        run_dataset(args)
        return
    if not Path(args.folder).is_dir():
        raise ValueError(f"caption {args.folder}: no such folder, and no dataset NAME:FOLDER")
    if args.manifest:
        listing.check(args.manifest)
        if args.manifest.exists() and not args.overwrite:
            raise ValueError(f"--manifest {args.manifest} exists already; --overwrite replaces it")
    entries = manifest.read(args.folder)
    places = [Path(entry.path).with_suffix(".txt") for entry in entries]
    if len(set(places)) < len(places):
        twice = next(place for place in places if places.count(place) > 1)
        raise ValueError(f"caption {args.folder}: two clips would share {twice}; give them names of their own")
    waiting = [(i, place) for i, place in enumerate(places) if args.overwrite or not place.exists()]
    failed = 0
    if waiting:
        captioner = Captioner.from_pretrained(args.model, device=usable(args.device), prompt=args.prompt, tokens=args.tokens)
        for i, place in progress.bar(waiting, desc="captions", unit="clip"):
            try:
                caption = captioner(frames_of(entries[i].path, args.frames))
            except MediaError as error:
                log.warning("left without a caption: %s", error)
                failed += 1
                continue
            if not caption:
                log.warning("left without a caption: %s: the model said nothing", entries[i].path)
                failed += 1
                continue
            atomic.write_text(place, caption + "\n")
            entries[i] = replace(entries[i], caption=caption)
    if args.manifest:
        listing.write(args.manifest, entries)
    print(f"{args.folder}: {len(waiting) - failed} captions written, {len(entries) - len(waiting)} kept, {failed} clips without")
    if waiting and failed == len(waiting):
        raise ValueError(f"caption {args.folder}: none of {failed} clips could be captioned; the log says why")


def run_dataset(args: argparse.Namespace) -> None:
    """Caption the clips of a dataset into a manifest, which is written again every hundred clips and gone on from.

    Raises:
        ValueError: no manifest is named, or no clip could be captioned.
    """
    from sonovid.cli.device import usable
    from sonovid.cli.exporting import named
    from sonovid.core import progress
    from sonovid.curation.captioning import Captioner
    from sonovid.data import listing, manifest
    from sonovid.media import MediaError

    if not args.manifest:
        raise ValueError(f"caption {args.folder}: of its files several clips may be cut; --manifest FILE is where captions go")
    listing.check(args.manifest)
    entries = named(manifest.read(args.folder))
    known = {} if args.overwrite or not args.manifest.exists() else already(args.manifest)
    done = {entry.name: known[place] for entry in entries if (place := (entry.path, entry.start)) in known}
    waiting = [entry for entry in entries if entry.name not in done]
    captioner, failed = None, 0

    def written() -> list[Any]:
        return [replace(entry, caption=done[entry.name]) for entry in entries if entry.name in done]

    for count, entry in enumerate(progress.bar(waiting, desc="captions", unit="clip"), 1):
        if captioner is None:
            captioner = Captioner.from_pretrained(args.model, device=usable(args.device), prompt=args.prompt, tokens=args.tokens)
        try:
            caption = captioner(frames_of(entry.path, args.frames, entry.start, entry.seconds))
        except MediaError as error:
            log.warning("left without a caption: %s", error)
            caption = ""
        if caption:
            done[entry.name] = caption
        failed += not caption
        if count % 100 == 0:
            listing.write(args.manifest, written())
    if waiting and failed == len(waiting):
        raise ValueError(f"caption {args.folder}: none of {failed} clips could be captioned; the log says why")
    listing.write(args.manifest, written())
    print(
        f"{args.manifest}: {len(waiting) - failed} captions written, {len(entries) - len(waiting)} kept, {failed} clips without"
    )


def already(path: Path) -> dict[tuple[str, float], str]:
    """The captions of a manifest by file and beginning."""
    from sonovid.data import manifest

    return {(entry.path, entry.start): entry.caption for entry in manifest.read(path) if entry.caption}


def frames_of(path: str, count: int, start: float = 0.0, seconds: float | None = None) -> Any:
    """So many frames of a clip, [t h w 3]: those in the middle of as many equal parts of it, or of a stretch of it."""
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
