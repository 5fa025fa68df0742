"""Log-mel spectrograms. Each frame is centred on its hop, so n samples give exactly n / hop frames."""

import math
from dataclasses import asdict, dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sonovid.core.geometry import Geometry


def hz_to_mel(hz: float) -> float:
    """Slaney's mel scale: linear below 1 kHz, logarithmic above (Auditory Toolbox, 1998), as in HiFi-GAN and AudioLDM."""
    return hz / (200 / 3) if hz < 1000 else 15 + math.log(hz / 1000) * 27 / math.log(6.4)


def mel_to_hz(mel: Float[Tensor, "*m"]) -> Float[Tensor, "*m"]:
    """The inverse of `hz_to_mel`."""
    return torch.where(mel < 15, mel * (200 / 3), 1000 * torch.exp((mel - 15) * math.log(6.4) / 27))


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def filterbank(sample_rate: int, n_fft: int, bins: int, low: float, high: float) -> Tensor:
    """Triangular mel filters of equal area, [bins, n_fft // 2 + 1].

    The result is cached and may later need gradients, so it is never an inference tensor, whatever mode the first call runs in.
    """
    edges = mel_to_hz(torch.linspace(hz_to_mel(low), hz_to_mel(high), bins + 2, dtype=torch.float64))
    hz = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    rising = (hz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hz) / (edges[2:] - edges[1:-1])[:, None]
    area = 2 / (edges[2:] - edges[:-2])
    return (torch.minimum(rising, falling).clamp(min=0) * area[:, None]).float()


@dataclass(frozen=True)
class LogMel:
    """Natural logarithm of mel magnitudes, with a floor.

    The defaults are AudioLDM's. Frame j is centred on sample (j + 1/2) hop, and the ends are padded by reflection, as in
    HiFi-GAN.

    Args:
        sample_rate: Sample rate in Hz.
        bins: Number of mel bins.
        n_fft: Length of the Fourier transform in samples.
        window: Length of the Hann window in samples.
        hop: Samples per frame.
        low: Lowest frequency in Hz.
        high: Highest frequency in Hz.
        floor: Smallest magnitude before the logarithm.
        partial: Whether a clip may end within a hop. The samples of that hop get no frame: the 1.8 s of CMMD are 112.5 hops of
            256 samples and give 112 frames.
    """

    sample_rate: int = 16000
    bins: int = 64
    n_fft: int = 1024
    window: int = 1024
    hop: int = 160
    low: float = 0.0
    high: float = 8000.0
    floor: float = 1e-5
    partial: bool = False

    def num_frames(self, geometry: Geometry) -> int:
        """Number of mel frames of a clip.

        Raises:
            ValueError: The clip has another sample rate, or its length is not a multiple of the hop and `partial` is False.
        """
        if geometry.sample_rate != self.sample_rate:
            raise ValueError(f"audio at {geometry.sample_rate} Hz: this spectrogram needs {self.sample_rate} Hz")
        if geometry.num_samples % self.hop and not self.partial:
            raise ValueError(
                f"{geometry.num_samples} samples ({geometry.num_frames} frames at {geometry.fps} per second) are not a whole "
                f"number of hops of {self.hop}: choose another length"
            )
        return geometry.num_samples // self.hop

    def magnitudes(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b bins l"]:
        """Magnitudes of the short-time Fourier transform, [b, n_fft // 2 + 1, n // hop]."""
        side = (self.n_fft - self.hop) // 2
        extra = self.n_fft - self.hop - 2 * side
        mode = "reflect" if waveform.shape[-1] > side + extra else "constant"
        padded = F.pad(waveform[:, None], (side, side + extra), mode=mode)[:, 0]
        window = torch.hann_window(self.window, device=waveform.device, dtype=waveform.dtype)
        spectrum = torch.stft(padded, self.n_fft, self.hop, self.window, window, center=False, return_complex=True)
        # The gradient of the square root is infinite at zero, and silence is exactly zero.
        return (spectrum.real.square() + spectrum.imag.square() + 1e-12).sqrt()

    def __call__(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b f l"]:
        """Convert a waveform in [-1, 1] to log-mel frames [b f l]."""
        filters = filterbank(self.sample_rate, self.n_fft, self.bins, self.low, self.high).to(waveform)
        return (filters @ self.magnitudes(waveform)).clamp(min=self.floor).log()

    def to_config(self) -> dict:
        """Plain values. `partial` is left out where it is False, so that cache keys from before it existed stay valid."""
        return {name: value for name, value in asdict(self).items() if name != "partial" or value}
