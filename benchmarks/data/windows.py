"""What reading many windows of one file costs, by the length of the file: linear where the file is walked through once.

    python -m benchmarks data.windows [--minutes 1,2,4,8] [--seconds 2]

Makes films of several lengths, reads every window of each, as training does, and prints CPU time per window and the exponent of
the whole (1 is linear, 2 quadratic).
"""

import argparse
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

from sonovid import media


def film(path: Path, minutes: float) -> Path:
    """Small pictures at 25 a second with noise for a sound."""
    draw = np.random.default_rng(0)
    second = draw.integers(0, 255, (25, 8, 8, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    noise = draw.normal(0, 0.1, (1, 16000)).astype(np.float32)
    with media.open_writer(path, fps=25, size=(64, 64), sample_rate=16000) as pieces:
        for _ in range(round(minutes * 60)):
            pieces.add(second, noise)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", default="1,2,4,8")
    parser.add_argument("--seconds", type=Fraction, default=Fraction(2))
    args = parser.parse_args()
    lengths, costs = [float(part) for part in args.minutes.split(",")], []
    with tempfile.TemporaryDirectory() as folder:
        for minutes in lengths:
            path = film(Path(folder) / f"{minutes}.mp4", minutes)
            windows = int(minutes * 60 / args.seconds)
            begun = time.process_time()
            for index in range(windows):
                start, wish = index * args.seconds, {"fps": 8, "size": (32, 32), "sample_rate": 16000, "mono": True}
                media.read(path, start=start, seconds=args.seconds, **wish)
            costs.append(time.process_time() - begun)
            print(f"{minutes:g} min: {windows} windows, {costs[-1]:.2f} s of CPU, {1000 * costs[-1] / windows:.1f} ms a window")
    if len(lengths) > 1:
        print(f"exponent: {np.polyfit(np.log(lengths), np.log(costs), 1)[0]:.2f}")


if __name__ == "__main__":
    main()
