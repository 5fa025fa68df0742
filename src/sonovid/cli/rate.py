"""sonovid rate: a blinded rating study as an offline web page, and the analysis of its answers."""

import argparse
from pathlib import Path
from typing import Any

from sonovid.cli.argument_types import positive_int

DESCRIPTION = """\
Run a blinded rating study with people. `make` draws clips of several systems, blinds and shuffles them, and writes a folder for
the raters (an offline web page) and a key that they must not see. `report` analyses the files that the page saved.

  sonovid rate make study --system ours=out/ours --system theirs=out/theirs --reference clips/test \\
      --task video-to-audio --questions cmmd --clips 20 --raters 14
  sonovid rate report answers/*.json --key study/key.json --html report.html
"""
REFERENCE = "reference"


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "rate",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=lambda args: parser.print_help())
    steps = parser.add_subparsers(dest="step", metavar="STEP", parser_class=type(parser))
    _add_make_options(steps.add_parser("make", help="draw the clips and write the page", allow_abbrev=False))
    _add_report_options(
        steps.add_parser("report", help="compute scores, intervals and tests from the answers", allow_abbrev=False)
    )


def _add_make_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=make)
    parser.add_argument("out", metavar="OUT", help="new folder for the study")
    parser.add_argument(
        "--system", action="append", default=[], metavar="NAME=FOLDER", help="a system and its folder of clips, once per system"
    )
    parser.add_argument("--reference", metavar="FOLDER", help="folder of real clips, shown blinded among the others")
    parser.add_argument(
        "--task",
        default="joint",
        metavar="TASK",
        help="task of the systems: joint, video-to-audio or audio-to-video; default: joint",
    )
    parser.add_argument(
        "--questions",
        default="cmmd",
        metavar="FORM",
        help="questionnaire: cmmd (1 to 5), cmmd-dance, or mmldm (AQ, VQ, A-V, 0 to 5); default: cmmd",
    )
    parser.add_argument("--clips", type=positive_int, default=20, metavar="N", help="clips per system; default: 20")
    parser.add_argument(
        "--raters", type=positive_int, default=10, metavar="N", help="number of raters, each with an order of clips; default: 10"
    )
    parser.add_argument(
        "--groups",
        type=positive_int,
        default=1,
        metavar="N",
        help="number of parts of the clips, of which each rater gets one; default: 1, all clips",
    )
    parser.add_argument(
        "--unpaired", action="store_true", help="draw clips of each system independently, for file names that do not correspond"
    )
    parser.add_argument("--copy", action="store_true", help="copy files as they are; default: encode each again as mp4")
    parser.add_argument(
        "--embed",
        type=float,
        default=20.0,
        metavar="MB",
        help="embed clips into the page up to this total size in MB; default: 20",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="SEED", help="seed of the draw; default: 0")


def _add_report_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=report)
    parser.add_argument("answers", nargs="+", metavar="ANSWERS", help="files that the page saved, .json or .csv")
    parser.add_argument("--key", required=True, metavar="FILE", help="key.json that `make` wrote")
    parser.add_argument(
        "--zeros",
        default="pratt",
        metavar="METHOD",
        help="treatment of equal pairs in the Wilcoxon test: pratt, wilcox or zsplit; default: pratt",
    )
    parser.add_argument(
        "--level", type=float, default=0.95, metavar="SHARE", help="confidence level of the intervals, from 0 to 1; default: 0.95"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="SEED", help="seed of the bootstrap; default: 0")
    for kind, what in (
        ("json", "all numbers"),
        ("markdown", "the tables"),
        ("html", "the tables and box plots"),
        ("svg", "box plots"),
    ):
        parser.add_argument(f"--{kind}", metavar="FILE", help=f"{what}, to a file")


def make(args: argparse.Namespace) -> None:
    """Draw the clips and write the study."""
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
        raise ValueError("nothing to rate; give --system NAME=FOLDER, once per system")
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
    print(f"{key}: which clip belongs to which system; do not give it to the raters")


def report(args: argparse.Namespace) -> None:
    """Read the answers and print and write their analysis."""
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
