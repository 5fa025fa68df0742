"""sonovid data: a folder of clips made ready for training: checked, split, captioned, filtered."""

import argparse
import json
import math
from pathlib import Path
from typing import Any

DESCRIPTION = """\
Make a folder of clips ready for training.

  sonovid data check clips --report report.json       faults and copies; nothing is changed
  sonovid data split films clips                      long videos into clips at shot boundaries
  sonovid data caption clips --model OWNER/NAME       captions by an image-text model, clip.txt beside clip.mp4
  sonovid data filter clips kept.jsonl --metric av_align_sony --least 0.2
"""


def add(commands: Any) -> None:
    """Add the command with its own commands to the parser."""
    from sonovid.cli import caption, filtering

    parser = commands.add_parser(
        "data",
        help="make clips ready for training: check, split, caption, filter",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=lambda args: parser.print_help())
    inner = parser.add_subparsers(dest="data_command", metavar="COMMAND", parser_class=type(parser))
    _add_check(inner)
    _add_split(inner)
    caption.add(inner)
    filtering.add(inner)


def _add_check(commands: Any) -> None:
    parser = commands.add_parser(
        "check",
        help="faults of clips and copies among them; nothing is changed",
        description="Look for what a training would learn from without a word: broken files, silence, clipping, black or frozen "
        "pictures, variable rates, sound that lies apart from its pictures, and copies, also across the held-out split.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=check)
    parser.add_argument("clips", metavar="CLIPS", help="a folder, a manifest or a dataset")
    parser.add_argument("--held-out", type=float, default=0.0, metavar="SHARE", help="find copies across this split")
    parser.add_argument("--captions", action="store_true", help="count clips without captions")
    parser.add_argument("--report", type=Path, metavar="FILE", help="everything about every clip, as JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE where it exists")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that read files; default: one for each core")
    parser.add_argument("--strict", action="store_true", help="end with status 2 where a clip has a fault")


def _add_split(commands: Any) -> None:
    parser = commands.add_parser(
        "split",
        help="long videos into clips at shot boundaries",
        description="Cut videos at the shot boundaries that PySceneDetect finds (pip install 'sonovid[split]'). Pictures are "
        "copied where a shot begins at a keyframe and encoded anew elsewhere. Clips that are there already are kept, so an "
        "interrupted call is finished by calling again.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=split)
    parser.add_argument("films", metavar="FILMS", type=Path, help="a video, or a folder of them")
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder of the clips")
    parser.add_argument("--threshold", type=float, default=27.0, help="of PySceneDetect's content detector; default: 27")
    parser.add_argument("--least", type=float, default=2.0, metavar="S", help="the shortest clip, in seconds; default: 2")
    parser.add_argument("--most", type=float, default=20.0, metavar="S", help="longer shots are cut into parts; default: 20")


def check(args: argparse.Namespace) -> None:
    """Check, and say what was found.

    Raises:
        ValueError: no such clips, a report that exists, or a fault where --strict is given.
    """
    from sonovid.cli.evaluate import count_workers
    from sonovid.core import atomic, progress
    from sonovid.curation import checking
    from sonovid.data import manifest

    if args.report and args.report.exists() and not args.overwrite:
        raise ValueError(f"--report {args.report} exists already; --overwrite replaces it")
    entries = manifest.read(args.clips, sound_only=True)
    found = checking.check(entries, captions=args.captions, workers=count_workers(args))
    reports = list(progress.bar(found, desc="clips", total=len(entries), unit="clip"))
    checking.find_copies(reports, entries, share=args.held_out)
    print("\n".join(checking.table(reports)))
    if args.report:
        rows = [report.to_json() for report in reports]
        atomic.write_text(args.report, json.dumps({"faults": checking.FAULTS, "clips": rows}, indent=1, ensure_ascii=False))
    faulty = sum(bool(report.faults) for report in reports)
    if args.strict and faulty:
        raise ValueError(f"data check {args.clips}: {faulty} of {len(reports)} clips have a fault")


def split(args: argparse.Namespace) -> None:
    """Split every video; one that cannot be read is left out by name, and the others keep their names.

    Raises:
        ValueError: no such videos, or none that could be split.
    """
    from sonovid.core import progress
    from sonovid.curation import splitting
    from sonovid.data import manifest

    films = manifest.read(args.films) if args.films.is_dir() else []
    if not films and not args.films.is_file():
        raise ValueError(f"data split {args.films}: no such file or folder")
    named = {Path(entry.name).with_suffix(""): Path(entry.path) for entry in films}
    named = named or {Path(args.films.stem): args.films}
    if len(films) > len(named):
        raise ValueError(f"data split {args.films}: two videos differ in their suffix alone; give them names of their own")
    made, kept, faults = 0, 0, []
    for name, path in progress.bar(named.items(), desc="videos", unit="video"):
        try:
            shots = splitting.shots(path, threshold=args.threshold, least=min(0.5, args.least))
            for shot in splitting.stretches(shots, least=args.least, most=args.most):
                # Named by where it begins: clips keep their names, and their captions, whatever else is split or left out.
                clip = args.out / name.parent / f"{name.name}-{math.floor(1000 * shot.start):08d}.mp4"
                if clip.exists():
                    kept += 1
                    continue
                clip.parent.mkdir(parents=True, exist_ok=True)
                splitting.cut(path, shot, clip)
                made += 1
        except splitting.media.MediaError as error:
            faults.append(str(error))
    for fault in faults[:3]:
        print(f"left out: {fault}")
    print(
        f"{args.out}: {made} clips cut, {kept} there already, of {len(named)} videos; {len(faults)} could not be read to the end"
    )
    if not made and not kept:
        raise ValueError(f"data split {args.films}: no clip was cut; the shortest is {args.least:g} s (--least)")
