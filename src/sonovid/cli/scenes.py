"""sonovid scenes: procedural sounding clips with known event times."""

import argparse
from typing import Any

from sonovid.cli.argument_types import frame_size, positive_int, positive_seconds

DESCRIPTION = """\
Render clips of a procedural world into a folder: mp4 files with captions (.txt), event times and labels (.json), and a manifest.
A clip depends only on its world and its seed. Existing clips are kept, so that an interrupted run is resumed by the same command.

  sonovid scenes clips --world hits --count 1000 --seed 0
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "scenes",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("out", metavar="OUT", help="output folder")
    parser.add_argument(
        "--world", metavar="NAME", default="hits", help="hits, bounces, dance, landscape or kitchen; default: hits"
    )
    parser.add_argument("--count", type=positive_int, default=100, metavar="N", help="number of clips; default: 100")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="SEED", help="seed of the first clip, which the others continue; default: 0"
    )
    parser.add_argument(
        "--seconds", type=positive_seconds, default=2, metavar="S", help="duration of a clip in seconds; default: 2"
    )
    parser.add_argument("--size", type=frame_size, default=(64, 64), metavar="WxH", help="frame size in pixels; default: 64x64")
    parser.add_argument("--fps", default="8", metavar="RATE", help="frames per second, such as 8 or 30000/1001; default: 8")
    parser.add_argument(
        "--sample-rate", type=positive_int, default=16000, metavar="HZ", help="sample rate of the sound in Hz; default: 16000"
    )
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="worker processes; default: 0, all in this process")
    parser.add_argument("--quiet", action="store_true", help="print nothing")


def run(args: argparse.Namespace) -> None:
    """Render the clips."""
    from sonovid.core.geometry import Geometry, as_rate, count
    from sonovid.data.clips import write_scenes

    fps = as_rate(args.fps)
    geometry = Geometry(max(1, count(args.seconds, fps)), fps, args.size[1], args.size[0], args.sample_rate)
    manifest = write_scenes(args.out, args.world, args.count, args.seed, geometry, workers=args.workers, quiet=args.quiet)
    if not args.quiet:
        print(f"{manifest}: {args.count} clips of {args.world}, seeds {args.seed} to {args.seed + args.count - 1}")
