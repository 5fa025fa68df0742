"""sonovid calibrate: metrics held against clips whose truth is known."""

import argparse
from fractions import Fraction
from pathlib import Path
from typing import Any

from sonovid.cli.generate import seconds, whole

DESCRIPTION = """\
Find out what metrics respond to: procedural scenes are rendered, their sound is moved, exchanged, made noisy, their events
silenced, their pictures blurred, frozen, coded and shown at other frame rates, and every metric is computed each time. The table
says whether a metric responds, in the right order, and how much against the spread of the clips.

  sonovid calibrate --metrics av_align,offset,sync --figures figures --json calibration.json
"""
DEFAULT = ("av_align", "events", "offset", "beats", "sync", "fvd", "kvd", "fad", "kad")


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "calibrate",
        help="find out what metrics respond to, on scenes whose truth is known",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--metrics",
        metavar="NAME,...",
        default=",".join(DEFAULT),
        help=f"metrics and families (see sonovid metrics) whose weights are at hand; default: {','.join(DEFAULT)}",
    )
    parser.add_argument("--worlds", default="hits,bounces,dance,landscape,kitchen", metavar="NAME,...", help="default: all five")
    parser.add_argument("--count", type=whole, default=16, metavar="N", help="clips of each world, 4 or more; default: 16")
    parser.add_argument("--seed", type=int, default=80_000_000, metavar="SEED", help="of the first clip; default: 80000000")
    parser.add_argument("--seconds", type=seconds, default=4, metavar="S", help="length of a clip; default: 4")
    parser.add_argument("--fps", type=whole, default=25, metavar="N", help="frames per second; default: 25")
    parser.add_argument(
        "--rates", default="8,10,16,30", metavar="N,...", help="further frame rates, or none; default: 8,10,16,30"
    )
    parser.add_argument("--size", type=whole, default=64, metavar="N", help="height and width of the pictures; default: 64")
    parser.add_argument("--weights", metavar="DIR", help="the folder of weight files; default: $SONOVID_WEIGHTS")
    parser.add_argument("--json", metavar="FILE", help="all findings")
    parser.add_argument("--markdown", metavar="FILE", help="the tables")
    parser.add_argument("--figures", metavar="DIR", help="calibration.svg (all effects) and calibration-shift.svg (by movement)")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument("--quiet", action="store_true", help="no bars and no tables")


def run(args: argparse.Namespace) -> None:
    """Calibrate."""
    from sonovid.calibration.calibrate import calibrate
    from sonovid.calibration.drawing import by_movement, effects, plots
    from sonovid.calibration.features import Plan
    from sonovid.core import atomic
    from sonovid.core.geometry import as_rate
    from sonovid.metrics import catalogue

    figures = [Path(args.figures) / name for name in ("calibration.svg", "calibration-shift.svg")] if args.figures else []
    for path in [*figures, *(Path(p) for p in (args.json, args.markdown) if p)]:
        if path.exists() and not args.overwrite:
            raise ValueError(f"{path} exists already; --overwrite replaces it")
    if figures:
        plots()
    rates = () if args.rates in ("", "none") else tuple(as_rate(rate) for rate in args.rates.split(","))
    worlds = tuple(args.worlds.split(","))
    plan = Plan(worlds, args.count, args.seed, Fraction(args.seconds), as_rate(args.fps), rates, args.size)
    found = calibrate(plan, catalogue.select(args.metrics), weights=args.weights, quiet=args.quiet)
    if not args.quiet:
        print(found.to_markdown())
    if args.json:
        atomic.write_text(args.json, found.to_json())
    if args.markdown:
        atomic.write_text(args.markdown, found.to_markdown())
    if figures:
        figures[0].parent.mkdir(parents=True, exist_ok=True)
        effects(found.findings, float(plan.fps), figures[0])
        by_movement(found.findings, figures[1])
