"""Where a training step's time goes: forward, backward, optimiser, averages, and the rest, data feeding included.

    python -m benchmarks training.step_parts [--recipe uniform.packaged] [--steps 12] [--skip 3] [KEY=VALUE ...]

A real training of a recipe on a few procedural scenes in a temporary folder, with clocks around its parts. The first steps, which
compile and warm up, are skipped. Times are by the wall, so the machine must be idle.
"""

import argparse
import contextlib
import tempfile
import time
from typing import Any
from unittest import mock

import accelerate
import torch

from sonovid import recipes
from sonovid.training import loop, step
from sonovid.training.ema import EMA
from sonovid.training.run import TrainingRun


class Clock:
    """A function that keeps the seconds of each of its calls."""

    def __init__(self, function: Any):
        self.function, self.seconds = function, list[float]()

    def __get__(self, owner: Any, kind: Any) -> Any:
        return self if owner is None else lambda *words, **options: self(owner, *words, **options)

    def __call__(self, *words: Any, **options: Any) -> Any:
        began = time.perf_counter()
        found = self.function(*words, **options)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - began)
        return found


def measure(recipe: str, values: dict[str, str], skip: int) -> dict[str, float]:
    """Mean seconds of the parts of a step."""
    places = {
        "step": (loop, "train_step"),
        "forward": (TrainingRun, "compute_losses"),
        "backward": (accelerate.Accelerator, "backward"),
        "clipping and optimiser": (step, "_update"),
        "averages": (EMA, "step"),
    }
    clocks = {name: Clock(getattr(owner, attribute)) for name, (owner, attribute) in places.items()}
    with contextlib.ExitStack() as stack:
        for name, (owner, attribute) in places.items():
            stack.enter_context(mock.patch.object(owner, attribute, clocks[name]))
        recipes.run(recipe, {**values, "out": stack.enter_context(tempfile.TemporaryDirectory())})
    counts = {name: len(clock.seconds) for name, clock in clocks.items()}
    if len(set(counts.values())) > 1:
        raise SystemExit(f"calls differ: {counts}; choose a recipe without validation, accumulation and adversary")
    means = {name: sum(clock.seconds[skip:]) / (len(clock.seconds) - skip) for name, clock in clocks.items()}
    means["rest"] = means["step"] - sum(means[name] for name in clocks if name != "step")
    return means


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="uniform.packaged")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--skip", type=int, default=3)
    parser.add_argument("--clips", type=int, default=96)
    parser.add_argument("values", nargs="*", metavar="KEY=VALUE")
    args = parser.parse_args()
    values = {
        "data": f"scenes:hits+bounces:{args.clips}:seed=95000000",
        "data.held_out": "0",
        "sampling.validation_clips": "0",
        "training.steps": str(args.steps),
        "training.log_every": str(args.steps),
        "training.checkpoint_every": str(args.steps),
        **dict(one.split("=", 1) for one in args.values),
    }
    means = measure(args.recipe, values, args.skip)
    print(f"{args.recipe}, {torch.get_num_threads()} threads, steps {args.skip + 1} to {args.steps}")
    for name, seconds in means.items():
        print(f"{name:24} {seconds:7.3f} s {seconds / means['step']:6.1%}")


if __name__ == "__main__":
    main()
