"""Memory of one training step of the published recipes on one GPU, counted on fake tensors of the published sizes.

    python -m benchmarks training.memory [RECIPE ...] [--processes 8,64]

Weights, gradients, AdamW's moments and averages are in single precision; precision, gradient checkpointing and batch_size are
those of the recipe. Codecs and text encoders are not counted. What the CPU's operators keep for the backward pass is counted; a
GPU's may keep a little more or less. --processes adds the memory of each of several GPUs with strategy=fsdp. Minutes of CPU time
for each recipe.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor, nn

from sonovid import recipes
from sonovid.core.av import AV
from sonovid.models.cmmd import unet as cmmd
from sonovid.models.mmdiffusion import unet as mmdiffusion
from sonovid.models.mmldm import transformer as mmldm
from sonovid.models.svg import model as svg
from sonovid.models.uniform import transformer as uniform
from sonovid.training.memory import GIB, measure_step, sharded_total


class Step(NamedTuple):
    """The network of a recipe, and the latents of one clip.

    Attributes:
        build: builds the network; what is not trained is frozen.
        shapes: shapes of the latents of one clip.
        copies: pairs that the objective makes of each clip. CMMD's contrastive loss adds a negative of each stream.
    """

    build: Callable[[], nn.Module]
    shapes: AV
    copies: int = 1


SVG_SHAPES = AV((4, 32, 32, 32), (8, 100, 16))
CMMD_SHAPES = AV((4, 18, 16, 16), (1, 112, 80))
STEPS = {
    "uniform.paper": Step(lambda: uniform.UniForm(**uniform.paper()), AV((4, 20, 32, 32), (8, 100, 16))),
    "cmmd.paper": Step(lambda: cmmd.CMMD(**cmmd.paper()), CMMD_SHAPES),
    "cmmd.paper.contrastive": Step(lambda: cmmd.CMMD(**cmmd.paper()), CMMD_SHAPES, copies=3),
    "svg.paper": Step(lambda: svg.SVG(**svg.paper()).freeze_bases(), SVG_SHAPES),
    "mmdiffusion.paper": Step(lambda: mmdiffusion.MMDiffusion(**mmdiffusion.paper()), AV((3, 16, 64, 64), (1, 25_600, 1))),
    "mmldm.landscape": Step(lambda: mmldm.MMLDM(**mmldm.paper()), AV((16, 1, 16, 16), (16, 8, 8))),
}


def loss(model: nn.Module, shapes: AV, batch: int) -> Tensor:
    """The squared prediction of a batch of random latents at the middle of the noise schedule."""
    x, t = shapes.map(lambda shape: torch.randn(batch, *shape)), AV(*(torch.full((batch,), 0.5) for _ in AV._fields))
    # Networks that take one time for both streams compare them, which tensors without values cannot.
    with mock.patch.object(torch, "equal", return_value=True):
        out: Any = model(x, t)
    parts = [part for pair in (out.prediction, out.variance) if pair is not None for part in pair]
    return torch.stack([part.float().square().mean() for part in parts]).sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=list(STEPS), metavar="RECIPE", help=", ".join(STEPS))
    parser.add_argument("--processes", type=lambda text: [int(one) for one in text.split(",")], default=[], metavar="N,N")
    options = parser.parse_args()
    for name in options.recipes:
        step, training = STEPS[name], recipes.get(name).training
        run = partial(loss, shapes=step.shapes, batch=training.batch_size * step.copies)
        counted = measure_step(step.build, run, training)
        fixed = counted.total - counted.peak
        print(
            f"{name}, batch_size={training.batch_size}: {counted.total / GIB:.1f} GiB: {fixed / GIB:.1f} weights "
            f"({counted.parameters / GIB:.1f}), gradients, AdamW and average, {counted.peak / GIB:.1f} the passes",
            flush=True,
        )
        with torch.device("meta"):
            model = step.build()
        for processes in options.processes:
            print(f"    {processes} GPUs: {sharded_total(counted, model, training, processes) / GIB:.1f} GiB each", flush=True)


if __name__ == "__main__":
    main()
