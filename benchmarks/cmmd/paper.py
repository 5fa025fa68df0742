"""The whole evaluation of the CMMD paper in one command, of any models of this package, on data and weights that are at hand.

    python -m benchmarks cmmd.paper OUT --model CMMD=DIR [--model nCMMD=DIR ...] --dances aist:FOLDER:split=test
        [--kitchens epic-sounds:FOLDER:split=validation] [--frames 16 18 32 36] [--generations 5] [--reconstruction-scale L]

Table 2: FVD and KVD of pictures for given sound at each number of frames, each generation against the test set, the mean of them.
Table 3: beats of the music made for a dance that hit the true music's, within 100 and 500 ms. Figure 5: CLAP-FAD per set and per
sample, 50 samples, dances and kitchens. Figure 6: the study as a page for raters, blind (OUT/study; read its answers with
`sonovid rate report`). Table 1: parameters, ms of an evaluation (`--efficiency`).

What is there in OUT is kept, so an interrupted call is finished by calling again. --pictures, --sounds and --beats name other
metrics, such as those that need nothing fetched: --pictures fvd_scenes,kvd_scenes --sounds fad_scenes. Data may be any that
trains, such as scenes:bounces:8:seed=90000000. Metrics whose weights are not there are told as missing.
"""

import argparse
import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np

from benchmarks import command
from benchmarks.cmmd import conditional_sets
from sonovid.metrics import results

CLI = [sys.executable, "-m", "sonovid.cli"]
# Clips of a model in figure 5, and at most in the study.
SAMPLES, RATED = 50, 20


def called(words: list[str]) -> None:
    """A command of this package; what it says is shown.

    Raises:
        SystemExit: it failed.
    """
    if subprocess.run([*CLI, *words], check=False).returncode:
        raise SystemExit(f"failed: sonovid {' '.join(words)}")


def measured(generation: Path, metrics: str) -> dict[str, float]:
    """The metrics of one generation against the reference beside it; measured once."""
    kept = generation.parent / f"{metrics.replace(',', '+')}-{generation.name.rsplit('-', 1)[1]}.json"
    if not kept.is_file():
        called(
            [
                "evaluate",
                str(generation),
                str(generation.parent / "reference"),
                "--metrics",
                metrics,
                "--json",
                str(kept),
                "--quiet",
            ]
        )
    return {result.name: float(result.value) for result in results.load(kept).results}


def sets(folder: Path, model: str, data: str, task: str, options: Namespace, **changes: int) -> list[Path]:
    """The generations of one model for one test set, made where they are not there yet."""
    how = {"generations": 1, "frames": None, "most": options.most, **changes}
    scale = options.reconstruction_scale
    conditional_sets.make(
        Namespace(out=folder, model=model, data=data, task=task, steps=options.steps, reconstruction_scale=scale, **how)
    )
    return [folder / f"generation-{i}" for i in range(how["generations"])]


def averaged(each: list[dict[str, float]]) -> dict[str, list[float]]:
    """Mean, least and most over generations."""
    found = {name: [one[name] for one in each if name in one] for name in each[0]}
    return {name: [float(np.mean(values)), min(values), max(values)] for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", action="append", required=True, metavar="NAME=DIR")
    parser.add_argument("--dances", required=True, metavar="SPEC")
    parser.add_argument("--kitchens", metavar="SPEC")
    parser.add_argument("--frames", type=int, nargs="+", default=[16, 18, 32, 36])
    parser.add_argument("--generations", type=int, default=5)
    parser.add_argument("--most", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--reconstruction-scale", type=float)
    parser.add_argument("--pictures", default="fvd_i3d400,kvd_i3d400")
    parser.add_argument("--sounds", default="fad_clap2023,fad_clap2023_per_sample")
    parser.add_argument("--beats", default="beats")
    parser.add_argument("--raters", type=int, default=14)
    parser.add_argument("--efficiency", action="store_true")
    options = parser.parse_args()
    models, tables = dict(word.split("=", 1) for word in options.model), {}
    data = {"dances": options.dances, **({"kitchens": options.kitchens} if options.kitchens else {})}
    for name, model in models.items():
        for frames in options.frames:
            made = sets(
                options.out / name / f"pictures-{frames}", model, options.dances, "audio_to_video", options,
                frames=frames, generations=options.generations,
            )  # fmt: skip
            tables[f"table 2, {name}, {frames} frames"] = averaged([measured(one, options.pictures) for one in made])
        (music,) = sets(options.out / name / "music", model, options.dances, "video_to_audio", options)
        tables[f"table 3, {name}"] = averaged([measured(music, options.beats)])
        for where, spec in data.items():
            (fifty,) = sets(
                options.out / name / f"sounds-{where}", model, spec, "video_to_audio", options,
                most=min(SAMPLES, options.most or SAMPLES),
            )  # fmt: skip
            tables[f"figure 5, {name}, {where}"] = averaged([measured(fifty, options.sounds)])
    for title, figures in tables.items():
        told = [f"{name} {mean:.4g} ({least:.4g} to {most:.4g})" for name, (mean, least, most) in figures.items()]
        print(f"{title}: {', '.join(told) or 'nothing could be measured, see above'}", flush=True)
    (options.out / "tables.json").write_text(json.dumps(tables, indent=1) + "\n")
    if not (options.out / "study").exists():
        systems = [word for name in models for word in ("--system", f"{name}={options.out / name / 'music' / 'generation-0'}")]
        reference = options.out / next(iter(models)) / "music" / "reference"
        where = ["--reference", str(reference), "--task", "video-to-audio", "--questions", "cmmd-dance"]
        rated = str(min(RATED, len(list(reference.glob("*.mp4")))))
        called(["rate", "make", str(options.out / "study"), *systems, *where, "--clips", rated, "--raters", str(options.raters)])
    if options.efficiency:
        subprocess.run(command("cmmd.cost"), check=True)


if __name__ == "__main__":
    main()
