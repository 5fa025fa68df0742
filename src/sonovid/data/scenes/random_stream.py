"""Named streams of random values that are equal on every machine and with every version of NumPy.

Only the raw uniform values of PCG64 are used, since NumPy guarantees no other stream. All other distributions are derived here.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import TypeVar

import numpy as np

T = TypeVar("T")
Number = int | float  # what `float` means to type checkers, but not to the one that runs in the tests


class RandomStream:
    """A random stream that is identified by its keys, such as a world, a seed and the index of an event."""

    def __init__(self, *keys: str | int) -> None:
        digest = sha256("/".join(str(key) for key in keys).encode()).digest()
        self.keys = keys
        self.bits = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))

    def substream(self, *keys: str | int) -> "RandomStream":
        """Returns an independent stream, which does not depend on the values drawn so far."""
        return RandomStream(*self.keys, *keys)

    def uniform(self, low: Number = 0.0, high: Number = 1.0) -> float:
        return low + (high - low) * float(self.bits.random())

    def uniforms(self, count: int, low: Number = 0.0, high: Number = 1.0) -> np.ndarray:
        return low + (high - low) * self.bits.random(count)

    def noise(self, count: int) -> np.ndarray:
        """White noise of zero mean and unit variance, uniformly distributed, which sounds like normal noise."""
        return (self.bits.random(count) * 2.0 - 1.0) * 3.0**0.5

    def chance(self, probability: Number) -> bool:
        return bool(self.bits.random() < probability)

    def choice(self, choices: Sequence[T]) -> T:
        return choices[int(float(self.bits.random()) * len(choices))]
