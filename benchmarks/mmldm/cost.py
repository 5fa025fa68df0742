"""What one evaluation of MM-LDM's generator costs: share of a matrix product's speed, bfloat16, batches, multiply-adds.

    python -m benchmarks mmldm.cost [--size S] [--repeat 10] [--threads 2] [--matrix 2048] [--batches 1 2 4] [--device cpu]

399 tokens, the context projected once. Evaluations and products of two square matrices of the same type take turns, and the
fastest of each counts, so that whatever else the machine does falls on both; with --threads 1 on a CPU only the processor's own
time counts. The share is of the linear layers' multiply-adds, as the paper counts them; attention's own products take time but
count as none.
"""

import argparse

import torch
from torch import nn

from benchmarks.timing import clock
from sonovid.core.av import AV
from sonovid.models.mmldm import MMLDM
from sonovid.models.mmldm.transformer import SIZES, paper


def pair(b: int, device: str, dtype: torch.dtype = torch.float32) -> tuple[AV, AV]:
    """A noisy pair and its times."""
    x = AV(torch.randn(b, 16, 1, 16, 16, device=device, dtype=dtype), torch.randn(b, 16, 8, 8, device=device, dtype=dtype))
    t = torch.full((b,), 0.5, device=device)
    return x, AV(t, t)


def multiply_adds(size: str) -> int:
    """Multiply-adds of the linear layers of one evaluation of one pair, on no memory."""
    counted = []
    with torch.device("meta"):
        model = MMLDM(**paper(size))
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.register_forward_hook(lambda m, inputs, out: counted.append(out.numel() * m.in_features))
        model(*pair(1, "meta"))
    return sum(counted)


@torch.inference_mode()
def measure(options: argparse.Namespace, model: MMLDM, b: int, dtype: torch.dtype) -> tuple[float, float]:
    """Seconds of the fastest evaluation, and multiply-adds a second of the fastest matrix product, taking turns."""
    n, device = options.matrix, options.device
    left, right = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    x, t = pair(b, device, dtype)
    context = model.embed_context(None, b)
    works = (lambda: model(x, t, context=context), lambda: left @ right)
    for work in works:
        clock(work, options.threads, device)
    rounds = [[clock(work, options.threads, device) for work in works] for _ in range(options.repeat)]
    seconds, product = (min(taken) for taken in zip(*rounds, strict=True))
    return seconds, n**3 / product


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="S")
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--matrix", type=int, default=2048)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, adds = MMLDM(**paper(options.size)).eval().to(options.device), multiply_adds(options.size)
    with torch.no_grad():
        # As begun, gates and outputs are zero, and what is zero may be fast.
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    parameters = sum(p.numel() for p in model.parameters())
    print(f"size {options.size}: {parameters / 1e6:.1f} million parameters, {adds / 1e9:.1f} G multiply-adds")
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        model.to(dtype)
        for b in options.batches:
            seconds, product = measure(options, model, b, dtype)
            found[dtype, b] = seconds
            speed = adds * b / seconds
            told = f", {found[torch.float32, b] / seconds:.2f} times as fast as float32" if dtype == torch.bfloat16 else ""
            print(
                f"{str(dtype).removeprefix('torch.')}, batch {b}: {1000 * seconds:.1f} ms, {1000 * seconds / b:.1f} a pair, "
                f"{speed / 1e9:.0f} G/s, {speed / product:.0%} of the {product / 1e9:.0f} G/s of a product of two "
                f"{options.matrix}x{options.matrix} matrices{told}",
                flush=True,
            )


if __name__ == "__main__":
    main()
