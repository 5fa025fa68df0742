"""sonovid evaluate: metrics of generated clips against a reference."""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sonovid.cli.argument_types import frame_rate, height_width, positive_int, positive_seconds

DESCRIPTION = """\
Evaluate any generated clips against a reference. One table shows every applicable metric with confidence intervals, and its
values for a random baseline and an upper bound. Clips of the two folders are paired by name. The caption of clip.mp4 is in
clip.txt.

  sonovid evaluate generated reference
  sonovid evaluate generated reference --metrics av_align,fvd --html table.html --json table.json
  sonovid evaluate generated                              metrics that need no reference
  sonovid evaluate --reconstructions packaged reference   a model's codecs: rFVD, rKVD, rFAD, PSNR

Sound files (a folder of wav) are combined with the frames of the reference clip of the same name, and silent videos with its
sound. Metrics whose weights are missing are skipped, with a line that says what to download. Nothing is downloaded.
"""
REPORTS = {"json": ".json", "html": ".html", "markdown": ".md"}


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "evaluate",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "sets", nargs="+", metavar="GENERATED REFERENCE", help="folders of clips, lists (.csv, .jsonl) or datasets"
    )
    parser.add_argument(
        "--reconstructions", metavar="CODEC", help="evaluate the codecs of a model, or one codec's folder, on REFERENCE"
    )
    parser.add_argument("--keep", metavar="DIR", help="with --reconstructions: keep the reconstructed clips in this folder")
    add_evaluation_options(parser)


def add_evaluation_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that evaluate and compare share."""

    what = parser.add_argument_group("metrics")
    what.add_argument("--metrics", metavar="NAME,...", help="metrics and families (see sonovid metrics); default: all that apply")
    what.add_argument("--captions", metavar="FILE", help="captions by clip name: .json, .jsonl or .csv")
    what.add_argument("--weights", metavar="DIR", help="folder of weight files; default: $SONOVID_WEIGHTS")
    what.add_argument("--strict", action="store_true", help="fail if a metric named by --metrics cannot be computed")
    what.add_argument("--seed", type=int, default=0, metavar="SEED", help="seed of all random draws; default: 0")
    what.add_argument(
        "--resamples",
        type=positive_int,
        default=200,
        metavar="N",
        help="bootstrap resamples of the sets for confidence intervals; default: 200",
    )
    protocol = parser.add_argument_group("protocol: conversions before evaluation, which are recorded (default: none)")
    protocol.add_argument(
        "--seconds", type=positive_seconds, metavar="S", help="use the first S seconds of each clip (av-benchmark: 8)"
    )
    protocol.add_argument(
        "--fps", type=frame_rate, metavar="RATE", help="resample to this frame rate (the SVG baseline's paper: 8, at size 256)"
    )
    protocol.add_argument(
        "--size", type=height_width, metavar="N|WxH", help="scale frames to cover this size in pixels and crop the centre"
    )
    out = parser.add_argument_group("reports")
    out.add_argument("--json", metavar="FILE", help="write all results and the record of how they were measured")
    out.add_argument("--html", metavar="FILE", help="write a page with tables, plots, and the best and worst clips to play")
    out.add_argument("--markdown", metavar="FILE", help="write the table")
    out.add_argument("--overwrite", action="store_true", help="replace existing files")
    out.add_argument(
        "--quiet",
        action="store_true",
        help="print no progress bars and no table; requested metrics that were skipped are still listed",
    )
    how = parser.add_argument_group("execution")
    how.add_argument("--workers", type=int, metavar="N", help="processes that read files, 0 for none; default: one per core")
    how.add_argument(
        "--batch-size", type=positive_int, metavar="N", help="items in one forward pass; default: set by each network"
    )
    how.add_argument("--device", metavar="DEVICE", help="device, such as cpu or cuda:1; default: a GPU if available")
    how.add_argument(
        "--cache", metavar="DIR", help="folder of cached features; default: $SONOVID_CACHE, or sonovid in the user's cache folder"
    )
    how.add_argument("--no-cache", action="store_true", help="neither read nor write cached features")
    how.add_argument(
        "--ray", action="store_true", help="extract features with Ray Data, on the cluster of RAY_ADDRESS or on this machine"
    )


def run(args: argparse.Namespace) -> None:
    """Evaluate one system."""
    from contextlib import ExitStack
    from dataclasses import replace

    from sonovid.cli.clip_files import as_clip_files
    from sonovid.metrics import catalogue
    from sonovid.metrics.evaluate import evaluate
    from sonovid.metrics.sets import open_set

    least, most = (1, 1) if args.reconstructions else (1, 2)
    if not least <= len(args.sets) <= most:
        expected = "REFERENCE alone" if args.reconstructions else "GENERATED and REFERENCE"
        raise ValueError(f"got {len(args.sets)} folders, expected {expected}")
    if args.keep and not args.reconstructions:
        raise ValueError("--keep needs --reconstructions")
    check_report_paths(args)
    chosen = catalogue.select(args.metrics)
    captions, workers = load_captions(args), count_workers(args)
    if args.reconstructions:
        from sonovid.cli.reconstructions import reconstruct_clips

        chosen = catalogue.reconstruction_metrics(catalogue.select(args.metrics or "fvd,kvd,fad,kad,reconstruction"))
        with reconstruct_clips(args.reconstructions, args.sets[0], keep=args.keep, quiet=args.quiet) as (reconstructed, original):
            reconstructions = open_set(reconstructed, title=f"{args.reconstructions}: reconstructions", workers=workers)
            given = open_set(original, title=Path(args.sets[0]).absolute().name, workers=workers)
            write_reports(args, [evaluate(reconstructions, given, chosen, evaluation_config(args))], [reconstructions], given)
        return
    with ExitStack() as stack:
        # Clips of a dataset are excerpts of its files. They are written to temporary files.
        places = [stack.enter_context(as_clip_files(source)) for source in args.sets]
        titles = [source if place != source else None for source, place in zip(args.sets, places, strict=True)]
        generated = open_set(places[0], title=titles[0], captions=captions, workers=workers)
        reference = open_set(places[1], title=titles[1], captions=captions, workers=workers) if len(places) == 2 else None
        if reference is not None and reference.title == generated.title:
            reference = replace(reference, title=f"{reference.title} (reference)")
        how = evaluation_config(args)
        chosen, rest = default_metrics(args, chosen, [generated], how)
        found = evaluate(generated, reference, chosen, how)
        write_reports(args, [replace(found, skipped=(*found.skipped, *rest))], [generated], reference)


def default_metrics(args: argparse.Namespace, chosen: list[Any], sets: Sequence[Any], how: Any) -> tuple[list[Any], list[Any]]:
    """The metrics that are meaningful for these clips if --metrics names none.

    Returns:
        The selected metrics, and the others as `Skipped` with the reason.
    """
    from sonovid.metrics import catalogue
    from sonovid.metrics.results import Skipped

    if args.metrics or not sets:
        return chosen, []
    captions = [item.caption for one in sets for item in one.items]
    kept, rest = catalogue.filter_default_metrics(chosen, how.extraction.protocol.info(sets[0].info), captions)
    return kept, [Skipped(metric.name, metric.family, reason) for metric, reason in rest]


def evaluation_config(args: argparse.Namespace) -> Any:
    """The evaluation settings from the command's options.

    Raises:
        ValueError: an unusable device.
    """
    from sonovid.cli.device import resolve_device
    from sonovid.metrics.cache import Cache, default_folder
    from sonovid.metrics.evaluate import EvaluationConfig
    from sonovid.metrics.extraction import Extraction
    from sonovid.metrics.protocol import Protocol

    protocol = Protocol(args.seconds, args.fps, args.size)
    folder = None if args.no_cache else Path(args.cache) if args.cache else default_folder()
    how = Extraction(Cache(folder), count_workers(args), args.batch_size, args.quiet, args.ray, protocol)
    return EvaluationConfig(args.weights, resolve_device(args.device), args.seed, args.resamples, how)


def count_workers(args: argparse.Namespace) -> int:
    """The number of processes that read files."""
    if args.workers is not None:
        return max(0, args.workers)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def load_captions(args: argparse.Namespace) -> dict[str, str] | None:
    """The captions of --captions by clip name, or None."""
    from sonovid.metrics.sets import read_captions

    return read_captions(args.captions) if args.captions else None


def check_report_paths(args: argparse.Namespace) -> None:
    """Check that the reports can be written, before any work is done.

    Raises:
        ValueError: a missing folder, an existing file, or rich, which draws the table, is not installed.
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


