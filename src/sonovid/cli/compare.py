"""sonovid compare: systems side by side, with intervals, and which of their differences mean something."""

import argparse
from pathlib import Path
from typing import Any

DESCRIPTION = """\
Measure several systems alike and say which differ. Each is a folder of clips, or a file that sonovid evaluate --json left; those
are taken as they are, and what their records differ in is said, or forbids the comparison.

  sonovid compare ours theirs baseline --reference reference --html table.html
  sonovid compare ours.json theirs.json
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    from sonovid.cli.evaluate import measuring_options

    parser = commands.add_parser(
        "compare",
        help="measure systems side by side",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("systems", nargs="+", metavar="SYSTEM", help="folders of clips, lists, or saved results (.json)")
    parser.add_argument("--reference", metavar="DIR", help="the reference's clips, for the folders")
    measuring_options(parser)


def run(args: argparse.Namespace) -> None:
    """Measure and compare."""
    from dataclasses import replace

    from sonovid.cli.evaluate import check_reports, count_workers, defaults, given_captions, measuring, report
    from sonovid.metrics import catalogue, results
    from sonovid.metrics.compare import compare
    from sonovid.metrics.evaluate import evaluate_all
    from sonovid.metrics.sets import open_set

    if len(args.systems) < 2:
        raise ValueError("one system alone: give two or more, or use sonovid evaluate")
    check_reports(args)
    chosen = catalogue.select(args.metrics)
    captions, workers = given_captions(args), count_workers(args)
    saved = {place for place in args.systems if place.endswith(".json") and Path(place).is_file()}
    folders = [place for place in args.systems if place not in saved]
    titles = _titles(folders)
    sets = [open_set(place, title=titles[place], captions=captions, workers=workers) for place in folders]
    reference = open_set(args.reference, captions=captions, workers=workers) if args.reference else None
    if reference is not None and reference.title in titles.values():
        reference = replace(reference, title=f"{reference.title} (reference)")
    how = measuring(args)
    chosen, rest = defaults(args, chosen, sets, how)
    found = (replace(one, skipped=(*one.skipped, *rest)) for one in (evaluate_all(sets, reference, chosen, how) if sets else []))
    evaluations = [results.load(place) if place in saved else next(found) for place in args.systems]
    # Clips of saved results are not at hand, so that a page shows clips only where all systems were given as folders.
    report(args, evaluations, None if saved else sets, reference, compare(evaluations, seed=args.seed))


def _titles(folders: list[str]) -> dict[str, str]:
    """Each folder's last name, or its whole path where last names agree."""
    last = {place: Path(place).absolute().name for place in folders}
    return {place: name if list(last.values()).count(name) == 1 else place for place, name in last.items()}
