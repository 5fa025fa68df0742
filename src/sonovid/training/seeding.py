"""Seeds: derive them from keys, and seed the global random state, which dropout and weight initialisation draw from."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive_seed(*keys: int | str) -> int:
    """A 63-bit seed from any keys, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(repr(keys).encode(), digest_size=8).digest(), "little") >> 1


def seed_global_state(generator: torch.Generator) -> None:
    """Set the global random state of a device to the state of a generator on it."""
    if generator.device.type == "cuda":
        torch.cuda.set_rng_state(generator.get_state(), generator.device)
    else:
        torch.set_rng_state(generator.get_state())


@contextmanager
def seeded_init(seed: int) -> Iterator[None]:
    """A context in which networks are initialised from a seed. The global random state is restored afterwards."""
    with torch.random.fork_rng(devices=[]):
        seed_global_state(torch.Generator().manual_seed(seed))
        yield
