"""How long the command line and a warm process take, and how much memory, with the packaged model.

    python -m benchmarks packaged.speed [--model DIR] [--repeat 3] [--threads 2]

From the shell every figure is of a whole process. The share of the network is measured by a clock around it.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch


def shell(words: list[str], repeat: int) -> list[float]:
    """Seconds of a whole `sonovid` process, several times."""
    taken = []
    for _ in range(repeat):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "sonovid.cli", *words], check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - began)
    return taken


def told(name: str, seconds: list[float]) -> None:
    print(f"{name:58s} median {statistics.median(seconds):7.3f} s, fastest {min(seconds):7.3f}, slowest {max(seconds):7.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    told("sonovid --help", shell(["--help"], options.repeat))
    model = ["--model", options.model] if options.model else []
    with tempfile.TemporaryDirectory() as folder:
        words = [
            "generate",
            "a red rubber ball bounces",
            "--quiet",
            "--overwrite",
            "-o",
            str(Path(folder) / "o.mp4"),
        ]
        told("sonovid generate, from the shell", shell([*words, *model], options.repeat))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory of that process: {peak:.0f} MiB")

    from sonovid.pipelines.pipeline import SoundingVideoPipeline

    pipe = SoundingVideoPipeline.from_pretrained(options.model)
    pipe.set_progress_bar_config(disable=True)
    inside, forward = [0.0, 0], pipe.denoiser.forward

    def clocked(*args, **kwargs):
        began = time.perf_counter()
        result = forward(*args, **kwargs)
        inside[0] += time.perf_counter() - began
        inside[1] += 1
        return result

    pipe.denoiser.forward = clocked
    pipe("warm up", num_inference_steps=2, generator=0)
    inside[:], warm = [0.0, 0], []
    for seed in range(options.repeat):
        began = time.perf_counter()
        pipe("a red rubber ball bounces", generator=seed)
        warm.append(time.perf_counter() - began)
    told("the same in a warm process, with guidance", warm)
    calls = int(inside[1])
    print(
        f"network: {calls / options.repeat:.0f} evaluations a clip, {1000 * inside[0] / calls:.1f} ms each, "
        f"{inside[0] / sum(warm):.0%} of the time"
    )


if __name__ == "__main__":
    main()
