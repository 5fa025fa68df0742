"""sonovid evaluate: folders of clips to numbers that can be trusted."""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

DESCRIPTION = """\
Measure clips, anyone's, against a reference: one table with every metric that fits, with intervals, floors and ceilings.
Clips of the two folders belong together by name; clip.txt beside clip.mp4 is its caption.

  sonovid evaluate generated reference
  sonovid evaluate generated reference --metrics av_align,fvd --html table.html --json table.json
  sonovid evaluate generated                              what needs no reference
  sonovid evaluate --reconstructions shipped reference    a model's codecs: rFVD, rKVD, rFAD, PSNR

Clips that are sound alone (a folder of wav) are seen with the pictures of their partners in the reference, by name, and pictures
alone heard with their sound. Metrics whose weights are not at hand are skipped, with a line that says what to fetch; nothing is
downloaded.
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
    parser.add_argument(
        "sets", nargs="+", metavar="GENERATED REFERENCE", help="folders of clips, lists (.csv, .jsonl) or datasets"
    )
    parser.add_argument(
        "--reconstructions", metavar="CODEC", help="measure a model's codecs, or one codec's folder, on REFERENCE"
    )
    parser.add_argument("--keep", metavar="DIR", help="with --reconstructions: keep the reconstructed clips there")
    measuring_options(parser)


def measuring_options(parser: argparse.ArgumentParser) -> None:
    """The options that evaluate and compare share."""
    from sonovid.cli.generate import seconds, whole

    what = parser.add_argument_group("what is measured")
    what.add_argument("--metrics", metavar="NAME,...", help="metrics and families (see sonovid metrics); default: all that fit")
    what.add_argument("--captions", metavar="FILE", help="captions by clip name: .json, .jsonl or .csv")
    what.add_argument("--weights", metavar="DIR", help="the folder of weight files; default: $SONOVID_WEIGHTS")
    what.add_argument("--strict", action="store_true", help="fail where a metric named by --metrics cannot be computed")
    what.add_argument("--seed", type=int, default=0, metavar="SEED", help="of all random draws; default: 0")
    what.add_argument("--resamples", type=whole, default=200, metavar="N", help="of whole sets, for intervals; default: 200")
    protocol = parser.add_argument_group("what clips are brought to first, and on record (default: as they are)")
    protocol.add_argument("--seconds", type=seconds, metavar="S", help="the first S seconds of each (av-benchmark: 8)")
    protocol.add_argument(
        "--fps", type=frame_rate, metavar="RATE", help="frames per second (the SVG baseline's paper: 8, at 256)"
    )
    protocol.add_argument(
        "--size", type=picture_size, metavar="N|WxH", help="pictures scaled to cover it and cut evenly at the sides"
    )
    out = parser.add_argument_group("what comes out")
    out.add_argument("--json", metavar="FILE", help="everything, with the record of how it was measured")
    out.add_argument("--html", metavar="FILE", help="one page with tables, plots, and the best and worst clips to play")
    out.add_argument("--markdown", metavar="FILE", help="the table")
    out.add_argument("--overwrite", action="store_true", help="replace files that exist")
    out.add_argument(
        "--quiet", action="store_true", help="no bars and no table; what was asked for and not measured is still said"
    )
    how = parser.add_argument_group("how")
    how.add_argument("--workers", type=int, metavar="N", help="processes that read files, 0 for none; default: one for each core")
    how.add_argument("--batch-size", type=whole, metavar="N", help="default: each network's own")
    how.add_argument("--device", metavar="DEVICE", help="default: a GPU where there is one")
    how.add_argument("--cache", metavar="DIR", help="where features are kept; default: $SONOVID_CACHE or the user's cache folder")
    how.add_argument("--no-cache", action="store_true", help="keep no features and take none")
    how.add_argument("--ray", action="store_true", help="extract by Ray Data, on the cluster of RAY_ADDRESS or this machine")


def frame_rate(text: str) -> Fraction:
    """Frames per second, such as 8, 29.97 or 30000/1001."""
    from sonovid.core.geometry import as_rate

    try:
        return as_rate(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no frame rate: expected a number above zero, such as 8 or 30000/1001"
        ) from None


def picture_size(text: str) -> tuple[int, int]:
    """(h, w) of WxH, or of N for a square."""
    width, mark, height = text.lower().partition("x")
    height = height if mark else width
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size: expected N or WxH in pixels, such as 256 or 256x144")
    return int(height), int(width)


def run(args: argparse.Namespace) -> None:
    """Measure one system."""
    from contextlib import ExitStack
    from dataclasses import replace

    from sonovid.cli.exporting import as_files
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
        from sonovid.cli.reconstructions import reconstructed

        chosen = catalogue.of_reconstructions(catalogue.select(args.metrics or "fvd,kvd,fad,kad,reconstruction"))
        with reconstructed(args.reconstructions, args.sets[0], keep=args.keep, quiet=args.quiet) as (made, true):
            rebuilt = open_set(made, title=f"{args.reconstructions}: reconstructions", workers=workers)
            given = open_set(true, title=Path(args.sets[0]).absolute().name, workers=workers)
            report(args, [evaluate(rebuilt, given, chosen, measuring(args))], [rebuilt], given)
        return
    with ExitStack() as stack:
        # Clips of a dataset are cut out of its files, and dropped again at the end.
        places = [stack.enter_context(as_files(source)) for source in args.sets]
        titles = [source if place != source else None for source, place in zip(args.sets, places, strict=True)]
        generated = open_set(places[0], title=titles[0], captions=captions, workers=workers)
        reference = open_set(places[1], title=titles[1], captions=captions, workers=workers) if len(places) == 2 else None
        if reference is not None and reference.title == generated.title:
            reference = replace(reference, title=f"{reference.title} (reference)")
        how = measuring(args)
        chosen, rest = defaults(args, chosen, [generated], how)
        found = evaluate(generated, reference, chosen, how)
        report(args, [replace(found, skipped=(*found.skipped, *rest))], [generated], reference)


def defaults(args: argparse.Namespace, chosen: list[Any], sets: Sequence[Any], how: Any) -> tuple[list[Any], list[Any]]:
    """The metrics that say something of clips like these where none were named, and the others as skipped with the reason."""
    from sonovid.metrics import catalogue
    from sonovid.metrics.results import Skipped

    if args.metrics or not sets:
        return chosen, []
    captions = [item.caption for one in sets for item in one.items]
    kept, rest = catalogue.curated(chosen, how.how.protocol.facts(sets[0].facts), captions)
    return kept, [Skipped(metric.name, metric.family, reason) for metric, reason in rest]


def measuring(args: argparse.Namespace) -> Any:
    """How it is measured.

    Raises:
        ValueError: a device that is not usable here.
    """
    from sonovid.cli.device import usable
    from sonovid.metrics.cache import Cache, default_folder
    from sonovid.metrics.evaluate import Measuring
    from sonovid.metrics.extraction import Extraction
    from sonovid.metrics.protocol import Protocol

    protocol = Protocol(args.seconds, args.fps, args.size)
    folder = None if args.no_cache else Path(args.cache) if args.cache else default_folder()
    how = Extraction(Cache(folder), count_workers(args), args.batch_size, args.quiet, args.ray, protocol)
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
    from sonovid.core import atomic
    from sonovid.metrics import results
    from sonovid.metrics.report import cells, markdown, page, terminal

    tables = [cells.table(one, brief=not args.metrics) for one in evaluations]
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
    skipped = dict.fromkeys(one for found in tables for one in found.skipped)
    if not args.quiet and side:
        terminal.write_comparison(side.header, side.rows, [*lines, *(f"skipped {names}: {reason}" for names, reason in skipped)])
    elif not args.quiet:
        for found in tables:
            terminal.write(found)
    asked_for(args, evaluations, skipped)


def asked_for(args: argparse.Namespace, evaluations: Sequence[Any], skipped: Iterable[tuple[str, str]]) -> None:
    """Say what was named by --metrics and could not be computed, where no table says it.

    Raises:
        ValueError: with --strict.
    """
    if not args.metrics or not skipped:
        return
    if args.quiet and not args.strict:
        for names, reason in skipped:
            print(f"sonovid: not measured: {names}: {reason}", file=sys.stderr)
    if args.strict:
        count = len({one.name for found in evaluations for one in found.skipped})
        lines = "; ".join(f"{names}: {reason}" for names, reason in skipped)
        raise ValueError(f"--strict: {count} of the metrics asked for could not be computed: {lines}")
