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

A clip that has its clip.txt is left as it is, so an interrupted call goes on where it stopped.
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    from sonovid.commands.generate import whole

    parser = commands.add_parser(
        "caption",
        help="captions for a folder of clips by an image-text model",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="clips, in it and its subfolders")
    parser.add_argument("--model", required=True, metavar="ID", help="an image-text model: hub id or folder")
    parser.add_argument("--prompt", help="what the model is asked; default: one sentence on what happens and can be heard")
    parser.add_argument("--frames", type=whole, default=4, help="shown to models that take several, evenly spread; default: 4")
    parser.add_argument("--tokens", type=whole, default=64, help="of the longest caption; default: 64")
    parser.add_argument("--manifest", type=Path, metavar="FILE", help="all clips with their captions as .jsonl or .csv")
    parser.add_argument("--overwrite", action="store_true", help="replace captions that exist, and FILE")
    parser.add_argument("--device", metavar="DEVICE", help="default: a GPU where there is one")


def run(args: argparse.Namespace) -> None:
    """Caption what has no caption."""
    from sonovid import atomic, progress
    from sonovid.captioning import Captioner
    from sonovid.commands.device import usable
    from sonovid.data import listing, manifest
    from sonovid.media import MediaError

    if not args.folder.is_dir():
        raise ValueError(f"caption {args.folder}: no such folder")
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


def frames_of(path: str, count: int) -> Any:
    """So many frames of a clip, [t h w 3]: those in the middle of as many equal parts."""
    from sonovid import media

    seconds = media.probe(path).duration
    part = seconds / count
    clip = media.read(path, fps=1 / part, start=part / 2, audio=False) if seconds > 0 else media.read(path, audio=False)
    assert clip.frames is not None
    return clip.frames[:count]
