"""Vocoders: log-mel frames to a waveform, by a network in the spectral domain or by Griffin-Lim as its baseline."""

import json
import os
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.codecs.mel import LogMel, filterbank
from sonovid.core.model import Model, register_to_config


def overlap_add(frames: Float[Tensor, "b n l"], hop: int) -> Float[Tensor, "b m"]:
    """Overlap-add of windowed frames to (l - 1) * hop + n samples."""
    n, length = frames.shape[1], (frames.shape[2] - 1) * hop + frames.shape[1]
    return F.fold(frames, (1, length), (1, n), stride=(1, hop))[:, 0, 0]


def inverse_stft(spectrum: Tensor, n_fft: int, hop: int) -> Float[Tensor, "b n"]:
    """Least-squares inverse of the transform in `LogMel.magnitudes` (Griffin & Lim 1984, eq. 6).

    Args:
        spectrum: Complex spectrum [b, n_fft // 2 + 1, l], whose frames are centred on their hops.
        n_fft: Length of the Fourier transform in samples.
        hop: Samples per frame.

    Returns:
        Waveform of l * hop samples.
    """
    window = torch.hann_window(n_fft, device=spectrum.device)
    frames = torch.fft.irfft(spectrum, n_fft, dim=1) * window[:, None]
    envelope = overlap_add((window**2)[None, :, None].expand(1, n_fft, spectrum.shape[2]), hop)
    side = (n_fft - hop) // 2
    wave = overlap_add(frames, hop) / envelope.clamp(min=1e-4)
    return wave[:, side : side + spectrum.shape[2] * hop]


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution in time, then an inverted bottleneck (Liu et al. 2022), as in Vocos."""

    def __init__(self, width: int, expansion: int):
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand, self.project = nn.Linear(width, expansion * width), nn.Linear(expansion * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Float[Tensor, "b l d"]) -> Float[Tensor, "b l d"]:
        h = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        return x + self.scale * self.project(F.gelu(self.expand(self.norm(h)), approximate="tanh"))


def cumulative_phase(advance: Float[Tensor, "b f l"], near: int = 6) -> Float[Tensor, "b f l"]:
    """Cumulative sum over time whose gradients only reach the last `near` frames.

    The gradient of the full sum adds up the errors of all later frames. Only the next few overlap a frame and carry information
    about its phase; the rest is noise that grows with the length of the audio.
    """
    total = advance.detach().cumsum(-1)
    if not advance.requires_grad:
        return total
    local = F.avg_pool1d(F.pad(advance, (near - 1, 0)), near, 1) * near
    return total + (local - local.detach())


def centre_phases(length: int, n_fft: int, hop: int, device: torch.device) -> Float[Tensor, "f l"]:
    """Phases in radians of a tone at the centre frequency of each bin, measured at the middle of each frame."""
    bins, steps = torch.arange(n_fft // 2 + 1, device=device), torch.arange(length, device=device)
    # Integers, so that long audio loses no precision. The n_fft // 2 moves the origin to the middle of a frame.
    phase_index = (bins[:, None] * (hop * steps + n_fft // 2)) % n_fft
    return phase_index * (2 * torch.pi / n_fft)


class SpectralVocoder(Model):
    """Mel frames to magnitudes and phases, and these to a waveform by the inverse transform (after Vocos, Siuzdak 2023).

    It works at the frame rate instead of the sample rate, so it is many times faster than real time on one core.

    Args:
        bins: Number of mel bins.
        n_fft: Length of the Fourier transform in samples.
        hop: Samples per frame.
        width: Channels of the blocks.
        depth: Number of blocks.
        expansion: Inner width of the blocks as a multiple of `width`.
        accumulate: Whether phases are cumulative sums of predicted advances. Deviation from Vocos: a convolution cannot count the
            cycles of a steady tone, whose mel frames are all equal, so its frames would cancel each other. A sum can.
    """

    @register_to_config
    def __init__(
        self,
        bins: int = 64,
        n_fft: int = 1024,
        hop: int = 250,
        width: int = 256,
        depth: int = 8,
        expansion: int = 3,
        accumulate: bool = False,
    ):
        super().__init__()
        self.stem = nn.Conv1d(bins, width, 7, padding=3)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(ConvNeXtBlock(width, expansion) for _ in range(depth))
        self.final_norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, (3 if accumulate else 2) * (n_fft // 2 + 1))
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, log_mel: Float[Tensor, "b f l"]) -> Float[Tensor, "b n"]:
        """Convert natural-logarithm mel frames to a waveform of l * hop samples."""
        # Log-mel levels lie in about [-7, 3], from silence to loud audio. This scales them to about [-2, 2].
        h = self.norm(self.stem((log_mel + 3) / 3).transpose(1, 2))
        for block in self.blocks:
            h = block(h)
        log_magnitude, phase, *advance = rearrange(
            self.head(self.final_norm(h)).float(), "b l (parts f) -> parts b f l", f=self.config.n_fft // 2 + 1
        )
        if advance:
            centres = centre_phases(phase.shape[-1], self.config.n_fft, self.config.hop, phase.device)
            phase = phase + cumulative_phase(advance[0]) + centres
        spectrum = torch.polar(log_magnitude.clamp(max=6).exp(), phase)
        return inverse_stft(spectrum, self.config.n_fft, self.config.hop)


class GriffinLim(nn.Module):
    """Iterative phase estimation (Griffin & Lim 1984; fast variant, Perraudin et al. 2013), without learnt weights.

    Args:
        log_mel: Settings of the spectrogram.
        iterations: Number of iterations.
        momentum: Momentum of the fast variant.
    """

    def __init__(self, log_mel: LogMel, iterations: int = 32, momentum: float = 0.99):
        super().__init__()
        self.log_mel, self.iterations, self.momentum = log_mel, iterations, momentum

    def save_pretrained(self, folder: "str | os.PathLike", **_: Any) -> None:
        """Save the settings; there are no weights."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        config = {"log_mel": self.log_mel.to_config(), "iterations": self.iterations, "momentum": self.momentum}
        (path / "config.json").write_text(json.dumps({"_class_name": type(self).__name__, **config}, indent=2) + "\n")

    @classmethod
    def from_pretrained(cls, folder: "str | os.PathLike", **_: Any) -> "GriffinLim":
        """Load what `save_pretrained` saved."""
        config = json.loads((Path(folder) / "config.json").read_text())
        return cls(LogMel(**config["log_mel"]), config["iterations"], config["momentum"])

    def forward(self, log_mel: Float[Tensor, "b f l"]) -> Float[Tensor, "b n"]:
        """Convert natural-logarithm mel frames to a waveform of l * hop samples.

        Raises:
            ValueError: The window is shorter than the transform.
        """
        m = self.log_mel
        if m.window != m.n_fft:
            raise ValueError(f"window {m.window} in a transform of {m.n_fft}: this iteration needs them equal")
        filters = filterbank(m.sample_rate, m.n_fft, m.bins, m.low, m.high).to(log_mel)
        magnitude = (torch.linalg.pinv(filters) @ log_mel.exp()).clamp(min=1e-5)
        # Random initial phases from a fixed seed, equal for every clip, so that results do not depend on the batch.
        generator = torch.Generator().manual_seed(0)
        phase = (torch.rand(magnitude.shape[1:], generator=generator).to(log_mel) * 2 * torch.pi).expand_as(magnitude)
        estimate, previous = torch.polar(magnitude, phase), torch.zeros_like(magnitude, dtype=torch.complex64)
        side = (m.n_fft - m.hop) // 2
        window = torch.hann_window(m.n_fft, device=log_mel.device)
        for _ in range(self.iterations):
            wave = F.pad(inverse_stft(estimate, m.n_fft, m.hop), (side, m.n_fft - m.hop - side))
            rebuilt = torch.stft(wave, m.n_fft, m.hop, m.n_fft, window, center=False, return_complex=True)
            direction = rebuilt - self.momentum / (1 + self.momentum) * previous
            estimate, previous = magnitude * direction / direction.abs().clamp(min=1e-9), rebuilt
        return inverse_stft(estimate, m.n_fft, m.hop)
