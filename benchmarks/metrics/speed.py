"""How long measuring takes: clips of 2 s at 64x64 through all metrics that need nothing fetched.

    python -m benchmarks metrics.speed [--clips 1000] [--workers 2]

So many clips on either side, rendered scenes, written as files first, which is not counted. What is counted is the whole of
`sonovid evaluate` from the shell, with an empty cache and then with a full one; and the processors' time, which other work on the
machine does not change much.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def processors() -> float:
    """Seconds of processor time of all children so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    command = [sys.executable, "-m", "sonovid.cli"]
    with tempfile.TemporaryDirectory() as aside:
        root = Path(aside)
        for name, seed in (("generated", 0), ("reference", 10_000_000)):
            words = ["--world", "hits", "--count", str(options.clips), "--seed", str(seed), "--quiet"]
            subprocess.run([*command, "scenes", str(root / name), *words, "--workers", str(options.workers)], check=True)
        # Clips are paired by name.
        for name in ("generated", "reference"):
            for i, path in enumerate(sorted((root / name).glob("*.mp4"))):
                path.rename(path.with_name(f"{i:05d}.mp4"))
        for what in ("nothing cached", "all features cached"):
            words = ["--workers", str(options.workers), "--cache", str(root / "cache"), "--quiet"]
            began, used = time.perf_counter(), processors()
            subprocess.run([*command, "evaluate", str(root / "generated"), str(root / "reference"), *words], check=True)
            clock, used = time.perf_counter() - began, processors() - used
            print(f"{options.clips} + {options.clips} clips, {options.workers} processes, {what}:", flush=True)
            print(f"  {clock:.1f} s by the clock, {used:.1f} s of processors", flush=True)


if __name__ == "__main__":
    main()
