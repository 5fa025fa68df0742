"""sonovid benchmark: any systems compared on held-out scenes."""

import argparse
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from sonovid.cli.argument_types import positive_int

DESCRIPTION = """\
Compare several systems on the same held-out scenes, whose event times are known, in one table.

  sonovid benchmark OUT --systems packaged,run/model      generates the clips of these models, and scores them
  sonovid benchmark export OUT                            writes prompts.jsonl, videos/*.mp4, audio/*.wav and the reference clips
  sonovid benchmark generate OUT --systems mine=run/model generates the clips of models, without scoring
  sonovid benchmark score OUT                             scores all systems whose clips are in OUT
  sonovid benchmark score OUT --systems theirs=FOLDER,ours=FOLDER

A model is a model folder, a repository of the Hub, or "packaged". Clips that exist are not generated again.

The clips of a system are FOLDER/TASK/NAME.mp4 (or .mkv, or .wav for sound only). TASK is video_to_audio, audio_to_video or joint,
and NAME is that of prompts.jsonl. FOLDER is OUT/SYSTEM by default. FOLDER/system.json may hold further facts for the table, such
as {"parameters": 6500000, "seconds_per_clip": 1.6, "evaluations": 25, "core_hours": 4}.
"""
ACTIONS = ("export", "generate", "score")


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""

    parser = commands.add_parser(
        "benchmark",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, weights=None, seconds=None, fps=None, size=None)
    parser.add_argument(
        "words",
        nargs="+",
        metavar="[ACTION] OUT",
        help="export, generate or score (default: all three); the folder",
    )
    what = parser.add_argument_group("scenes (export)")
    what.add_argument(
        "--world", default="hits+bounces", metavar="A+B", help="worlds that the scenes alternate between; default: hits+bounces"
    )
    what.add_argument("--clips", type=positive_int, default=128, metavar="N", help="number of scenes; default: 128")
    what.add_argument("--first", type=int, metavar="SEED", help="seed of the first scene; default: 90000000")
    what.add_argument("--scene-size", type=positive_int, default=64, metavar="N", help="height and width of scenes; default: 64")
    what.add_argument("--scene-fps", type=Fraction, default=Fraction(8), metavar="FPS", help="frame rate of scenes; default: 8")
    parser.add_argument(
        "--systems",
        metavar="NAME=PLACE,...",
        help="models to generate with, or folders of clips to score; default for score: every folder of OUT that holds clips",
    )
    parser.add_argument("--tasks", metavar="TASK,...", help="tasks; default: video_to_audio,audio_to_video,joint")
    made = parser.add_argument_group("generation (generate)")
    made.add_argument("--steps", type=positive_int, metavar="N", help="sampling steps; default: the model's own")
    made.add_argument("--guidance", type=float, metavar="SCALE", help="guidance scale; default: the model's own")
    made.add_argument(
        "--dtype", choices=("auto", "float32", "bfloat16"), default="auto", help="type of the network's weights; default: auto"
    )
    made.add_argument("--prompts", action="store_true", help="pass the prompt together with a video or audio too")
    scored = parser.add_argument_group("scoring (score)")
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
    how.add_argument(
        "--ray",
        action="store_true",
        help="generate and extract features on a Ray cluster (RAY_ADDRESS), or on this machine; needs pip install 'sonovid[ray]'",
    )
    how.add_argument("--quiet", action="store_true", help="print no progress bars and no table")


def run(args: argparse.Namespace) -> None:
    """Export the scenes, generate, or score; without an action all three."""
    action, args.out = parse_words(args.words)
    if action in (None, "export"):
        export(args)
    if action in (None, "generate"):
        args.systems = generate(args)
    if action in (None, "score"):
        score(args)


def parse_words(words: list[str]) -> tuple[str | None, Path]:
    """The action, None for all of them, and the folder.

    Raises:
        ValueError: neither OUT nor ACTION OUT.
    """
    if len(words) == 1 and words[0] not in ACTIONS:
        return None, Path(words[0])
    if len(words) == 2 and words[0] in ACTIONS:
        return words[0], Path(words[1])
    raise ValueError(f"benchmark {' '.join(words)}: expected OUT, or one of {', '.join(ACTIONS)} and OUT")


