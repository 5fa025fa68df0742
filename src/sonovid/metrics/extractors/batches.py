"""Batching of audio by length, so that features do not depend on the other clips in a batch."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def run_by_length(
    waveforms: Sequence[Float[np.ndarray, "_"]], network: Callable[[Float[Tensor, "b n"]], Sequence[Tensor]], device: str = "cpu"
) -> list[list[np.ndarray]]:
    """Run a network on waveforms of any lengths, in batches of equal length.

    Waveforms are not padded to the longest, because pooling over time would include the silence.

    Args:
        waveforms: mono.
        network: from a batch to outputs with one row per waveform.
        device: where the network runs.

    Returns:
        The rows of all outputs for each waveform, in the order of the waveforms.
    """
    found: dict[int, list[np.ndarray]] = {}
    for length in sorted({len(waveform) for waveform in waveforms}):
        chosen = [i for i, waveform in enumerate(waveforms) if len(waveform) == length]
        outputs = network(torch.from_numpy(np.stack([waveforms[i] for i in chosen])).to(device))
        rows = [output.cpu().numpy() for output in outputs]
        # A scalar row becomes an array too.
        found |= {i: [np.asarray(row[j]) for row in rows] for j, i in enumerate(chosen)}
    return [found[i] for i in range(len(waveforms))]
