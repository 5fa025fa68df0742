"""Log-mel frames to a waveform: a network in the spectral domain, and the classical iteration as its yardstick."""

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
    """Windowed frames summed at their places, (l - 1) hop + n samples."""
    n, length = frames.shape[1], (frames.shape[2] - 1) * hop + frames.shape[1]
    return F.fold(frames, (1, length), (1, n), stride=(1, hop))[:, 0, 0]


def inverse_stft(spectrum: Tensor, n_fft: int, hop: int) -> Float[Tensor, "b n"]:
    """The waveform whose frames, each centred on its hop, best fit `spectrum` [b, n_fft // 2 + 1, l]: l hop samples.

    The least-squares inverse (Griffin & Lim 1984, eq. 6) of the transform in `LogMel.magnitudes`.
    """
    window = torch.hann_window(n_fft, device=spectrum.device)
    frames = torch.fft.irfft(spectrum, n_fft, dim=1) * window[:, None]
    envelope = overlap_add((window**2)[None, :, None].expand(1, n_fft, spectrum.shape[2]), hop)
    side = (n_fft - hop) // 2
    wave = overlap_add(frames, hop) / envelope.clamp(min=1e-4)
    return wave[:, side : side + spectrum.shape[2] * hop]


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution in time, then an inverted bottleneck (Liu et al. 2022), as Vocos uses it."""

    def __init__(self, width: int, expansion: int):
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand, self.project = nn.Linear(width, expansion * width), nn.Linear(expansion * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Float[Tensor, "b l d"]) -> Float[Tensor, "b l d"]:
        h = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        return x + self.scale * self.project(F.gelu(self.expand(self.norm(h)), approximate="tanh"))


def accumulated(advance: Float[Tensor, "b f l"], near: int = 6) -> Float[Tensor, "b f l"]:
    """Sums over time, whose gradients reach no further back than the last `near` frames.

    The whole sum's gradient adds up the errors of all later frames, of which only the next ones overlap a frame and say anything
    about its phase; the rest is noise that grows with the length of the sound.
    """
    total = advance.detach().cumsum(-1)
    if not advance.requires_grad:
        return total
    local = F.avg_pool1d(F.pad(advance, (near - 1, 0)), near, 1) * near
    return total + (local - local.detach())


def turns(length: int, n_fft: int, hop: int, device: torch.device) -> Float[Tensor, "f l"]:
    """Phases of a tone at the centre of each bin, frame by frame, counted at the middle of a frame, in radians."""
    bins, steps = torch.arange(n_fft // 2 + 1, device=device), torch.arange(length, device=device)
    # In whole numbers, so that nothing is lost over a long sound; half a turn more for odd bins moves the origin to the middle.
    places = (bins[:, None] * (hop * steps + n_fft // 2)) % n_fft
    return places * (2 * torch.pi / n_fft)


class SpectralVocoder(Model):
    """Mel frames to magnitudes and phases, and those to a waveform by the inverse transform (after Vocos, Siuzdak 2023).

    It works at the rate of the frames, not of the samples, which makes it many times faster than real time on one core.

    Args:
        bins: mel bins. n_fft, hop: of the transform. width, depth, expansion: channels, blocks and inner width of the blocks.
        accumulate: whether phases are sums over time of predicted advances. Deviation from Vocos: a convolution cannot count the
            turns of a steady tone, whose mel frames are all alike, so its frames cancel each other; a sum can.
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
        """Natural-logarithm mel frames to a waveform of l hop samples."""
        # Levels between silence and a loud sound lie near [-7, 3]; the network sees about [-2, 2].
        h = self.norm(self.stem((log_mel + 3) / 3).transpose(1, 2))
        for block in self.blocks:
            h = block(h)
        log_magnitude, phase, *advance = rearrange(
            self.head(self.final_norm(h)).float(), "b l (parts f) -> parts b f l", f=self.config.n_fft // 2 + 1
        )
        if advance:
            centres = turns(phase.shape[-1], self.config.n_fft, self.config.hop, phase.device)
            phase = phase + accumulated(advance[0]) + centres
        spectrum = torch.polar(log_magnitude.clamp(max=6).exp(), phase)
        return inverse_stft(spectrum, self.config.n_fft, self.config.hop)


class GriffinLim(nn.Module):
    """Phases by iteration (Griffin & Lim 1984; fast variant, Perraudin et al. 2013). Nothing is learnt."""

    def __init__(self, log_mel: LogMel, iterations: int = 32, momentum: float = 0.99):
        super().__init__()
        self.log_mel, self.iterations, self.momentum = log_mel, iterations, momentum

    def save_pretrained(self, folder: "str | os.PathLike", **_: Any) -> None:
        """Write the settings; there are no weights."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        config = {"log_mel": self.log_mel.to_config(), "iterations": self.iterations, "momentum": self.momentum}
        (path / "config.json").write_text(json.dumps({"_class_name": type(self).__name__, **config}, indent=2) + "\n")

    @classmethod
    def from_pretrained(cls, folder: "str | os.PathLike", **_: Any) -> "GriffinLim":
        """Read what `save_pretrained` wrote."""
        config = json.loads((Path(folder) / "config.json").read_text())
        return cls(LogMel(**config["log_mel"]), config["iterations"], config["momentum"])

    def forward(self, log_mel: Float[Tensor, "b f l"]) -> Float[Tensor, "b n"]:
        """Natural-logarithm mel frames to a waveform of l hop samples."""
        m = self.log_mel
        if m.window != m.n_fft:
            raise ValueError(f"window {m.window} in a transform of {m.n_fft}: this iteration needs them equal")
        filters = filterbank(m.sample_rate, m.n_fft, m.bins, m.low, m.high).to(log_mel)
        magnitude = (torch.linalg.pinv(filters) @ log_mel.exp()).clamp(min=1e-5)
        # Start from random phases of a fixed seed, the same for every sound: none depends on what stands beside it.
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
