"""The SVG baseline's ways of joining over several seeds: trained, sampled and compared by one command, on equal schedules.

    python -m benchmarks svg.seeds OUT [--seeds 0 1 2] [--rows cmc_pe cross_attention cross_attention_sequence uncentred]
        [--worlds bounces hits] [--count 256] [--gammas 1 1.5] [key=value ...]

For each seed a pair of base models is trained (svg.scenes.bases), and from it every row (svg.scenes): all have the same clips,
batches, steps, rates and sampling. cross_attention is the paper's rival, one vector for a clip after CoDi;
cross_attention_sequence the extension that Sec. III-C1 names, a vector for each step; uncentred is CMC-PE with contexts as in
the paper. What is in OUT already is not trained or made again. OUT/SEED.json keeps every clip's figures; the table has the mean
over seeds, the values of the seeds, and the share of seeds in which CMC-PE is better than each rival. key=value changes both
recipes.
"""

import argparse
import json
import subprocess
from pathlib import Path

import numpy as np

from benchmarks import command
from benchmarks.svg.scenes import DISTANCES, FIGURES, REFERENCE
from sonovid import recipes

ROWS = {
    "cmc_pe": {"network.variant": "cmc_pe"},
    "cross_attention": {"network.variant": "cross_attention"},
    "cross_attention_sequence": {"network.variant": "cross_attention_sequence"},
    "uncentred": {"network.variant": "cmc_pe", "network.centred": "false"},
}


def trained(name: str, out: Path, values: dict[str, str]) -> Path:
    """A recipe's model, from where an interrupted training stopped."""
    model = out / "model"
    if not (model / "model_index.json").is_file():
        resume = {"resume": "latest"} if list(out.glob("checkpoint-*")) else {}
        recipes.run(name, {"out": str(out), **values, **resume})
    return model


def models(out: Path, seed: int, rows: list[str], values: dict[str, str]) -> dict[str, Path]:
    """The base models of a seed, and what is joined from them."""
    folder, own = out / f"seed-{seed}", {"training.seed": str(seed), **values}
    # Latents are those of the codecs and the clips, whatever is trained.
    own.setdefault("data.cache", str(out / "latents"))
    bases = trained("svg.scenes.bases", folder / "bases", own)
    made = {row: trained("svg.scenes", folder / row, {**own, "network.begun": str(bases), **ROWS[row]}) for row in rows}
    return {"bases": bases, **made}


def measured(out: Path, seed: int, found: dict[str, Path], args: argparse.Namespace) -> Path:
    """Every clip's figures of a seed, by the script for one."""
    path = out / f"{seed}.json"
    words = [
        *command("svg.scenes"),
        "--json",
        str(path),
        "--bases",
        str(found["bases"]),
    ]
    for row in args.rows:
        words += ["--model", f"{row}={found[row]}"]
    words += ["--gammas", *map(str, args.gammas), "--worlds", *args.worlds, "--count", str(args.count)]
    subprocess.run([*words, "--reader", str(out / "reader.pt"), "--tasks", *args.tasks], check=True)
    return path


def table(paths: list[Path]) -> None:
    """Figures by set: mean over seeds, each seed's value."""
    kept = [json.loads(path.read_text()) for path in paths]
    values: dict[str, dict[str, list[float]]] = {}
    for one in kept:
        reference = one.pop(REFERENCE)
        for name, row in one.items():
            everywhere = np.arange(len(row["sync"]))
            for key, figure in FIGURES.items():
                values.setdefault(name, {}).setdefault(key, []).append(figure({**row, "true": [reference]}, everywhere))
    for name, row in values.items():
        print(name)
        for key, seeds in row.items():
            print(f"    {key:16s} {np.mean(seeds):8.3f}   seeds {' '.join(f'{value:.3f}' for value in seeds)}")
    for name in values:
        rival = name.replace(name.split()[0], "cmc_pe", 1)
        if name.startswith(("cross", "uncentred")) and rival in values:
            for key in ("onsets ~ read", "sync", "FVD", "FAD"):
                pairs = list(zip(values[rival][key], values[name][key], strict=True))
                better = sum((a < b) if key in DISTANCES else (a > b) for a, b in pairs)
                print(f"{rival} better than {name} by {key}: in {better} of {len(pairs)} seeds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("values", nargs="*", metavar="key=value")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--worlds", nargs="+", default=["bounces", "hits"])
    parser.add_argument("--tasks", nargs="+", default=["both"])
    parser.add_argument("--gammas", type=float, nargs="+", default=[1.0, 1.5])
    parser.add_argument("--count", type=int, default=256)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    values = dict(pair.split("=", 1) for pair in args.values)
    values.setdefault("data.path", f"scenes:{'+'.join(args.worlds)}:16000:seed=0")
    paths = [measured(args.out, seed, models(args.out, seed, args.rows, values), args) for seed in args.seeds]
    table(paths)


if __name__ == "__main__":
    main()