def export(args: argparse.Namespace) -> None:
    """Write the inputs of systems and the reference clips."""
    from sonovid.benchmark.held_out import FIRST_SEED, HeldOut
    from sonovid.benchmark.held_out import export as export_scenes
    from sonovid.cli.evaluate import count_workers
    from sonovid.core.geometry import Geometry

    frames = 2 * args.scene_fps
    if frames.denominator != 1:
        raise ValueError(f"--scene-fps {args.scene_fps}: a scene of 2 s has {frames} frames, which is not a whole number")
    geometry = Geometry(int(frames), args.scene_fps, args.scene_size, args.scene_size, 16000)
    first = FIRST_SEED if args.first is None else args.first
    held_out = HeldOut(tuple(args.world.split("+")), args.clips, first, geometry)
    prompts = export_scenes(held_out, args.out, workers=count_workers(args), quiet=args.quiet)
    if not args.quiet:
        print(f"{prompts}: {held_out.count} scenes of {args.world}, seeds from {held_out.first} on")


def generate(args: argparse.Namespace) -> str:
    """Generate the missing clips of every model of --systems into OUT/NAME/TASK.

    Returns:
        The names of the systems, as --systems takes them for scoring.

    Raises:
        ValueError: no models, or two of one name.
    """
    from sonovid.benchmark.generation import GenerationConfig, generate_system
    from sonovid.benchmark.held_out import HeldOut
    from sonovid.benchmark.ray_generation import generate_with_ray
    from sonovid.cli.device import resolve_device, resolve_dtype
    from sonovid.pipelines import loading

    if not args.systems:
        raise ValueError("--systems: expected the models to generate with, such as --systems packaged,mine=run/model")
    models = dict(name_of_model(entry) for entry in args.systems.split(","))
    if len(models) < len(args.systems.split(",")):
        raise ValueError(f"--systems {args.systems}: two systems of one name; name them with NAME=MODEL")
    held_out, tasks, device = HeldOut.load(args.out), parse_tasks(args), resolve_device(args.device)
    config = GenerationConfig(tasks, args.prompts, args.steps, args.guidance, args.quiet)
    folders = {}
    for name, model in models.items():
        # A folder of clips that another program generated is scored as it is.
        clips = Path(model).is_dir() and not any((Path(model) / index).is_file() for index in loading.INDICES)
        folders[name] = Path(model) if clips else args.out / name
        if clips:
            continue
        # Ray's workers may have another working folder.
        place = str(Path(model).absolute()) if Path(model).is_dir() else model
        load = partial(load_model, place, device, resolve_dtype(args.dtype, device))
        if args.ray:
            count = generate_with_ray(load, held_out, args.out, name, config)
        else:
            count = generate_system(load(), held_out, args.out, name, config)
        if not args.quiet:
            print(f"{folders[name]}: {count} clips generated")
    return ",".join(f"{name}={folder}" for name, folder in folders.items())


def load_model(model: str, device: Any, dtype: Any) -> Any:
    """Load a pipeline for generation."""
    from sonovid.pipelines.pipeline import SoundingVideoPipeline

    pipe = SoundingVideoPipeline.from_pretrained(model)
    pipe.to(device, dtype)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def name_of_model(entry: str) -> tuple[str, str]:
    """Name and place of one entry of --systems: NAME=PLACE, or a place, whose folder gives the name."""
    name, separator, place = entry.partition("=")
    if separator:
        return name, place
    parts = [part for part in Path(entry).parts if part != "model"]
    return (parts[-1] if parts else entry), entry


def parse_tasks(args: argparse.Namespace) -> list[Any]:
    """The tasks of --tasks.

    Raises:
        ValueError: an unknown task.
    """
    from sonovid.benchmark.held_out import TASKS

    names = args.tasks.split(",") if args.tasks else list(TASKS)
    if unknown := [name for name in names if name not in TASKS]:
        raise ValueError(f"--tasks {unknown[0]}: expected {', '.join(TASKS)}")
    return [TASKS[name] for name in names]


def score(args: argparse.Namespace) -> None:
    """Score the systems and write results.json, results.md and results.html into OUT."""
    from sonovid.benchmark import report, scoring
    from sonovid.benchmark.held_out import HeldOut
    from sonovid.benchmark.reader import load, packaged
    from sonovid.cli.evaluate import evaluation_config
    from sonovid.core import atomic
    from sonovid.metrics.report import terminal

    if not args.quiet:
        # Fails before the work if rich is not installed.
        terminal.terminal()
    tasks = parse_tasks(args)
    held, systems, reference = HeldOut.load(args.out), find_systems(args), args.out / "reference"
    reader = load(args.reader) if args.reader else packaged()
    found = scoring.score(held, reference, systems, tasks=tasks, config=evaluation_config(args), reader=reader)
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
    from sonovid.benchmark.generation import read_facts
    from sonovid.benchmark.held_out import TASKS
    from sonovid.benchmark.scoring import System

    if args.systems:
        entries = [entry.partition("=") for entry in args.systems.split(",")]
        folders = {name: Path(folder or args.out / name) for name, _, folder in entries}
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
    return [System(name, folder, read_facts(folder)) for name, folder in folders.items()]
