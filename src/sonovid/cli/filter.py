"""sonovid filter: a manifest of the clips whose score lies within thresholds."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sonovid.cli.argument_types import positive_int

DESCRIPTION = """\
Score every clip with a metric and list the clips whose score lies within thresholds, for example to drop weakly aligned clips
from a training set (TempoTokens; the SVG baseline's VGGSound).

  sonovid filter vggsound:VGGSound train.jsonl --metric av_align_sony --least 0.2
  sonovid train svg.scenes data.path=train.jsonl out=run

The manifest holds the score of each clip in a column named after the metric. Features are cached, so that another threshold takes
seconds.
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""

    parser = commands.add_parser(
        "filter",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, seed=0, resamples=2, ray=False, seconds=None, fps=None, size=None)
    parser.add_argument("clips", metavar="CLIPS", help="folder, manifest or dataset")
    parser.add_argument("out", metavar="OUT", type=Path, help="manifest to write: .jsonl or .csv")
    parser.add_argument("--metric", default="av_align_sony", help="metric that scores single clips; default: av_align_sony")
    parser.add_argument("--least", type=float, metavar="X", help="smallest score that is kept; default: no limit")
    parser.add_argument("--most", type=float, metavar="X", help="largest score that is kept; default: no limit")
    parser.add_argument("--weights", metavar="DIR", help="folder of weight files; default: $SONOVID_WEIGHTS")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing OUT")
    parser.add_argument("--quiet", action="store_true", help="print no progress bars")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that read files; default: one per core")
    parser.add_argument(
        "--batch-size", type=positive_int, metavar="N", help="items in one forward pass; default: set by each network"
    )
    parser.add_argument("--device", metavar="DEVICE", help="device, such as cpu or cuda:1; default: a GPU if available")
    parser.add_argument(
        "--cache", metavar="DIR", help="folder of cached features; default: $SONOVID_CACHE, or sonovid in the user's cache folder"
    )
    parser.add_argument("--no-cache", action="store_true", help="neither read nor write cached features")


def run(args: argparse.Namespace) -> None:
    """Score, filter and write."""
    import tempfile

    from sonovid.cli.clip_files import export_clips, name_entries
    from sonovid.cli.evaluate import count_workers, evaluation_config
    from sonovid.data import manifest, manifest_writer

    least, most = (-math.inf if args.least is None else args.least), (math.inf if args.most is None else args.most)
    if not least <= most or (args.least is None and args.most is None):
        raise ValueError(f"filter: --least {args.least} and --most {args.most}; give one of them, or two in order")
    manifest_writer.check_path(args.out)
    if args.out.exists() and not args.overwrite:
        raise ValueError(f"{args.out} exists already; --overwrite replaces it")
    metric = clip_metric(args.metric)
    entries = name_entries(manifest.read(args.clips))
    if scene := next((entry for entry in entries if entry.scene), None):
        raise ValueError(f"filter: {scene.name} is a rendered scene without a file that a manifest could list")
    with tempfile.TemporaryDirectory() as temporary:
        # Metrics read whole files, so that excerpts are written to temporary files.
        files = export_clips(entries, Path(temporary))
        score_by_name, faulty = score_clips(files, metric, evaluation_config(args), count_workers(args))
    unread = {entry.name for entry in entries} - {entry.name for entry in files}
    faulty |= dict.fromkeys(sorted(unread), "cannot be read")
    kept = [entry for entry in entries if entry.name in score_by_name and least <= score_by_name[entry.name] <= most]
    for name, reason in list(faulty.items())[:3]:
        print(f"skipped: {name}: {reason}")
    undefined = len(entries) - len(score_by_name) - len(faulty)
    print(
        f"{args.metric} of {len(score_by_name)} clips ({len(faulty)} cannot be used, {undefined} have no score): "
        f"{len(kept)} kept, {len(score_by_name) - len(kept)} outside"
    )
    if not kept:
        values = sorted(score_by_name.values())
        span = f"the scores lie from {values[0]:.3g} to {values[-1]:.3g}" if values else "no clip has a score"
        raise ValueError(f"filter: no clip is left, and {args.out} was not written; {span}")
    manifest_writer.write(args.out, kept, {args.metric: {entry.name: round(score_by_name[entry.name], 6) for entry in kept}})


def clip_metric(name: str) -> Any:
    """The metric of this name.

    Raises:
        ValueError: no such metric, or a metric that does not score single clips.
    """
    from sonovid.metrics import catalogue
    from sonovid.metrics.base import ClipScore

    metric = catalogue.metrics().get(name)
    if metric is None:
        chosen = [one.name for one in catalogue.select(name)]
        raise ValueError(f"--metric {name}: a family of metrics; name one of it: {', '.join(chosen)}")
    if not isinstance(metric, ClipScore):
        known = [one.name for one in catalogue.metrics().values() if isinstance(one, ClipScore)]
        raise ValueError(f"--metric {name}: it does not score single clips; such metrics are {', '.join(known)}")
    return metric


def score_clips(
    entries: Sequence[Any], metric: Any, evaluation_config: Any, workers: int = 0
) -> tuple[dict[str, float], dict[str, str]]:
    """Score clips by a metric.

    Returns:
        The finite scores by clip name, and the reasons why other clips have none by clip name.
    """
    import json
    import tempfile

    from sonovid.metrics.evaluate import evaluate
    from sonovid.metrics.sets import open_set

    with tempfile.TemporaryDirectory() as folder:
        rows = (
            {"name": entry.name, "path": str(Path(entry.path).absolute()), "caption": entry.caption or entry.label}
            for entry in entries
        )
        list_path = Path(folder) / "clips.jsonl"
        list_path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        clips = open_set(list_path, title="clips", workers=workers)
    measured = evaluate(clips, None, [metric], evaluation_config)
    result = measured[metric.name]
    faulty = {one.name: one.reason for one in clips.left_out}
    faulty |= {name: reason for side in result.left_out.values() for name, reason in side.items()}
    return {name: value for name, value in result.clips.items() if math.isfinite(value)}, faulty
