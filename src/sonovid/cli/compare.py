"""sonovid compare: several systems side by side, with confidence intervals and tests of their differences."""

import argparse
from pathlib import Path
from typing import Any

DESCRIPTION = """\
Evaluate several systems in the same way and test which of their differences are significant. A system is a folder of clips, or
a file that sonovid evaluate --json wrote. Saved results are used as they are; differences in how they were measured are printed,
or make the comparison an error.

  sonovid compare ours theirs baseline --reference reference --html table.html
  sonovid compare ours.json theirs.json
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    from sonovid.cli.evaluate import add_evaluation_options

    parser = commands.add_parser(
        "compare",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("systems", nargs="+", metavar="SYSTEM", help="folders of clips, lists, or saved results (.json)")
    parser.add_argument("--reference", metavar="DIR", help="folder of reference clips, for systems that are folders")
    add_evaluation_options(parser)


def run(args: argparse.Namespace) -> None:
    """Evaluate and compare."""
    from dataclasses import replace

    from sonovid.cli.evaluate import (
        check_report_paths,
        count_workers,
        default_metrics,
        evaluation_config,
        load_captions,
        write_reports,
    )
    from sonovid.metrics import catalogue, results
    from sonovid.metrics.compare import compare
    from sonovid.metrics.evaluate import evaluate_all
    from sonovid.metrics.sets import open_set

    if len(args.systems) < 2:
        raise ValueError("only one system: give two or more, or use sonovid evaluate")
    check_report_paths(args)
    chosen = catalogue.select(args.metrics)
    captions, workers = load_captions(args), count_workers(args)
    saved = {place for place in args.systems if place.endswith(".json") and Path(place).is_file()}
    folders = [place for place in args.systems if place not in saved]
    titles = _set_titles(folders)
    sets = [open_set(place, title=titles[place], captions=captions, workers=workers) for place in folders]
    reference = open_set(args.reference, captions=captions, workers=workers) if args.reference else None
    if reference is not None and reference.title in titles.values():
        reference = replace(reference, title=f"{reference.title} (reference)")
    how = evaluation_config(args)
    chosen, rest = default_metrics(args, chosen, sets, how)
    found = (replace(one, skipped=(*one.skipped, *rest)) for one in (evaluate_all(sets, reference, chosen, how) if sets else []))
    evaluations = [results.load(place) if place in saved else next(found) for place in args.systems]
    # Saved results have no clips. The page shows clips only if all systems are folders.
    write_reports(args, evaluations, None if saved else sets, reference, compare(evaluations, seed=args.seed))


def _set_titles(folders: list[str]) -> dict[str, str]:
    """Titles of folders: the last part of the path, or the whole path where last parts coincide."""
    last = {place: Path(place).absolute().name for place in folders}
    return {place: name if list(last.values()).count(name) == 1 else place for place, name in last.items()}
