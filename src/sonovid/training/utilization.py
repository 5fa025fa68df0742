"""Model FLOPs utilisation (MFU): the share of a GPU's peak rate that the model's arithmetic takes."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils.flop_counter import FlopCounterMode

# Dense bfloat16 FLOP/s of GPUs by a part of their names, from NVIDIA's and AMD's data sheets. The first match counts.
PEAKS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
    "MI300X": 1307e12,
}


def peak_rate(name: str) -> float | None:
    """The peak FLOP/s of a GPU in bfloat16 by its name, or None if it is not known."""
    return next((peak for part, peak in PEAKS.items() if part in name), None)


class UtilizationMeter:
    """Counts the FLOPs of a forward pass once, and gives the utilisation from then on.

    A training step counts as three forward passes, of which the backward pass is two (Chowdhery et al. 2022, appendix B).
    Recomputed activations do not count. Where parts are frozen the figure is too high, since these have no weight gradients.

    Args:
        device: the device. On a CPU, and on a GPU of unknown peak rate, nothing is counted.
        peak: peak FLOP/s; None: by the name of the GPU.
    """

    def __init__(self, device: torch.device, peak: float | None = None) -> None:
        if peak is None and device.type == "cuda":
            peak = peak_rate(torch.cuda.get_device_name(device))
        self.peak, self.forward_flops = peak, 0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """A context for forward passes: counts the first one, which runs without compilation."""
        if self.peak is None or self.forward_flops:
            yield
            return
        with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as counter:
            yield
        self.forward_flops = counter.get_total_flops()

    def mfu(self, passes: float) -> float | None:
        """The utilisation, or None if it is not known.

        Args:
            passes: training passes (forward and backward) of this process per second.
        """
        return 3 * self.forward_flops * passes / self.peak if self.peak and self.forward_flops else None
