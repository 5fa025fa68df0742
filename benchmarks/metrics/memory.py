"""Memory and time of `sonovid evaluate --metrics av_align_sony` on large files, by their length.

    python -m benchmarks metrics.memory [--height 1080] [--seconds 5 10 20]

Each file is measured by a process of its own, whose peak of resident memory and processor time are printed; that of a process
which measures a tiny file comes first, as what Python and its libraries take alone.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np

from sonovid import media

FPS, SAMPLE_RATE = 30, 16000


def write(path: Path, height: int, seconds: int) -> None:
    """A square that moves to and fro before a chequered wall, and a tick every second."""
    width = height * 16 // 9 // 2 * 2
    wall = np.random.default_rng(0).integers(60, 120, (1 + height // 40, 1 + width // 40, 3), dtype=np.uint8)
    wall = np.kron(wall, np.ones((40, 40, 1), np.uint8))[:height, :width]
    side = height // 9
    with media.open_writer(path, fps=Fraction(FPS), size=(height, width), sample_rate=SAMPLE_RATE) as out:
        for second in range(seconds):
            frames = np.repeat(wall[None], FPS, axis=0)
            for i in range(FPS):
                x = int((width - side) * abs((second + i / FPS) % 2 - 1))
                frames[i, side : 2 * side, x : x + side] = 220
            time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
            tick = 0.5 * np.sin(2 * np.pi * 1000 * time) * np.exp(-time / 0.05)
            out.add(frames, tick[None].astype(np.float32))


def measured(folder: Path) -> tuple[float, float]:
    """Peak memory in MB and seconds of processor time of one evaluation."""
    command = [sys.executable, "-m", "sonovid.cli", "evaluate", str(folder), "--metrics", "av_align_sony"]
    process = subprocess.Popen([*command, "--workers", "0", "--no-cache", "--quiet"])
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("the evaluation failed")
    return used.ru_maxrss / 1000, used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--seconds", type=int, nargs="+", default=[5, 10, 20])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as aside:
        for height, seconds in [(64, 2), *((options.height, seconds) for seconds in options.seconds)]:
            folder = Path(aside) / f"{height}-{seconds}"
            folder.mkdir()
            write(folder / "clip.mp4", height, seconds)
            memory, used = measured(folder)
            print(f"{height} lines, {seconds} s: {memory:.0f} MB, {used:.1f} s of processors", flush=True)


if __name__ == "__main__":
    main()
