"""Noise that belongs to the sample: the same whatever the batch size, the device, and what else is drawn.

It is drawn on the CPU in single precision, and only then moved.
"""

import hashlib
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from sonovid.core.av import AV


def seeded_generators(seeds: Sequence[int], purpose: str) -> list[Generator]:
    """One generator per seed. Different purposes ("video", "audio", ...) of one seed do not disturb each other.

    The sub-seed is a hash, since neighbouring seeds or small offsets of one would meet again in other samples.
    """
    return [torch.Generator().manual_seed(_digest(f"{seed}/{purpose}")) for seed in seeds]


def resolve_seeds(source: Sequence[int | Generator]) -> list[int]:
    """Seeds as they are; for a generator, one whole number drawn from it, whatever shapes are asked for later."""
    return [s if isinstance(s, int) else int(torch.randint(2**62, (), generator=s, device=s.device)) for s in source]


def draw_noise(source: Sequence[int | Generator], shape: Sequence[int]) -> Float[Tensor, "b *axes"]:
    """Standard normal noise, [b *shape], each sample's from its own seed or generator; a generator is moved on.

    Raises:
        ValueError: no seeds, or the same generator for two samples, whose noises would then depend on their order.
    """
    if not source:
        raise ValueError("no seeds: expected one for each sample")
    own = [s for s in source if isinstance(s, Generator)]
    if len({id(s) for s in own}) < len(own):
        raise ValueError("one generator serves two samples: give each its own, or a seed")
    return torch.stack([_normal(torch.Generator().manual_seed(s) if isinstance(s, int) else s, shape) for s in source])


def draw_noise_pair(source: Sequence[int | Generator], shapes: AV) -> AV:
    """Noise for both streams, [b *shape] each; the shape of one stream leaves the other's noise as it is."""
    seeds = resolve_seeds(source)
    return shapes.map(lambda shape, name: draw_noise(seeded_generators(seeds, name), shape), AV("video", "audio"))


def _normal(generator: Generator, shape: Sequence[int]) -> Tensor:
    return torch.randn(tuple(shape), generator=generator, device=generator.device).cpu()


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big")
