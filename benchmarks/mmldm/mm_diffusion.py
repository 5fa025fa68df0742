"""Multiply-adds of MM-Diffusion beside MM-LDM's, of one evaluation and of a whole clip, counted on no memory.

    python -m benchmarks mmldm.mm_diffusion

Both networks are those of the package at their published sizes, on the meta device. Convolutions and linear layers are counted as
in MM-LDM's table 4, batch 1, and the products of attention beside them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sonovid.codecs.hierarchical import network as hierarchical
from sonovid.codecs.hierarchical.network import HierarchicalNetwork
from sonovid.core.av import AV
from sonovid.models.cmmd.residual import Convolution
from sonovid.models.mmdiffusion import MMDiffusion
from sonovid.models.mmdiffusion.unet import paper as published
from sonovid.models.mmldm import MMLDM
from sonovid.models.mmldm.transformer import SIZES, paper

FRAMES, SIDE, SAMPLES = 16, 64, 25_600


@dataclass(frozen=True)
class Count:
    """Parameters, multiply-adds of convolutions and linear layers, and those of attention's products."""

    parameters: int
    layers: int
    products: int

    @property
    def whole(self) -> int:
        return self.layers + self.products


def count(model: nn.Module, evaluate: Callable[[], Any]) -> Count:
    """What one call costs; the model and what it is given are to be on no memory."""
    layers = 0
    # The counter hangs on modules, and would look for gradients of what goes into them.
    model.requires_grad_(False)

    def add(module: Any, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal layers
        layers += out.numel() * module.weight[0].numel()

    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, Convolution)
    hooks = [module.register_forward_hook(add) for module in model.modules() if isinstance(module, kinds)]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        evaluate()
    for hook in hooks:
        hook.remove()
    # The counter calls a multiplication and an addition two operations.
    return Count(sum(p.numel() for p in model.parameters()), layers, counter.get_total_flops() // 2 - layers)


def mm_diffusion() -> Count:
    """MM-Diffusion's network at the published size."""
    with torch.device("meta"):
        model = MMDiffusion(**published()).eval()
        x, t = AV(torch.empty(1, 3, FRAMES, SIDE, SIDE), torch.empty(1, 1, SAMPLES, 1)), torch.empty(1)
        return count(model, lambda: model(x, AV(t, t)))


def generator(size: str) -> Count:
    """MM-LDM's generator, 399 tokens."""
    with torch.device("meta"):
        model = MMLDM(**paper(size)).eval()
        x, t = AV(torch.empty(1, 16, 1, 16, 16), torch.empty(1, 16, 8, 8)), torch.empty(1)
        return count(model, lambda: model(x, AV(t, t)))


def autoencoder() -> dict[str, Count]:
    """MM-LDM's autoencoder at the published size: one evaluation of its decoder for 16 frames and the audio image together; what
    the decoder is told, which steps share; both encoders; and the 17 pictures through Stable Diffusion's frame codec."""
    with torch.device("meta"):
        network = HierarchicalNetwork(**hierarchical.paper()).eval()
        z = AV(torch.empty(1, 16, 16, 16), torch.empty(1, 16, 8, 8))
        frames, pictures = torch.empty(1, FRAMES, dtype=torch.long), FRAMES + 1

        def condition() -> Any:
            semantics = network.encode_semantics(z)
            assert semantics is not None
            return network.make_condition(z, frames, features=semantics.features, labels=torch.empty(1, dtype=torch.long))

        once, x = condition(), torch.empty(pictures, 4, 32, 32)
        pair, times = AV(*x.split([FRAMES, 1])), AV(*torch.empty(pictures).split([FRAMES, 1]))
        # Stable Diffusion's frame codec.
        codec = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
        ).eval()
        return {
            "signal decoder, 16 frames and the audio image": count(network, lambda: network(pair, times, once)),
            "its condition": count(network, condition),
            "both encoders": count(network, lambda: network.posterior(AV(torch.empty(1, 4, FRAMES, 32, 32), x[:1]))),
            "frame codec's decoder, 17 pictures of 256x256": count(codec, lambda: codec.decode(x)),
            "frame codec's encoder, the same": count(codec, lambda: codec.encode(torch.empty(pictures, 3, 256, 256))),
        }


def main() -> None:
    base, sizes, decoding = mm_diffusion(), {size: generator(size) for size in SIZES}, autoencoder()
    print("| one evaluation | parameters | layers | attention's products | MM-Diffusion's layers over these |")
    print("|---|---|---|---|---|")
    for name, found in {"MM-Diffusion": base, **{f"MM-LDM {size}": own for size, own in sizes.items()}, **decoding}.items():
        costs = f"{found.parameters / 1e6:.2f} M | {found.layers / 1e9:.1f} G | {found.products / 1e9:.1f} G"
        print(f"| {name} | {costs} | {base.layers / found.layers:.2f} |")
    drawn, told, encoded, rendered, perceived = decoding.values()
    # Guidance doubles every evaluation of MM-LDM, and its decoder is guided as well.
    latents = 2 * 50 * sizes["S"].layers
    pictures = 2 * (50 * drawn.layers + told.layers) + rendered.layers
    clips = {
        "MM-Diffusion, DDPM, 1000 steps": 1000 * base.layers,
        "MM-Diffusion, DDIM, 50 steps": 50 * base.layers,
        "MM-Diffusion, DPM-Solver, 20 evaluations": 20 * base.layers,
        "MM-LDM S, latents alone, DDIM 50, no guidance": latents // 2,
        "MM-LDM S, latents alone, DDIM 50, guided": latents,
        "MM-LDM S, latents guided, and decoded by 50 guided steps": latents + pictures,
    }
    # A gradient costs twice what the evaluation costs.
    training = {
        "MM-Diffusion": 3 * base.layers,
        "MM-LDM S, latents cached": 3 * sizes["S"].layers,
        "MM-LDM S, latents encoded at every step": 3 * sizes["S"].layers + encoded.layers + perceived.layers,
    }
    for title, costs in {"a whole clip": clips, "training, one clip a step": training}.items():
        print(f"\n| {title} | layers |\n|---|---|")
        for name, cost in costs.items():
            print(f"| {name} | {cost / 1e12:.2f} T |")


if __name__ == "__main__":
    main()
