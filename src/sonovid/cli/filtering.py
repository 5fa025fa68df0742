"""sonovid filter: the clips whose score lies above a threshold, as a manifest to train on."""

import argparse
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DESCRIPTION = """\
Score every clip by a metric of single clips and list those within a threshold: weakly aligned clips are left out of a training
set so (TempoTokens; the SVG baseline's VGGSound).

  sonovid filter vggsound:VGGSound train.jsonl --metric av_align_sony --least 0.2
  sonovid train svg.scenes data.path=train.jsonl out=run

The manifest holds each clip's score in a column of the metric's name. Features are cached: another threshold takes seconds.
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    from sonovid.cli.generate import whole

    parser = commands.add_parser(
        "filter",
        help="the clips of a source whose score is above a threshold, as a manifest",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, seed=0, resamples=2, ray=False, seconds=None, fps=None, size=None)
    parser.add_argument("clips", metavar="CLIPS", help="a folder, a manifest or a dataset")
    parser.add_argument("out", metavar="OUT", type=Path, help="the manifest: .jsonl or .csv")
    parser.add_argument("--metric", default="av_align_sony", help="of single clips; default: av_align_sony")
    parser.add_argument("--least", type=float, metavar="X", help="the smallest score that is kept")
    parser.add_argument("--most", type=float, metavar="X", help="the largest score that is kept")
    parser.add_argument("--weights", metavar="DIR", help="the folder of weight files; default: $SONOVID_WEIGHTS")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT where it exists")
    parser.add_argument("--quiet", action="store_true", help="no bars")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that read files; default: one for each core")
    parser.add_argument("--batch-size", type=whole, metavar="N", help="default: each network's own")
    parser.add_argument("--device", metavar="DEVICE", help="default: a GPU where there is one")
    parser.add_argument("--cache", metavar="DIR", help="where features are kept; default: $SONOVID_CACHE")
    parser.add_argument("--no-cache", action="store_true", help="keep no features and take none")


def run(args: argparse.Namespace) -> None:
    """Score, sift and write."""
    from sonovid.cli.evaluate import count_workers, measuring
    from sonovid.cli.exporting import export, named
    from sonovid.data import listing, manifest

    least, most = (-math.inf if args.least is None else args.least), (math.inf if args.most is None else args.most)
    if not least <= most or (args.least is None and args.most is None):
        raise ValueError(f"filter: --least {args.least} and --most {args.most}; give one of them, or two in order")
    listing.check(args.out)
    if args.out.exists() and not args.overwrite:
        raise ValueError(f"{args.out} exists already; --overwrite replaces it")
    metric = of_clips(args.metric)
    entries = named(manifest.read(args.clips))
    if scene := next((entry for entry in entries if entry.scene), None):
        raise ValueError(f"filter: {scene.name} is a scene, which has no file that a manifest could list")
    with tempfile.TemporaryDirectory() as aside:
        # A metric is of whole files, so that stretches of files are cut out, and dropped again.
        files = export(entries, Path(aside))
        found, faulty = scores(files, metric, measuring(args), count_workers(args))
    unread = {entry.name for entry in entries} - {entry.name for entry in files}
    faulty |= dict.fromkeys(sorted(unread), "cannot be read")
    kept = [entry for entry in entries if entry.name in found and least <= found[entry.name] <= most]
    for name, reason in list(faulty.items())[:3]:
        print(f"left out: {name}: {reason}")
    undefined = len(entries) - len(found) - len(faulty)
    print(
        f"{args.metric} of {len(found)} clips ({len(faulty)} cannot be used, for {undefined} it is not defined): "
        f"{len(kept)} kept, {len(found) - len(kept)} outside"
    )
    if not kept:
        values = sorted(found.values())
        span = f"the scores lie from {values[0]:.3g} to {values[-1]:.3g}" if values else "no clip has a score"
        raise ValueError(f"filter: no clip is left, and {args.out} was not written; {span}")
    listing.write(args.out, kept, {args.metric: {entry.name: round(found[entry.name], 6) for entry in kept}})


def of_clips(name: str) -> Any:
    """The metric of this name.

    Raises:
        ValueError: none, or one that is not of single clips by themselves.
    """
    from sonovid.metrics import catalogue
    from sonovid.metrics.base import ClipScore

    metric = catalogue.metrics().get(name)
    if metric is None:
        chosen = [one.name for one in catalogue.select(name)]
        raise ValueError(f"--metric {name}: a family; name one metric of it: {', '.join(chosen)}")
    if not isinstance(metric, ClipScore):
        known = [one.name for one in catalogue.metrics().values() if isinstance(one, ClipScore)]
        raise ValueError(f"--metric {name}: no score of single clips by themselves; such are {', '.join(known)}")
    return metric


def scores(entries: Sequence[Any], metric: Any, measuring: Any, workers: int = 0) -> tuple[dict[str, float], dict[str, str]]:
    """The score of each clip by its name, where it has one, and why others cannot be used."""
    import json

    from sonovid.metrics.evaluate import evaluate
    from sonovid.metrics.sets import open_set

    with tempfile.TemporaryDirectory() as folder:
        rows = (
            {"name": entry.name, "path": str(Path(entry.path).absolute()), "caption": entry.caption or entry.label}
            for entry in entries
        )
        listed = Path(folder) / "clips.jsonl"
        listed.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        clips = open_set(listed, title="clips", workers=workers)
    measured = evaluate(clips, None, [metric], measuring)
    result = measured[metric.name]
    faulty = {one.name: one.reason for one in clips.left_out}
    faulty |= {name: reason for side in result.left_out.values() for name, reason in side.items()}
    return {name: value for name, value in result.clips.items() if math.isfinite(value)}, faulty
