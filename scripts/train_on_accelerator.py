"""Train the network of the packaged model within a few minutes on a machine with a GPU, and leave a few small files.

    python scripts/train_on_accelerator.py train [--minutes 9] [--recipe uniform.packaged] OUT [key=value ...]
    python scripts/train_on_accelerator.py join [--base packaged] OUT/files MODEL

`train` renders and encodes the clips, trains until the time is used up, and writes OUT/files: the network in half precision, in
pieces of at most 15 MB, with its config and the log. `join` makes a model of them with the codecs of --base. Values after OUT are
those of `sonovid train`; batch_size=512 and data.workers=CORES are set here. Both commands need the package and its requirements,
and no network.
"""

import argparse
import os
import shutil
import time
from pathlib import Path

from sonovid import recipes
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.training.logs import read_log

PIECE = "15MB"
# Minutes that are kept for compilation, the last checkpoint and the export.
RESERVE = 0.7


def train(options: argparse.Namespace) -> None:
    """Render, encode, train and export within `options.minutes`."""
    started = time.monotonic()

    def elapsed() -> float:
        return (time.monotonic() - started) / 60

    run, never = options.out / "run", 1_000_000
    given = {value.split("=")[0] for value in options.values}

    def defaults(*values: str) -> list[str]:
        """Those that the command line does not give."""
        return [value for value in values if value.split("=")[0] not in given]

    shared = [f"out={run}", *options.values, *defaults(f"data.workers={os.cpu_count() or 1}", "data.precision=bf16")]
    done, _ = recipes.cache(options.recipe, shared)
    encoded = elapsed()
    print(f"{done.clips} clips rendered and encoded after {60 * encoded:.0f} s", flush=True)
    left = options.minutes - encoded - RESERVE
    if left <= 0:
        raise SystemExit(f"{60 * encoded:.0f} s were spent on {done.clips} clips, and no time is left: use fewer clips")
    values = [*shared, f"max_minutes={left}", *defaults("batch_size=512", "warm_up=100", "log_every=20", "keep=1")]
    values += defaults(f"steps={never}", f"validate_every={never}", f"checkpoint_every={never}")
    folder = recipes.run(options.recipe, values)
    files = options.out / "files"
    shutil.rmtree(files, ignore_errors=True)
    denoiser = SoundingVideoPipeline.from_pretrained(folder).denoiser
    denoiser.half().save_pretrained(files, max_shard_size=PIECE)
    for name in ("log.jsonl", "recipe.json"):
        shutil.copy(run / name, files / name)
    last = read_log(run / "log.jsonl")[-1]
    print(
        f"{last['step']} steps in {elapsed():.1f} min, {last.get('clips_per_second')} clips/s, mfu {last.get('mfu')}", flush=True
    )
    for path in sorted(files.iterdir()):
        print(f"{path.stat().st_size / 1e6:8.2f} MB  {path}")


def join(options: argparse.Namespace) -> None:
    """Make a model of the network's pieces and the codecs of another model."""
    pipe = SoundingVideoPipeline.from_pretrained(options.base)
    pipe.denoiser = type(pipe.denoiser).from_pretrained(options.files)
    for component in (pipe.denoiser, pipe.video_codec, pipe.audio_codec):
        component.half()
    pipe.save_pretrained(options.model)
    print(options.model)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("train", help="render, encode, train and export within a time limit")
    one.add_argument("out", type=Path)
    one.add_argument("--minutes", type=float, default=9.0)
    one.add_argument("--recipe", default="uniform.packaged")
    one.add_argument("values", nargs="*", metavar="key=value", help="values of the recipe")
    one.set_defaults(run=train)
    other = commands.add_parser("join", help="make a model of the exported pieces")
    other.add_argument("files", type=Path)
    other.add_argument("model", type=Path)
    other.add_argument("--base", default="packaged", help="model whose codecs are used")
    other.set_defaults(run=join)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
