"""Reproducible noise: a sample's noise depends on its seed alone, not on the batch size, the device or the other stream.

Noise is drawn on the CPU in single precision and moved to the device by the caller.
"""

import hashlib
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from sonovid.core import renamed
from sonovid.core.av import AV


def seeded_generators(seeds: Sequence[int], purpose: str) -> list[Generator]:
    """One generator per seed.

    The generator's own seed is a hash of seed and purpose. Sums of seed and offset would repeat the noise of neighbouring seeds.

    Args:
        seeds: one for each sample.
        purpose: name of a random stream ("video", "audio", ...). Streams of one seed are independent.
    """
    return [torch.Generator().manual_seed(_hash(f"{seed}/{purpose}")) for seed in seeds]


def resolve_seeds(source: Sequence[int | Generator]) -> list[int]:
    """Replace each generator by one integer that is drawn from it. The draw does not depend on any tensor shape."""
    return [s if isinstance(s, int) else int(torch.randint(2**62, (), generator=s, device=s.device)) for s in source]


def draw_noise(source: Sequence[int | Generator], shape: Sequence[int]) -> Float[Tensor, "b *axes"]:
    """Standard normal noise, each sample from its own seed or generator.

    Args:
        source: one seed or generator for each sample. Generators advance.
        shape: shape of one sample.

    Returns:
        Noise [b *shape] on the CPU.

    Raises:
        ValueError: `source` is empty, or one generator serves two samples, whose noise would depend on their order.
    """
    if not source:
        raise ValueError("no seeds: expected one for each sample")
    own = [s for s in source if isinstance(s, Generator)]
    if len({id(s) for s in own}) < len(own):
        raise ValueError("one generator serves two samples: give each sample a generator of its own, or a seed")
    return torch.stack([_randn(torch.Generator().manual_seed(s) if isinstance(s, int) else s, shape) for s in source])


def draw_noise_pair(source: Sequence[int | Generator], shapes: AV) -> AV:
    """Standard normal noise for both streams. The shape of one stream does not change the noise of the other.

    Args:
        source: one seed or generator for each sample.
        shapes: shape of one sample of each stream.

    Returns:
        Noise [b *shape] of each stream, on the CPU.
    """
    seeds = resolve_seeds(source)
    return shapes.map(lambda shape, name: draw_noise(seeded_generators(seeds, name), shape), AV("video", "audio"))


def noise_seed(noise: Tensor, name: str) -> int:
    """A seed that follows from the noise of one sample, for further random draws of the same sample.

    Args:
        noise: the noise of one sample of one stream.
        name: tells apart several uses of one noise.
    """
    values = noise.detach().flatten()[:64].double().cpu().numpy().tobytes()
    return int.from_bytes(hashlib.blake2b(values, digest_size=7, person=name.encode()[:16]).digest(), "big")


def _randn(generator: Generator, shape: Sequence[int]) -> Tensor:
    return torch.randn(tuple(shape), generator=generator, device=generator.device).cpu()


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big")


__getattr__ = renamed.attributes(
    __name__,
    {
        "draw": "draw_noise",
        "draw_pair": "draw_noise_pair",
        "generators": "seeded_generators",
        "seeds_of": "resolve_seeds",
    },
)
