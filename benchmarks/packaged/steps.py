"""Every figure of text to both over the number of sampling steps, for the video and for the audio.

    python -m benchmarks packaged.steps OUT [--model packaged] [--steps 1 2 4 8 16 25] [--clips 48]

The held-out scenes of `sonovid benchmark`, generated once for each number of steps and scored together. Figures of one stream
(`fvd_scenes`, `kad_scenes`, shapes, onsets) tell which stream suffers first. What is in OUT is kept, so an interrupted call is
finished by calling again.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

CLI = [sys.executable, "-m", "sonovid.cli", "benchmark"]


def called(*words: str) -> None:
    if subprocess.run([*CLI, *words], check=False).returncode:
        raise SystemExit(f"failed: sonovid benchmark {' '.join(words)}")


def table(results: dict, steps: list[int]) -> str:
    """The figures of the joint task in Markdown, one column for each number of steps."""
    rows = [row for row in results["scores"] if row["task"] == "joint"]
    names = list(dict.fromkeys(row["measure"] for row in rows))
    lines = ["| figure | " + " | ".join(map(str, steps)) + " |", "|---" * (len(steps) + 1) + "|"]
    for name in names:
        values = {row["system"]: row["value"] for row in rows if row["measure"] == name}
        cells = [f"{values[f'steps{n}']:.3g}" if values.get(f"steps{n}") is not None else "–" for n in steps]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="packaged")
    parser.add_argument("--steps", nargs="+", type=int, default=[1, 2, 4, 8, 16, 25])
    parser.add_argument("--clips", type=int, default=48)
    parser.add_argument("--size", default="96")
    parser.add_argument("--fps", default="16")
    args = parser.parse_args()
    out = str(args.out)
    if not (args.out / "prompts.jsonl").is_file():
        called("export", out, "--clips", str(args.clips), "--scene-size", args.size, "--scene-fps", args.fps)
    for n in args.steps:
        called("generate", out, "--systems", f"steps{n}={args.model}", "--tasks", "joint", "--steps", str(n))
    called("score", out, "--tasks", "joint", "--systems", ",".join(f"steps{n}={out}/steps{n}" for n in args.steps), "--quiet")
    print(table(json.loads((args.out / "results.json").read_text()), args.steps))


if __name__ == "__main__":
    main()
