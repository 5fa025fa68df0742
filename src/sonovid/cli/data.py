"""sonovid data: check, split, caption and filter clips before training."""

import argparse
import json
import math
from pathlib import Path
from typing import Any

DESCRIPTION = """\
Prepare a folder of clips for training.

  sonovid data check clips --report report.json       find faulty and duplicate clips; changes nothing
  sonovid data split films clips                      split long videos into clips at shot boundaries
  sonovid data caption clips --model OWNER/NAME       caption clips with an image-text model
  sonovid data filter clips kept.jsonl --metric av_align_sony --least 0.2
"""


def add_parser(commands: Any) -> None:
    """Add the command with its subcommands to the parser."""
    from sonovid.cli import caption, filter

    parser = commands.add_parser(
        "data",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=lambda args: parser.print_help())
    inner = parser.add_subparsers(dest="data_command", metavar="COMMAND", parser_class=type(parser))
    _add_check(inner)
    _add_split(inner)
    caption.add_parser(inner)
    filter.add_parser(inner)


def _add_check(commands: Any) -> None:
    parser = commands.add_parser(
        "check",
        help="find faulty and duplicate clips; changes nothing",
        description="Find clips that would harm training: broken files, silence, clipping, black or frozen frames, variable "
        "frame rates, audio-visual offsets, and duplicates, also across the held-out split.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=check_clips)
    parser.add_argument("clips", metavar="CLIPS", help="folder, manifest or dataset")
    parser.add_argument(
        "--held-out",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="also find duplicates across a held-out split of this share, from 0 to 1; default: 0",
    )
    parser.add_argument("--captions", action="store_true", help="also report clips without captions")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write everything about every clip to this JSON file")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing report")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that read files; default: one per core")
    parser.add_argument("--strict", action="store_true", help="exit with status 2 if a clip has a fault")


def _add_split(commands: Any) -> None:
    parser = commands.add_parser(
        "split",
        help="split long videos into clips at shot boundaries",
        description="Cut videos at the shot boundaries that PySceneDetect finds (pip install 'sonovid[split]'). Frames are "
        "copied if a shot begins at a keyframe, and encoded again otherwise. Existing clips are kept, so that an interrupted run "
        "is resumed by the same command.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=split_videos)
    parser.add_argument("videos", metavar="VIDEOS", type=Path, help="a video, or a folder of videos")
    parser.add_argument("out", metavar="OUT", type=Path, help="output folder for the clips")
    parser.add_argument(
        "--threshold", type=float, default=27.0, help="threshold of PySceneDetect's content detector; default: 27"
    )
    parser.add_argument("--least", type=float, default=2.0, metavar="S", help="shortest clip in seconds; default: 2")
    parser.add_argument(
        "--most",
        type=float,
        default=20.0,
        metavar="S",
        help="longest clip in seconds, longer shots are cut into equal parts; default: 20",
    )


def check_clips(args: argparse.Namespace) -> None:
    """Check the clips and print what was found.

    Raises:
        ValueError: no such clips, an existing report, or a faulty clip with --strict.
    """
    from sonovid.cli.evaluate import count_workers
    from sonovid.core import atomic, progress
    from sonovid.curation import checking
    from sonovid.data import manifest

    if args.report and args.report.exists() and not args.overwrite:
        raise ValueError(f"--report {args.report} exists already; --overwrite replaces it")
    entries = manifest.read(args.clips, include_audio=True)
    found = checking.check_clips(entries, captions=args.captions, workers=count_workers(args))
    reports = list(progress.bar(found, desc="clips", total=len(entries), unit="clip"))
    checking.find_copies(reports, entries, share=args.held_out)
    print("\n".join(checking.table(reports)))
    if args.report:
        rows = [report.to_json() for report in reports]
        atomic.write_text(args.report, json.dumps({"faults": checking.FAULTS, "clips": rows}, indent=1, ensure_ascii=False))
    faulty = sum(bool(report.faults) for report in reports)
    if args.strict and faulty:
        raise ValueError(f"data check {args.clips}: {faulty} of {len(reports)} clips have a fault")


def split_videos(args: argparse.Namespace) -> None:
    """Split every video into clips. Unreadable videos are skipped and listed.

    Raises:
        ValueError: no such videos, or no clip was written.
    """
    from sonovid.core import progress
    from sonovid.curation import splitting
    from sonovid.data import manifest

    videos = manifest.read(args.videos) if args.videos.is_dir() else []
    if not videos and not args.videos.is_file():
        raise ValueError(f"data split {args.videos}: no such file or folder")
    paths = {Path(entry.name).with_suffix(""): Path(entry.path) for entry in videos}
    paths = paths or {Path(args.videos.stem): args.videos}
    if len(videos) > len(paths):
        raise ValueError(f"data split {args.videos}: two videos differ only in their suffix; rename one of them")
    num_written, num_kept, faults = 0, 0, []
    for name, path in progress.bar(paths.items(), desc="videos", unit="video"):
        try:
            shots = splitting.detect_shots(path, threshold=args.threshold, least=min(0.5, args.least))
            for shot in splitting.split_shots(shots, least=args.least, most=args.most):
                # Named by their start, clips keep their names and captions whatever else is split or skipped.
                clip = args.out / name.parent / f"{name.name}-{math.floor(1000 * shot.start):08d}.mp4"
                if clip.exists():
                    num_kept += 1
                    continue
                clip.parent.mkdir(parents=True, exist_ok=True)
                splitting.write_shot(path, shot, clip)
                num_written += 1
        except splitting.media.MediaError as error:
            faults.append(str(error))
    for fault in faults[:3]:
        print(f"skipped: {fault}")
    print(
        f"{args.out}: {num_written} clips written, {num_kept} existed already, from {len(paths)} videos; "
        f"{len(faults)} videos could not be read to the end"
    )
    if not num_written and not num_kept:
        raise ValueError(f"data split {args.videos}: no clip was written; the shortest is {args.least:g} s (--least)")
