"""Peak memory and CPU seconds of reading large films to small frames.

    python -m benchmarks data.large_frames [--seconds 20] [--fps 10]

Each film is read to 64x64 by a process of its own. The first is of 64x64 itself: what Python, its libraries and the clip take.
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

SIZES = {"64x64": (64, 64), "1080p": (1080, 1920), "4K": (2160, 3840)}
READ = "import sys; from sonovid import media; print(media.read(sys.argv[1], size=(64, 64)).frames.nbytes)"


def write(path: Path, size: tuple[int, int], seconds: int, fps: int) -> None:
    """A horizontal gradient that moves by one sixteenth of the width in each frame."""
    height, width = size
    row = np.linspace(0, 255, width, dtype=np.uint8)
    with media.open_writer(path, fps=Fraction(fps), size=size, sample_rate=8000) as out:
        for index in range(seconds * fps):
            frame = np.broadcast_to(np.roll(row, index * width // 16)[None, None, :, None], (1, height, width, 3))
            out.add(frame, np.zeros((1, 8000 // fps), np.float32))


def measure(path: Path) -> tuple[float, float, float]:
    """Megabytes of the frames that were read, peak memory in MB, and CPU seconds, of a process that reads a film."""
    process = subprocess.Popen([sys.executable, "-c", READ, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    size = int(process.stdout.read())
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"reading {path} failed")
    return size / 1e6, used.ru_maxrss / 1000, used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--fps", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, size in SIZES.items():
            path = Path(folder) / f"{name}.mp4"
            write(path, size, options.seconds, options.fps)
            read, peak, seconds = measure(path)
            print(
                f"{name}: {options.seconds * options.fps} frames, {read:.1f} MB read, peak {peak:.0f} MB, {seconds:.1f} s of CPU"
            )


if __name__ == "__main__":
    main()
