"""Shapes of the ball and the stick in true scenes at two sizes: the upper bounds of the shape measures of `sonovid benchmark`.

python -m benchmarks packaged.shapes [--count 48]
"""

import argparse
from fractions import Fraction

from benchmarks.readers import scenes
from sonovid.benchmark.shapes import read_ball, read_stick, single_opaque_ball, summary
from sonovid.core.geometry import Geometry

SEED = 90_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=48)
    options = parser.parse_args()
    for size, frames, fps in ((64, 16, 8), (96, 32, 16)):
        geometry = Geometry(frames, Fraction(fps), size, size, 16000)
        balls = [s for s in scenes(["bounces"], options.count, SEED, geometry) if single_opaque_ball(s.attributes)]
        print(f"{size}x{size} at {fps}/s, ball ", summary([read_ball(s.frames) for s in balls]))
        sticks = scenes(["hits"], options.count, SEED, geometry)
        print(f"{size}x{size} at {fps}/s, stick", summary([read_stick(s.frames, fps, s.events) for s in sticks]))


if __name__ == "__main__":
    main()
