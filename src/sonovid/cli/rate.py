"""sonovid rate: a blinded rating study as one offline web page, and the report of its answers."""

import argparse
from pathlib import Path
from typing import Any

from sonovid.cli.generate import whole

DESCRIPTION = """\
Ask people. `make` draws clips of several systems, blinds and shuffles them, and writes a folder for the raters (a web page that
needs no network) and a key that they must not get. `report` reads the files that the page saved.

  sonovid rate make study --system ours=out/ours --system theirs=out/theirs --reference clips/test \\
      --task video-to-audio --questions cmmd --clips 20 --raters 14
  sonovid rate report answers/*.json --key study/key.json --html report.html
"""
REFERENCE = "reference"


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "rate",
        help="a blinded rating study as one web page, and the report of its answers",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=lambda args: parser.print_help())
    steps = parser.add_subparsers(dest="step", metavar="STEP", parser_class=type(parser))
    _add_make(steps.add_parser("make", help="draw the clips and write the page", allow_abbrev=False))
    _add_report(steps.add_parser("report", help="scores, intervals and tests from the answers", allow_abbrev=False))


def _add_make(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=make)
    parser.add_argument("out", metavar="OUT", help="a new folder")
    parser.add_argument("--system", action="append", default=[], metavar="NAME=FOLDER", help="once for each system")
    parser.add_argument("--reference", metavar="FOLDER", help="real clips, shown blind among the others")
    parser.add_argument("--task", default="joint", metavar="TASK", help="joint, video-to-audio or audio-to-video; default: joint")
    parser.add_argument(
        "--questions",
        default="cmmd",
        metavar="FORM",
        help="cmmd (1 to 5), cmmd-dance, or mmldm (AQ, VQ, A-V, 0 to 5); default: cmmd",
    )
    parser.add_argument("--clips", type=whole, default=20, metavar="N", help="items of each system; default: 20")
    parser.add_argument("--raters", type=whole, default=10, metavar="N", help="orders to be made; default: 10")
    parser.add_argument("--groups", type=whole, default=1, metavar="N", help="parts of which a rater gets one; default: 1, all")
    parser.add_argument(
        "--unpaired", action="store_true", help="draw from each system by itself, where file names have no partners"
    )
    parser.add_argument("--copy", action="store_true", help="take files as they are; default: write each anew as mp4")
    parser.add_argument(
        "--embed", type=float, default=20.0, metavar="MB", help="put clips into the page up to so much; default: 20"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="SEED", help="default: 0")


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=report)
    parser.add_argument("answers", nargs="+", metavar="ANSWERS", help="files that the page saved, .json or .csv")
    parser.add_argument("--key", required=True, metavar="FILE", help="the key.json that `make` wrote")
    parser.add_argument(
        "--zeros",
        default="pratt",
        metavar="METHOD",
        help="equal pairs in Wilcoxon's test: pratt, wilcox or zsplit; default: pratt",
    )
    parser.add_argument("--level", type=float, default=0.95, metavar="SHARE", help="of the intervals; default: 0.95")
    parser.add_argument("--seed", type=int, default=0, metavar="SEED", help="of the bootstrap; default: 0")
    for kind, what in (
        ("json", "all numbers"),
        ("markdown", "the tables"),
        ("html", "the tables and box plots"),
        ("svg", "box plots"),
    ):
        parser.add_argument(f"--{kind}", metavar="FILE", help=f"{what}, to a file")


def make(args: argparse.Namespace) -> None:
    """Draw and write a study."""
    from sonovid.metrics.rating import study

    systems: dict[str, str] = {}
    for given in args.system:
        name, sign, folder = given.partition("=")
        if not (name and sign and folder):
            raise ValueError(f"--system {given}: expected NAME=FOLDER, such as --system ours=out/ours")
        if name in systems:
            raise ValueError(f"--system {given}: the name {name} is taken by {systems[name]}")
        systems[name] = folder
    if args.reference:
        if REFERENCE in systems:
            raise ValueError(f"--reference {args.reference}: a system is called {REFERENCE} already")
        systems[REFERENCE] = args.reference
    if not systems:
        raise ValueError("nothing to rate; give --system NAME=FOLDER, once for each system")
    drawn = study.draw(
        systems,
        task=args.task,
        questions=args.questions,
        clips=args.clips,
        raters=args.raters,
        groups=args.groups,
        paired=not args.unpaired,
        seed=args.seed,
    )
    page, key = study.write(drawn, args.out, copy=args.copy, embed_mb=args.embed)
    each = sorted({len(order) for order in drawn.raters.values()})
    print(f"{page}: {' or '.join(map(str, each))} clips for each of {len(drawn.raters)} raters; give them this folder alone")
    print(f"{key}: which clip is whose; keep it from them")


def report(args: argparse.Namespace) -> None:
    """Read answers and say what they amount to."""
    import json

    from sonovid.metrics.rating import analysis, answers, tables
    from sonovid.metrics.rating.study import read_key

    study = read_key(args.key)
    result = analysis.analyse(study, answers.read(args.answers, study), zero_method=args.zeros, level=args.level, seed=args.seed)
    makers = {
        "json": lambda: json.dumps(tables.record(result), indent=1) + "\n",
        "markdown": lambda: tables.markdown(result),
        "html": lambda: tables.html(result),
        "svg": lambda: tables.box_plots(result) + "\n",
    }
    print(tables.text(result))
    for kind, maker in makers.items():
        if path := getattr(args, kind):
            Path(path).write_text(maker(), encoding="utf-8")
            print(f"{path}: written")
