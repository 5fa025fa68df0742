"""sonovid evaluate: folders of clips to numbers that can be trusted."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DESCRIPTION = """\
Measure clips, anyone's, against a reference: one table with every metric that fits, with intervals, floors and ceilings.
Clips of the two folders belong together by name; clip.txt beside clip.mp4 is its caption.

  sonovid evaluate generated reference
  sonovid evaluate generated reference --metrics av_align,fvd --html table.html --json table.json
  sonovid evaluate generated                              what needs no reference
  sonovid evaluate --reconstructions shipped reference    a model's codecs: rFVD, rKVD, rFAD, PSNR

Metrics whose weights are not at hand are skipped, with a line that says what to fetch; nothing is downloaded.
"""
REPORTS = {"json": ".json", "html": ".html", "markdown": ".md"}


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "evaluate",
        help="measure generated clips against a reference",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("sets", nargs="+", metavar="GENERATED REFERENCE", help="folders of clips, or lists (.csv, .jsonl)")
    parser.add_argument(
        "--reconstructions", metavar="CODEC", help="measure a model's codecs, or one codec's folder, on REFERENCE"
    )
    parser.add_argument("--keep", metavar="DIR", help="with --reconstructions: keep the reconstructed clips there")
    measuring_options(parser)


def measuring_options(parser: argparse.ArgumentParser) -> None:
    """The options that evaluate and compare share."""
    from sonovid.commands.generate import whole

    what = parser.add_argument_group("what is measured")
    what.add_argument("--metrics", metavar="NAME,...", help="metrics and families (see sonovid metrics); default: all that fit")
    what.add_argument("--captions", metavar="FILE", help="captions by clip name: .json, .jsonl or .csv")
    what.add_argument("--weights", metavar="DIR", help="the folder of weight files; default: $SONOVID_WEIGHTS")
    what.add_argument("--seed", type=int, default=0, metavar="SEED", help="of all random draws; default: 0")
    what.add_argument("--resamples", type=whole, default=200, metavar="N", help="of whole sets, for intervals; default: 200")
    out = parser.add_argument_group("what comes out")
    out.add_argument("--json", metavar="FILE", help="everything, with the record of how it was measured")
    out.add_argument("--html", metavar="FILE", help="one page with tables, plots, and the best and worst clips to play")
    out.add_argument("--markdown", metavar="FILE", help="the table")
    out.add_argument("--overwrite", action="store_true", help="replace files that exist")
    out.add_argument("--quiet", action="store_true", help="no bars and no table")
    how = parser.add_argument_group("how")
    how.add_argument("--workers", type=int, metavar="N", help="processes that read files, 0 for none; default: one for each core")
    how.add_argument("--batch-size", type=whole, metavar="N", help="default: each network's own")
    how.add_argument("--device", metavar="DEVICE", help="default: a GPU where there is one")
    how.add_argument("--cache", metavar="DIR", help="where features are kept; default: $SONOVID_CACHE or the user's cache folder")
    how.add_argument("--no-cache", action="store_true", help="keep no features and take none")
    how.add_argument("--ray", action="store_true", help="extract by Ray Data, on the cluster of RAY_ADDRESS or this machine")


def run(args: argparse.Namespace) -> None:
    """Measure one system."""
    from dataclasses import replace

    from sonovid.metrics import catalogue
    from sonovid.metrics.evaluate import evaluate
    from sonovid.metrics.sets import open_set

    least, most = (1, 1) if args.reconstructions else (1, 2)
    if not least <= len(args.sets) <= most:
        expected = "REFERENCE alone" if args.reconstructions else "GENERATED and REFERENCE"
        raise ValueError(f"got {len(args.sets)} folders, expected {expected}")
    if args.keep and not args.reconstructions:
        raise ValueError("--keep goes with --reconstructions")
    check_reports(args)
    chosen = catalogue.select(args.metrics)
    captions, workers = given_captions(args), count_workers(args)
    if args.reconstructions:
        from sonovid.commands.reconstructions import reconstructed

        chosen = catalogue.of_reconstructions(catalogue.select(args.metrics or "fvd,kvd,fad,kad,reconstruction"))
        with reconstructed(args.reconstructions, args.sets[0], keep=args.keep, quiet=args.quiet) as (made, true):
            rebuilt = open_set(made, title=f"{args.reconstructions}: reconstructions", workers=workers)
            given = open_set(true, title=Path(args.sets[0]).absolute().name, workers=workers)
            report(args, [evaluate(rebuilt, given, chosen, measuring(args))], [rebuilt], given)
        return
    generated = open_set(args.sets[0], captions=captions, workers=workers)
    reference = open_set(args.sets[1], captions=captions, workers=workers) if len(args.sets) == 2 else None
    if reference is not None and reference.title == generated.title:
        reference = replace(reference, title=f"{reference.title} (reference)")
    report(args, [evaluate(generated, reference, chosen, measuring(args))], [generated], reference)


def measuring(args: argparse.Namespace) -> Any:
    """How it is measured.

    Raises:
        ValueError: a device that is not usable here.
    """
    from sonovid.commands.device import usable
    from sonovid.metrics.cache import Cache, default_folder
    from sonovid.metrics.evaluate import Measuring
    from sonovid.metrics.extraction import Extraction

    folder = None if args.no_cache else Path(args.cache) if args.cache else default_folder()
    how = Extraction(Cache(folder), count_workers(args), args.batch_size, args.quiet, args.ray)
    return Measuring(args.weights, usable(args.device), args.seed, args.resamples, how)


def count_workers(args: argparse.Namespace) -> int:
    """How many processes read files."""
    if args.workers is not None:
        return max(0, args.workers)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def given_captions(args: argparse.Namespace) -> dict[str, str] | None:
    """Captions from --captions."""
    from sonovid.metrics.sets import read_captions

    return read_captions(args.captions) if args.captions else None


def check_reports(args: argparse.Namespace) -> None:
    """Find out before any work is done whether the reports can be written.

    Raises:
        ValueError: a folder that is missing, a file that exists, or rich is not installed, which draws the table.
    """
    if not args.quiet:
        from sonovid.metrics.report import terminal

        terminal.terminal()
    for name in REPORTS:
        if not (given := getattr(args, name)):
            continue
        path = Path(given)
        if path.is_dir() or not path.parent.is_dir():
            why = "is a folder" if path.is_dir() else f"the folder {path.parent} does not exist; create it first"
            raise ValueError(f"--{name} {given}: {why}")
        if path.exists() and not args.overwrite:
            raise ValueError(f"--{name} {given} exists already; --overwrite replaces it")


def report(
    args: argparse.Namespace, evaluations: Sequence[Any], sets: "Sequence[Any] | None", reference: Any, compared: Any = None
) -> None:
    """Write what was asked for: the terminal's table last, so that it stands at the end."""
    from sonovid import atomic
    from sonovid.metrics import results
    from sonovid.metrics.report import cells, markdown, page, terminal

    tables = [cells.table(one) for one in evaluations]
    if args.json and compared is None:
        results.save(evaluations[0], args.json)
    elif args.json:
        results.save_comparison(evaluations, compared.comparisons, args.json)
    side = cells.side_by_side(evaluations, compared) if compared else None
    lines = [*side.notes, *cells.differences(compared)] if compared and side else []
    if args.markdown:
        text = markdown.markdown(tables)
        atomic.write_text(args.markdown, markdown.comparison(side.header, side.rows, lines) + "\n" + text if side else text)
    if args.html:
        atomic.write_text(args.html, page.page(evaluations, sets=sets, reference=reference, compared=compared, beside=args.html))
    if args.quiet:
        return
    if side:
        skipped = dict.fromkeys(one for found in tables for one in found.skipped)
        terminal.write_comparison(side.header, side.rows, [*lines, *(f"skipped {names}: {reason}" for names, reason in skipped)])
        return
    for found in tables:
        terminal.write(found)
