"""sonovid calibrate: how metrics respond to known degradations."""

import argparse
from fractions import Fraction
from pathlib import Path
from typing import Any

from sonovid.cli.argument_types import positive_int, positive_seconds

DESCRIPTION = """\
Test what metrics respond to. Procedural scenes are rendered and degraded: their sound is shifted, exchanged and made noisy,
events are silenced, and frames are blurred, frozen, compressed and resampled in time. Every metric is computed on each version.
The table shows whether a metric responds, whether it orders the degrees correctly, and how large the effect is relative to the
spread between clips.

  sonovid calibrate --metrics av_align,offset,sync --figures figures --json calibration.json
"""
DEFAULT = ("av_align", "events", "offset", "beats", "sync", "fvd", "kvd", "fad", "kad")


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "calibrate",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--metrics",
        metavar="NAME,...",
        default=",".join(DEFAULT),
        help=f"metrics and families (see sonovid metrics) whose weights are available; default: {','.join(DEFAULT)}",
    )
    parser.add_argument(
        "--worlds",
        default="hits,bounces,dance,landscape,kitchen",
        metavar="NAME,...",
        help="procedural worlds; default: hits,bounces,dance,landscape,kitchen",
    )
    parser.add_argument(
        "--count", type=positive_int, default=16, metavar="N", help="clips of each world, at least 4; default: 16"
    )
    parser.add_argument("--seed", type=int, default=80_000_000, metavar="SEED", help="seed of the first clip; default: 80000000")
    parser.add_argument(
        "--seconds", type=positive_seconds, default=4, metavar="S", help="duration of a clip in seconds; default: 4"
    )
    parser.add_argument("--fps", type=positive_int, default=25, metavar="N", help="frames per second; default: 25")
    parser.add_argument(
        "--rates", default="8,10,16,30", metavar="N,...", help="further frame rates to test, or none; default: 8,10,16,30"
    )
    parser.add_argument(
        "--size", type=positive_int, default=64, metavar="N", help="height and width of the frames in pixels; default: 64"
    )
    parser.add_argument("--weights", metavar="DIR", help="folder of weight files; default: $SONOVID_WEIGHTS")
    parser.add_argument("--json", metavar="FILE", help="write all findings to this file")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables to this file")
    parser.add_argument(
        "--figures", metavar="DIR", help="folder for calibration.svg (all effects) and calibration-shift.svg (effect over shift)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    parser.add_argument("--quiet", action="store_true", help="print no progress bars and no tables")


def run(args: argparse.Namespace) -> None:
    """Run the calibration and write its reports."""
    from sonovid.calibration.calibrate import calibrate
    from sonovid.calibration.drawing import import_pyplot, plot_effects, plot_shift_response
    from sonovid.calibration.features import Plan
    from sonovid.core import atomic
    from sonovid.core.geometry import as_rate
    from sonovid.metrics import catalogue

    figures = [Path(args.figures) / name for name in ("calibration.svg", "calibration-shift.svg")] if args.figures else []
    for path in [*figures, *(Path(p) for p in (args.json, args.markdown) if p)]:
        if path.exists() and not args.overwrite:
            raise ValueError(f"{path} exists already; --overwrite replaces it")
    if figures:
        import_pyplot()
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
        plot_effects(found.findings, float(plan.fps), figures[0])
        plot_shift_response(found.findings, figures[1])
