"""Sounds of one length through a network together, so that features do not depend on what else is in a batch."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def by_length(
    waveforms: Sequence[Float[np.ndarray, "_"]], network: Callable[[Float[Tensor, "b n"]], Sequence[Tensor]], device: str = "cpu"
) -> list[list[np.ndarray]]:
    """What a network gives for each sound, in their order; its outputs have a row per sound.

    Sounds of different lengths are not padded to the longest: pooling over time would see the silence.
    """
    found: dict[int, list[np.ndarray]] = {}
    for length in sorted({len(waveform) for waveform in waveforms}):
        chosen = [i for i, waveform in enumerate(waveforms) if len(waveform) == length]
        outputs = network(torch.from_numpy(np.stack([waveforms[i] for i in chosen])).to(device))
        rows = [output.cpu().numpy() for output in outputs]
        # A row of one number is an array too.
        found |= {i: [np.asarray(row[j]) for row in rows] for j, i in enumerate(chosen)}
    return [found[i] for i in range(len(waveforms))]