def write_reports(
    args: argparse.Namespace, evaluations: Sequence[Any], sets: "Sequence[Any] | None", reference: Any, compared: Any = None
) -> None:
    """Write the reports and print the table. The table is printed last, so that it stays visible."""
    from sonovid.core import atomic
    from sonovid.metrics import results
    from sonovid.metrics.report import cells, markdown, page, terminal

    tables = [cells.table(one, brief=not args.metrics) for one in evaluations]
    if args.json and compared is None:
        results.save(evaluations[0], args.json)
    elif args.json:
        results.save_comparison(evaluations, compared.comparisons, args.json)
    side = cells.comparison_table(evaluations, compared) if compared else None
    lines = [*side.notes, *cells.difference_lines(compared)] if compared and side else []
    if args.markdown:
        text = markdown.markdown(tables)
        atomic.write_text(args.markdown, markdown.comparison(side.header, side.rows, lines) + "\n" + text if side else text)
    if args.html:
        atomic.write_text(
            args.html, page.page(evaluations, sets=sets, reference=reference, compared=compared, page_path=args.html)
        )
    skipped = dict.fromkeys(one for found in tables for one in found.skipped)
    if not args.quiet and side:
        terminal.write_comparison(side.header, side.rows, [*lines, *(f"skipped {names}: {reason}" for names, reason in skipped)])
    elif not args.quiet:
        for found in tables:
            terminal.write(found)
    report_unmeasured(args, evaluations, skipped)


def report_unmeasured(args: argparse.Namespace, evaluations: Sequence[Any], skipped: Iterable[tuple[str, str]]) -> None:
    """Print which metrics of --metrics could not be computed, if no table shows them.

    Raises:
        ValueError: with --strict.
    """
    if not args.metrics or not skipped:
        return
    if args.quiet and not args.strict:
        for names, reason in skipped:
            print(f"sonovid: not computed: {names}: {reason}", file=sys.stderr)
    if args.strict:
        count = len({one.name for found in evaluations for one in found.skipped})
        lines = "; ".join(f"{names}: {reason}" for names, reason in skipped)
        raise ValueError(f"--strict: {count} of the requested metrics could not be computed: {lines}")
