"""sonovid benchmark: systems side by side on held-out scenes, whoever made their clips."""

import argparse
import json
from pathlib import Path
from typing import Any

DESCRIPTION = """\
Put several systems to the same held-out scenes, whose event times are known, and write one table.

  sonovid benchmark export OUT                    prompts.jsonl, videos/*.mp4, audio/*.wav: what a system is given; the true clips
  sonovid benchmark score OUT                     the table of all systems whose clips lie in OUT
  sonovid benchmark score OUT --systems theirs=FOLDER,ours=FOLDER

A system's clips are FOLDER/TASK/NAME.mp4 (or .mkv, or .wav of sounds alone) with TASK one of video_to_audio, audio_to_video
and joint, and NAME as in prompts.jsonl; FOLDER is OUT/SYSTEM by default. FOLDER/system.json may hold further facts for the
table, such as {"parameters": 6500000, "seconds_per_clip": 1.6, "evaluations": 25, "core_hours": 4}.
"""
ACTIONS = ("export", "score")


def add(commands: Any) -> None:
    """Add the command to the parser."""
    from sonovid.cli.generate import whole

    parser = commands.add_parser(
        "benchmark",
        help="systems side by side on held-out scenes: one table",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, ray=False, weights=None, seconds=None, fps=None, size=None)
    parser.add_argument("action", choices=ACTIONS, metavar="ACTION", help="export or score")
    parser.add_argument("out", metavar="OUT", type=Path, help="the benchmark's folder")
    what = parser.add_argument_group("the scenes (export)")
    what.add_argument("--world", default="hits+bounces", metavar="A+B", help="worlds in turn; default: hits+bounces")
    what.add_argument("--clips", type=whole, default=128, metavar="N", help="how many scenes; default: 128")
    what.add_argument("--first", type=int, metavar="SEED", help="the first scene's seed; default: 90000000")
    scored = parser.add_argument_group("what is scored (score)")
    scored.add_argument("--systems", metavar="NAME=FOLDER,...", help="default: every folder of OUT that holds clips of a task")
    scored.add_argument("--tasks", metavar="TASK,...", help="default: video_to_audio, audio_to_video and joint")
    scored.add_argument("--reader", metavar="FILE", type=Path, help="the reader of events in pictures; default: the packaged one")
    scored.add_argument("--resamples", type=whole, default=200, metavar="N", help="of whole sets, for intervals; default: 200")
    scored.add_argument("--seed", type=int, default=0, metavar="SEED", help="of all random draws; default: 0")
    how = parser.add_argument_group("how")
    how.add_argument("--workers", type=int, metavar="N", help="processes; default: one for each core")
    how.add_argument("--batch-size", type=whole, metavar="N", help="default: each network's own")
    how.add_argument("--device", metavar="DEVICE", help="default: a GPU where there is one")
    how.add_argument("--cache", metavar="DIR", help="where features are kept; default: $SONOVID_CACHE or the user's cache folder")
    how.add_argument("--no-cache", action="store_true", help="keep no features and take none")
    how.add_argument("--quiet", action="store_true", help="no bars and no table")


def run(args: argparse.Namespace) -> None:
    """Export or score."""
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
    """Score the systems of a folder, and leave results.json, results.md and results.html there."""
    from sonovid.benchmark import report, scoring
    from sonovid.benchmark.held_out import TASKS, HeldOut
    from sonovid.benchmark.reader import load, packaged
    from sonovid.cli.evaluate import measuring
    from sonovid.core import atomic
    from sonovid.metrics.report import terminal

    if not args.quiet:
        # Found out before the work and not after it.
        terminal.terminal()
    names = args.tasks.split(",") if args.tasks else list(TASKS)
    if unknown := [name for name in names if name not in TASKS]:
        raise ValueError(f"--tasks {unknown[0]}: expected {', '.join(TASKS)}")
    held, systems, reference = HeldOut.load(args.out), given_systems(args), args.out / "reference"
    reader = load(args.reader) if args.reader else packaged()
    tasks = [TASKS[name] for name in names]
    found = scoring.score(held, reference, systems, tasks=tasks, measuring=measuring(args), reader=reader)
    atomic.write_text(args.out / "results.json", report.to_json(found))
    atomic.write_text(args.out / "results.md", report.to_markdown(found))
    atomic.write_text(args.out / "results.html", report.to_html(found, systems, reference, args.out / "results.html"))
    if not args.quiet:
        report.write_terminal(found)
        print(f"{args.out / 'results.md'}, results.json, results.html")


def given_systems(args: argparse.Namespace) -> list[Any]:
    """The systems that --systems names, or those whose folders lie in OUT.

    Raises:
        ValueError: a name without a folder, a folder that is none, or no system at all.
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
            f"{args.out}: no system's clips in it; expected {args.out}/SYSTEM/{next(iter(TASKS))}/NAME.mp4, or --systems"
        )
    for name, folder in folders.items():
        if not folder.is_dir():
            raise ValueError(f"--systems {name}: {folder}: no such folder")
    return [System(name, folder, facts(folder)) for name, folder in folders.items()]


def facts(folder: Path) -> dict[str, Any]:
    """What system.json says of a system.

    Raises:
        ValueError: it is no object of plain values.
    """
    path = folder / "system.json"
    if not path.is_file():
        return {}
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not JSON ({error})") from None
    if not isinstance(held, dict) or any(not isinstance(value, str | int | float) for value in held.values()):
        raise ValueError(f"{path}: expected an object of names and numbers or words")
    return held
