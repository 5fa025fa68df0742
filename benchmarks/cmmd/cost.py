"""What one evaluation of CMMD's network costs at the published size: products, time, share of a matrix product's speed, memory.

    python -m benchmarks cmmd.cost [--repeat 10] [--threads 2] [--matrix 2048] [--sizes 16 64] [--frames 18] [--train]

Batch 1, float32. Evaluations and products of two square matrices take turns, and the fastest of each counts, so that
whatever else the machine does falls on both; with --threads 1 only the processor's own time counts. Multiply-adds are counted
by torch's own counter. Every size runs in a process of its own, whose largest resident memory is what is told. --train adds a
forward and backward pass with and without checkpointing.
"""

import argparse
import json
import resource
import subprocess
import sys

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import command
from benchmarks.timing import clock
from sonovid.core.av import AV
from sonovid.models.cmmd.unet import CMMD, paper

STEPS = {18: 112, 36: 224}


def pair(size: int, frames: int, device: str = "cpu") -> tuple[AV, AV]:
    """A noisy pair and its times."""
    with torch.device(device):
        x = AV(torch.randn(1, 4, frames, size, size), torch.randn(1, 1, STEPS[frames], 80))
        return x, AV(torch.full((1,), 0.5), torch.full((1,), 0.5))


def multiply_adds(size: int, frames: int, fusion: bool) -> int:
    """Multiply-adds of one evaluation, by operators; on no memory."""
    with torch.device("meta"):
        model = CMMD(**{**paper(), "fusion": fusion}).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(*pair(size, frames, "meta"))
    return counter.get_total_flops() // 2


def resident() -> float:
    """The largest resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def evaluate(options: argparse.Namespace, size: int) -> dict:
    """Fastest evaluation and fastest matrix product, taking turns."""
    model, n = CMMD(**{**paper(), "fusion": options.fusion}).eval(), options.matrix
    a, b, inputs = torch.randn(n, n), torch.randn(n, n), pair(size, options.frames)
    with torch.inference_mode():
        before = resident()
        model(*inputs)
        memory = {"peak": resident(), "activations": resident() - before}
        rounds = [
            (clock(lambda: model(*inputs), options.threads), clock(lambda: a @ b, options.threads)) for _ in range(options.repeat)
        ]
    seconds, product = (min(taken) for taken in zip(*rounds, strict=True))
    adds = multiply_adds(size, options.frames, options.fusion)
    return {"seconds": seconds, "multiply_adds": adds, "matrix": n**3 / product, **memory}


def train(options: argparse.Namespace, size: int, checkpointing: bool) -> dict:
    """One forward and backward pass."""
    model, inputs = CMMD(**{**paper(), "fusion": options.fusion}).train(), pair(size, options.frames)
    if checkpointing:
        model.enable_gradient_checkpointing()

    def work() -> None:
        made = model(*inputs).prediction
        (made.video.square().mean() + made.audio.square().mean()).backward()

    return {"seconds": min(clock(work, options.threads) for _ in range(2)), "peak": resident()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--matrix", type=int, default=2048)
    parser.add_argument("--sizes", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--frames", type=int, choices=STEPS, default=18)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--without-fusion", dest="fusion", action="store_false")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.one:
        kind, size = options.one.split("-")
        measured = evaluate(options, int(size)) if kind == "plain" else train(options, int(size), kind == "checkpointed")
        print(json.dumps(measured))
        return

    def one(kind: str, size: int) -> dict:
        words = [*command("cmmd.cost"), *sys.argv[1:], "--one", f"{kind}-{size}"]
        return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)

    with torch.device("meta"):
        parameters = sum(p.numel() for p in CMMD(**{**paper(), "fusion": options.fusion}).parameters())
    print(f"{parameters / 1e6:.2f} million parameters, {options.frames} frames, {options.threads} threads")
    seconds = []
    for size in options.sizes:
        r = one("plain", size)
        speed = r["multiply_adds"] / r["seconds"]
        seconds.append(r["seconds"])
        print(
            f"{size}x{size} latents: {r['multiply_adds'] / 1e9:.1f} G multiply-adds, {1000 * r['seconds']:.0f} ms, "
            f"{speed / 1e9:.0f} G/s, {speed / r['matrix']:.0%} of the {r['matrix'] / 1e9:.0f} G/s of a product of two "
            f"{options.matrix}x{options.matrix} matrices; peak {r['peak']:.0f} MiB, {r['activations']:.0f} by the evaluation",
            flush=True,
        )
        for kind in ("trained", "checkpointed") if options.train else ():
            r = one(kind, size)
            print(f"  forward and backward, {kind}: {r['seconds']:.2f} s, peak {r['peak']:.0f} MiB", flush=True)
    if len(seconds) > 1:
        first, last = options.sizes[0], options.sizes[-1]
        print(f"{last}x{last} takes {seconds[-1] / seconds[0]:.1f} times as long as {first}x{first}")


if __name__ == "__main__":
    main()
