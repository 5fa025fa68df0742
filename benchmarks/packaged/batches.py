"""What sampling in batches gains: clips made one by one and together, in one process and in turns, and how far they differ.

    python -m benchmarks packaged.batches [--model DIR] [--clips 32] [--batches 8 16 32] [--threads 2] [--repeat 2] [--json FILE]

Ratios are of wall-clock and of processor time in the same run, against one clip at a time in float32 (`generate --exact`); rounds
take turns, so that what else the machine does meets all of them. Parts: the network's share and the codecs', by clocks
around them, and one evaluation at several batch sizes. Differences are in decoded frames (PSNR, the largest of a single value in
grey levels) and in the sound (SNR), of the same noise.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sonovid import SoundingVideoPipeline
from sonovid.cli.device import has_bfloat16
from sonovid.pipelines.batching import concat_jobs
from sonovid.pipelines.request import Request

PROMPTS = (
    "a wooden stick hits a metal can twice",
    "a red rubber ball bounces on a wooden floor",
    "a glass ball bounces on a stone floor",
    "a stick hits a drum three times",
)


class Clock:
    """Seconds inside a function, by the wall and by the processor."""

    def __init__(self, owner: Any, name: str):
        self.wall = self.calls = 0.0
        self.function = getattr(owner, name)
        setattr(owner, name, self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        found = self.function(*args, **kwargs)
        self.wall += time.perf_counter() - began
        self.calls += 1
        return found


def made(pipe: SoundingVideoPipeline, count: int, size: int) -> tuple[Any, float, float]:
    """Clips as arrays, seconds by the wall, and seconds of the processor."""
    prompts = [PROMPTS[i % len(PROMPTS)] for i in range(count)]
    wall, processor = time.perf_counter(), time.process_time()
    out = pipe(prompts, generator=list(range(count)), batch_size=size, output_type="np")
    return out, time.perf_counter() - wall, time.process_time() - processor


def difference(one: Any, other: Any) -> dict[str, float]:
    """How far clips are from each other: the worst and the median of them."""
    gap = (one.frames.astype(np.float64) - other.frames) ** 2
    psnr = -10 * np.log10(gap.reshape(len(gap), -1).mean(1) + 1e-20)
    power, error = (
        (one.audio.astype(np.float64) ** 2).mean((1, 2)),
        ((one.audio - other.audio).astype(np.float64) ** 2).mean((1, 2)),
    )
    snr = 10 * np.log10((power + 1e-20) / (error + 1e-20))
    found = {"PSNR worst": psnr.min(), "PSNR median": np.median(psnr), "largest, grey levels": 255 * gap.max() ** 0.5}
    found |= {"SNR worst": snr.min(), "SNR median": np.median(snr)}
    return {name: round(float(value), 4) for name, value in found.items()}


def evaluations(pipe: SoundingVideoPipeline, sizes: list[int]) -> dict[str, float]:
    """Milliseconds of one guided evaluation for each clip, by how many run at once: the fastest of three."""
    plan = pipe.plan(Request(prompt=[PROMPTS[0]] * max(sizes), generator=0))
    jobs, found = list(pipe._jobs(plan)), {}
    for size in sizes:
        batch = concat_jobs(jobs[:size])
        denoise = pipe._build_denoiser(plan, batch)
        t = batch.noise.map(lambda z: torch.full((len(z),), 0.5))
        taken = []
        with torch.no_grad():
            for _ in range(4):
                began = time.perf_counter()
                denoise(batch.noise, t, None)
                taken.append(time.perf_counter() - began)
        found[str(size)] = round(1000 * min(taken[1:]) / size, 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--batches", type=int, nargs="+", default=[16])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    # One for each type: weights that were rounded once stay so.
    pipes = {dtype: SoundingVideoPipeline.from_pretrained(args.model, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)}
    clocks: dict[torch.dtype, list[Clock]] = {}
    for dtype, pipe in pipes.items():
        pipe.set_progress_bar_config(disable=True)
        pipe("warm up", num_inference_steps=2, generator=0)
        codecs = [codec for codec in (pipe.video_codec, pipe.audio_codec, pipe.joint_codec) if codec is not None]
        clocks[dtype] = [Clock(pipe.denoiser, "forward"), *(Clock(codec, "decode") for codec in codecs)]
    if not has_bfloat16("cpu"):
        print("this processor has no bfloat16 of its own: its rows show what converting costs")
    ways = [("one by one", 1, torch.float32), ("one by one", 1, torch.bfloat16)]
    ways += [(f"{size} at once", size, dtype) for size in args.batches for dtype in (torch.float32, torch.bfloat16)]
    rows: dict[str, dict[str, Any]] = {}
    for _ in range(args.repeat):
        for name, size, dtype in ways:
            for clock in clocks[dtype]:
                clock.wall = clock.calls = 0
            out, wall, processor = made(pipes[dtype], args.clips, size)
            row = rows.setdefault(f"{name}, {str(dtype).split('.')[1]}", {"wall": [], "processor": [], "out": out})
            row["wall"].append(wall)
            row["processor"].append(processor)
            row["network"] = clocks[dtype][0].wall / wall
            row["codecs"] = sum(clock.wall for clock in clocks[dtype][1:]) / wall
    first = next(iter(rows.values()))
    table = {}
    for name, row in rows.items():
        wall, processor = min(row["wall"]), min(row["processor"])
        table[name] = {
            "seconds a clip": round(wall / args.clips, 3),
            "times faster": round(min(first["wall"]) / wall, 2),
            "times less processor": round(min(first["processor"]) / processor, 2),
            "network": round(row["network"], 2),
            "codecs": round(row["codecs"], 2),
            "against float32 one by one": difference(first["out"], row["out"]),
            "against one by one": difference(rows[f"one by one, {name.split(', ')[1]}"]["out"], row["out"]),
        }
        print(f"{name:24s} {json.dumps(table[name])}", flush=True)
    sizes = sorted({1, 2, 4, *args.batches})
    for dtype, pipe in pipes.items():
        table[f"ms a clip of one guided evaluation, {dtype}"] = evaluations(pipe, sizes)
        print(f"one guided evaluation, ms a clip, {dtype}: {table[f'ms a clip of one guided evaluation, {dtype}']}", flush=True)
    if args.json:
        args.json.write_text(json.dumps({"clips": args.clips, "threads": args.threads, **table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
