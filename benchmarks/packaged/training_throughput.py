"""How fast networks train here: clips a second, GFLOP/s and the share of the matrix product's rate.

    python -m benchmarks packaged.training_throughput [--widths 256 384 512] [--depths 8] [--batch 16] [--threads 1] [--json FILE]

One step is forward, backward and AdamW in bfloat16 autocast on random latents of the packaged model's geometry, plainly and
with the blocks compiled. Arithmetic is counted: 6 for each weight and token, and 12 for each pair of tokens and channel.
Times are the processor's, so that other work on the machine changes them less.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch._inductor.config as inductor

from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.models.uniform.sequence import SequenceUniForm

# Latent frames, cells of each, sound steps of each.
FRAMES, SIDE, STEPS, CHANNELS, WORDS = 8, 6, 4, 32, 24


def seconds(step: Callable[[], object], least: float = 2.0) -> float:
    """Processor seconds of one call, after one to warm up."""
    step()
    began, count = time.process_time(), 0
    while time.process_time() - began < least:
        step()
        count += 1
    return (time.process_time() - began) / count


def matrix_rate(width: int) -> float:
    """FLOP/s of a bfloat16 product of the MLP's shape."""
    a, b = torch.randn(4096, width, dtype=torch.bfloat16), torch.randn(width, 4 * width, dtype=torch.bfloat16)
    return 2 * 4096 * width * 4 * width / seconds(lambda: a @ b, 0.5)


def flop(model: SequenceUniForm, batch: int) -> float:
    """Of one training step."""
    tokens = FRAMES * (SIDE * SIDE + STEPS) + WORDS
    weights = sum(p.numel() for p in model.blocks.parameters() if p.ndim > 1)
    return batch * tokens * (6 * weights + 12 * tokens * model.config.width * len(model.blocks))


def training_step(model: SequenceUniForm, batch: int) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    x = AV(torch.randn(batch, CHANNELS, FRAMES, SIDE, SIDE), torch.randn(batch, CHANNELS, FRAMES * STEPS, 1))
    t, ones = AV(torch.rand(batch), torch.rand(batch)), torch.ones(batch, dtype=torch.bool)
    condition = Condition(torch.randn(batch, 14, 256), torch.ones(batch, 14, dtype=torch.bool), AV(ones, ones))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            made = model(x, t, condition).prediction
        (made.video.float().square().mean() + made.audio.float().square().mean()).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=[256, 384, 512])
    parser.add_argument("--depths", type=int, nargs="+", default=[8])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    # Without it Inductor writes code for bfloat16 on CPUs that does not compile (torch 2.13).
    inductor.cpp.max_horizontal_fusion_size = 1
    rows = []
    for width in options.widths:
        peak = matrix_rate(width)
        for depth in options.depths:
            for compiled in (False, True):
                torch.manual_seed(0)
                model = SequenceUniForm(depth=depth, width=width, heads=max(1, width // 128))
                if compiled:
                    for block in model.blocks:
                        block.compile()
                one = seconds(training_step(model, options.batch))
                rate = flop(model, options.batch) / one
                rows.append(
                    {
                        "width": width,
                        "depth": depth,
                        "compiled": compiled,
                        "parameters": sum(p.numel() for p in model.parameters()),
                        "clips_per_second": options.batch / one,
                        "gflops": rate / 1e9,
                        "share": rate / peak,
                    }
                )
                print(
                    f"width {width:4d}  depth {depth:2d}  {'compiled' if compiled else 'plain':8s}  "
                    f"{rows[-1]['parameters'] / 1e6:5.1f} M  {options.batch / one:6.1f} clips/s  {rate / 1e9:5.0f} GFLOP/s  "
                    f"{rate / peak:.0%} of {peak / 1e9:.0f}",
                    flush=True,
                )
    if options.json:
        options.json.write_text(json.dumps({"batch": options.batch, "threads": options.threads, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
