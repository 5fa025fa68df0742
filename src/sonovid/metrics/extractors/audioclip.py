"""AudioCLIP's audio head, ESResNeXt-fbsp: 1024 features per clip, for MM-Diffusion's "FAD" (Guzhov et al. 2021, 2022)."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.metrics.base import Arrays, Extractor, InputSpec, Sample, WeightFile
from sonovid.metrics.extractors.batches import run_by_length
from sonovid.metrics.extractors.clap import get_waveform
from sonovid.metrics.extractors.weights import build_network, read_state_dict

SAMPLE_RATE = 44100
WINDOW, HOP, N_FFT = 1654, 561, 2048
# The head was trained on the range of 16-bit integers, which the network itself scales to [-1, 1].
LOW, HIGH = -32768.0, 32767.0
PREFIX = "audio."

WEIGHTS = WeightFile(
    "AudioCLIP-Full-Training.pt",
    "https://github.com/AndreyGuzhov/AudioCLIP/releases/download/v0.1/AudioCLIP-Full-Training.pt (537 MB)",
    sha256="2441d35b353352c8b1bbfb8f7c687f46314c3d2909e940eaf763b8c17f632c44",
    licence="MIT",
)


class Wavelets(nn.Module):
    """Frequency B-spline wavelets in place of a Fourier transform (Guzhov et al. 2021, eq. 2): frames [b l n] to power [b l f].

    Each bin has a learned order m, bandwidth fb and centre fc. Order 0 is the Fourier transform.
    """

    def __init__(self, bins: int = N_FFT // 2 + 1) -> None:
        super().__init__()
        self.m, self.fb, self.fc = (
            nn.Parameter(torch.zeros(bins)),
            nn.Parameter(torch.ones(bins)),
            nn.Parameter(torch.zeros(bins)),
        )

    def kernels(self, count: int) -> tuple[Float[Tensor, "f n"], Float[Tensor, "f n"]]:
        """Real and imaginary parts over `count` samples from -pi to pi, sqrt(fb) sinc(fb t / m)^m exp(-i fc t) / sqrt(count)."""
        m, fb, fc = self.m[:, None], self.fb[:, None], self.fc[:, None]
        t = math.pi * torch.linspace(-1, 1, count, device=m.device) + 1e-8
        place = fb * t / (m + 1e-8)
        sinc = torch.where(place == 0, torch.ones_like(place), torch.sin(place) / place)
        # A negative number to a real power is complex, with phase pi.
        size = (fb.sqrt() / math.sqrt(count)) * sinc.square().pow(m / 2)
        phase = m * torch.where(sinc < 0, math.pi, 0.0) - fc * t
        return size * phase.cos(), size * phase.sin()

    def forward(self, frames: Float[Tensor, "b l n"]) -> Float[Tensor, "b l f"]:
        real, imaginary = self.kernels(frames.shape[-1])
        return F.linear(frames, real).square() + F.linear(frames, imaginary).square()


class Attention(nn.Module):
    """A gate for each channel and position of a layer's output, computed from the layer's input."""

    def __init__(self, in_channels: int, out_channels: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.conv_depth = nn.Conv2d(in_channels, in_channels, kernel, padding=padding, groups=in_channels)
        self.conv_point = nn.Conv2d(in_channels, out_channels, 1)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Float[Tensor, "b c h w"], like: Float[Tensor, "b d H W"]) -> Float[Tensor, "b d H W"]:
        x = F.adaptive_max_pool2d(x, like.shape[-2:])
        return torch.sigmoid(self.bn(self.conv_point(self.conv_depth(x))))


class Bottleneck(nn.Module):
    """A residual block of ResNeXt: 1x1, grouped 3x3 and 1x1 convolutions (Xie et al. 2017)."""

    def __init__(self, in_channels: int, inner: int, out_channels: int, stride: int, groups: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        shortcut = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))
        self.downsample = shortcut if stride != 1 or in_channels != out_channels else None

    def forward(self, x: Tensor) -> Tensor:
        kept = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return F.relu(self.bn3(self.conv3(x)) + kept)


class AudioHead(nn.Module):
    """Audio at 44.1 kHz [b n] to embeddings [b 1024], not normalised. State dict keys are AudioCLIP's without `audio.`.

    A ResNeXt-50 (32x4d) with attention; three frequency bands of the spectrogram are its three input channels.

    Args:
        width: 64 as published.
        groups: of the 3x3 convolutions.
        features: width of the embedding.
    """

    def __init__(self, width: int = 64, groups: int = 32, features: int = 1024) -> None:
        super().__init__()
        self.fbsp = Wavelets()
        self.conv1 = nn.Conv2d(3, width, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        in_channels = width
        for i, blocks in enumerate((3, 4, 6, 3)):
            inner, out_channels, stride = 2 * width << i, 4 * width << i, 2 if i else 1
            ends = [
                Bottleneck(in_channels if j == 0 else out_channels, inner, out_channels, stride if j == 0 else 1, groups)
                for j in range(blocks)
            ]
            self.add_module(f"layer{i + 1}", nn.Sequential(*ends))
            self.add_module(f"att{i + 1}", Attention(in_channels, out_channels, (1, 5) if i % 2 else (3, 1)))
            in_channels = out_channels
        self.att5 = Attention(in_channels, in_channels, (3, 5))
        self.fc = nn.Linear(in_channels, features)
        self.window: Tensor
        self.register_buffer("window", torch.from_numpy(blackman_harris(WINDOW)))

    def spectrogram(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b 3 f l"]:
        """Power in decibels of 1023 bins, as three bands; padded with silence on both sides to a whole number of windows."""
        x = (waveform - LOW) * 2 / (HIGH - LOW) - 1
        count = 1 + max(0, math.ceil((x.shape[-1] - WINDOW) / HOP))
        short = (count - 1) * HOP + WINDOW - x.shape[-1]
        x = F.pad(x, (short // 2, short - short // 2))
        side = (N_FFT - WINDOW) // 2
        power = self.fbsp(F.pad(x.unfold(-1, WINDOW, HOP) * self.window, (side, N_FFT - WINDOW - side)))
        power = torch.where(power > 0, power, 1e-18)
        third = power.shape[-1] // 3
        return rearrange(10 * torch.log10(power[..., : 3 * third]), "b l (c f) -> b c f l", c=3)

    def forward(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b d"]:
        x = F.relu(self.bn1(self.conv1(self.spectrogram(waveform))))
        x = F.max_pool2d(x, 3, 2, padding=1)
        for i in range(1, 5):
            y = self.get_submodule(f"layer{i}")(x)
            x = y * self.get_submodule(f"att{i}")(x, y)
        mean = F.adaptive_avg_pool2d(x, 1)
        return self.fc((mean * self.att5(x, mean)).flatten(1))


def blackman_harris(length: int) -> Float[np.ndarray, "n"]:
    """The periodic Blackman-Harris window."""
    from scipy.signal import get_window

    return get_window("blackmanharris", length, fftbins=True).astype(np.float32)


class AudioClipFeatures(Extractor):
    """`features` [1024] of a whole clip, and `hundredfold`, 100 times the features, which gives the published scale of 10 000.

    The input is in [-1, 1], as in MM-Diffusion, although the head was trained on 16-bit integers. The level is therefore 90 dB
    too low, and single precision keeps about eight bits of it.

    Deviation: the network is in evaluation mode, as in JavisBench. MM-Diffusion leaves batch normalisation in training mode, so
    that its numbers depend on which 8 clips are in a batch.
    Deviation: whole clips. MM-Diffusion cuts windows of 1.6 s, the length of its own clips.
    """

    name = "audioclip"
    what = "AudioCLIP's audio embedding of a whole clip"
    input_spec: ClassVar[InputSpec] = InputSpec(audio=True, sample_rate=SAMPLE_RATE, mono=False)
    weights = (WEIGHTS,)
    settings: ClassVar = {
        "sound": "first channel, in [-1, 1], not scaled to 16-bit integers",
        "features": "1024, not normalised; hundredfold: times 100",
        "mode": "evaluation",
    }
    batch_size = 8
    network: AudioHead
    # Other widths than the published ones, for tests.
    widths: ClassVar[Mapping[str, int]] = {}

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        state = {key.removeprefix(PREFIX): v for key, v in read_state_dict(files[0]).items() if key.startswith(PREFIX)}
        # The file holds an empty bias, and older files lack the window.
        state.pop("fbsp.bias", None)
        state.setdefault("window", torch.from_numpy(blackman_harris(WINDOW)))
        self.device = device
        self.network = build_network(partial(AudioHead, **self.widths), state, name=files[0].name, device=device)

    def prepare(self, sample: Sample) -> Arrays:
        return {"waveform": get_waveform(sample)}

    @torch.inference_mode()
    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        rows = run_by_length([one["waveform"] for one in prepared], lambda sounds: [self.network(sounds)], self.device)
        return [{"features": features, "hundredfold": 100 * features} for (features,) in rows]
