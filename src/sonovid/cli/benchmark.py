"""sonovid benchmark: any systems compared on held-out scenes."""

import argparse
import json
from pathlib import Path
from typing import Any

from sonovid.cli.argument_types import positive_int

DESCRIPTION = """\
Compare several systems on the same held-out scenes, whose event times are known, in one table.

  sonovid benchmark export OUT                    writes prompts.jsonl, videos/*.mp4, audio/*.wav and the reference clips
  sonovid benchmark score OUT                     scores all systems whose clips are in OUT
  sonovid benchmark score OUT --systems theirs=FOLDER,ours=FOLDER

The clips of a system are FOLDER/TASK/NAME.mp4 (or .mkv, or .wav for sound only). TASK is video_to_audio, audio_to_video or joint,
and NAME is that of prompts.jsonl. FOLDER is OUT/SYSTEM by default. FOLDER/system.json may hold further facts for the table, such
as {"parameters": 6500000, "seconds_per_clip": 1.6, "evaluations": 25, "core_hours": 4}.
"""
ACTIONS = ("export", "score")


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""

    parser = commands.add_parser(
        "benchmark",
        help="compare systems on held-out scenes",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, ray=False, weights=None, seconds=None, fps=None, size=None)
    parser.add_argument("action", choices=ACTIONS, metavar="ACTION", help="export the scenes or score systems")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder of the benchmark")
    what = parser.add_argument_group("scenes (export)")
    what.add_argument(
        "--world", default="hits+bounces", metavar="A+B", help="worlds that the scenes alternate between; default: hits+bounces"
    )
    what.add_argument("--clips", type=positive_int, default=128, metavar="N", help="number of scenes; default: 128")
    what.add_argument("--first", type=int, metavar="SEED", help="seed of the first scene; default: 90000000")
    scored = parser.add_argument_group("scoring (score)")
    scored.add_argument(
        "--systems", metavar="NAME=FOLDER,...", help="systems to score; default: every folder of OUT that holds clips of a task"
    )
    scored.add_argument("--tasks", metavar="TASK,...", help="tasks to score; default: video_to_audio,audio_to_video,joint")
    scored.add_argument(
        "--reader", metavar="FILE", type=Path, help="event reader, which detects events in frames; default: the packaged one"
    )
    scored.add_argument(
        "--resamples",
        type=positive_int,
        default=200,
        metavar="N",
        help="bootstrap resamples for confidence intervals; default: 200",
    )
    scored.add_argument("--seed", type=int, default=0, metavar="SEED", help="seed of all random draws; default: 0")
    how = parser.add_argument_group("execution")
    how.add_argument("--workers", type=int, metavar="N", help="processes; default: one per core")
    how.add_argument(
        "--batch-size", type=positive_int, metavar="N", help="items in one forward pass; default: set by each network"
    )
    how.add_argument("--device", metavar="DEVICE", help="device, such as cpu or cuda:1; default: a GPU if available")
    how.add_argument(
        "--cache", metavar="DIR", help="folder of cached features; default: $SONOVID_CACHE, or sonovid in the user's cache folder"
    )
    how.add_argument("--no-cache", action="store_true", help="neither read nor write cached features")
    how.add_argument("--quiet", action="store_true", help="print no progress bars and no table")


def run(args: argparse.Namespace) -> None:
    """Export the scenes or score systems."""
    from sonovid.benchmark.held_out import FIRST_SEED, HeldOut, export
    from sonovid.cli.evaluate import count_workers

    if args.action == "export":
        held = HeldOut(tuple(args.world.split("+")), args.clips, FIRST_SEED if args.first is None else args.first)
        listed = export(held, args.out, workers=count_workers(args), quiet=args.quiet)
        if not args.quiet:
            print(f"{listed}: {held.count} scenes of {args.world}, seeds from {held.first} on")
        return
    score(args)


def score(args: argparse.Namespace) -> None:
    """Score the systems and write results.json, results.md and results.html into OUT."""
    from sonovid.benchmark import report, scoring
    from sonovid.benchmark.held_out import TASKS, HeldOut
    from sonovid.benchmark.reader import load, packaged
    from sonovid.cli.evaluate import measuring
    from sonovid.core import atomic
    from sonovid.metrics.report import terminal

    if not args.quiet:
        # Fails before the work if rich is not installed.
        terminal.terminal()
    names = args.tasks.split(",") if args.tasks else list(TASKS)
    if unknown := [name for name in names if name not in TASKS]:
        raise ValueError(f"--tasks {unknown[0]}: expected {', '.join(TASKS)}")
    held, systems, reference = HeldOut.load(args.out), find_systems(args), args.out / "reference"
    reader = load(args.reader) if args.reader else packaged()
    tasks = [TASKS[name] for name in names]
    found = scoring.score(held, reference, systems, tasks=tasks, config=measuring(args), reader=reader)
    atomic.write_text(args.out / "results.json", report.to_json(found))
    atomic.write_text(args.out / "results.md", report.to_markdown(found))
    atomic.write_text(args.out / "results.html", report.to_html(found, systems, reference, args.out / "results.html"))
    if not args.quiet:
        report.write_terminal(found)
        print(f"{args.out / 'results.md'}, results.json, results.html")


def find_systems(args: argparse.Namespace) -> list[Any]:
    """The systems of --systems, or those with a folder in OUT.

    Raises:
        ValueError: a missing folder, or no system at all.
    """
    from sonovid.benchmark.held_out import TASKS
    from sonovid.benchmark.scoring import System

    if args.systems:
        words = [word.partition("=") for word in args.systems.split(",")]
        folders = {name: Path(folder or args.out / name) for name, _, folder in words}
    else:
        inside = sorted(path for path in args.out.iterdir() if path.is_dir()) if args.out.is_dir() else []
        folders = {path.name: path for path in inside if any((path / task).is_dir() for task in TASKS)}
    if not folders:
        raise ValueError(
            f"{args.out}: no clips of a system in it; expected {args.out}/SYSTEM/{next(iter(TASKS))}/NAME.mp4, or --systems"
        )
    for name, folder in folders.items():
        if not folder.is_dir():
            raise ValueError(f"--systems {name}: {folder}: no such folder")
    return [System(name, folder, read_system_facts(folder)) for name, folder in folders.items()]


def read_system_facts(folder: Path) -> dict[str, Any]:
    """The facts of a system's system.json, empty without one.

    Raises:
        ValueError: not a JSON object of plain values.
    """
    path = folder / "system.json"
    if not path.is_file():
        return {}
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not JSON ({error})") from None
    if not isinstance(held, dict) or any(not isinstance(value, str | int | float) for value in held.values()):
        raise ValueError(f"{path}: expected an object whose values are numbers or text")
    return held
