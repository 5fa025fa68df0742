"""CAVP, Diff-Foley's first stage (Luo et al. 2023): joint embeddings of video and audio, four per second.

The original code needs a library that does not support current versions of torch. Both networks are implemented here with the
published state dict keys.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.metrics.base import Arrays, Extractor, InputSpec, Sample, UnusableClipError, WeightFile
from sonovid.metrics.extractors.clap import get_waveform
from sonovid.metrics.extractors.frames import get_frames
from sonovid.metrics.extractors.front_ends import resize_bilinear, slaney_filters
from sonovid.metrics.extractors.weights import build_network, read_state_dict

FPS, SAMPLE_RATE, SIDE = 4, 16000, 224
N_FFT, HOP, BINS, LOW, HIGH = 1024, 250, 128, 125, 7600
PARTS = ("video_encoder.", "video_project_head.", "spec_encoder.")

WEIGHTS = WeightFile(
    "cavp_epoch66.ckpt",
    "the Hugging Face hub (hf download SimianLuo/Diff-Foley diff_foley_ckpt/cavp_epoch66.ckpt)",
    sha256="3472c2217a9481f530a96e32611c9e4611766f10b7f0d185a1ce35be7b7f9c80",
    licence="Apache-2.0",
)


class Unit(nn.Module):
    """A 3-D convolution and a batch norm."""

    def __init__(self, in_channels: int, out_channels: int, kernel: tuple[int, int, int], stride: int = 1) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        self.conv = nn.Conv3d(in_channels, out_channels, kernel, (1, stride, stride), padding, bias=False)
        self.bn = nn.BatchNorm3d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class Bottleneck(nn.Module):
    """A residual block of three units; the first one of a `temporal` block convolves over time."""

    def __init__(self, in_channels: int, width: int, stride: int, *, temporal: bool, first: bool) -> None:
        super().__init__()
        self.conv1 = Unit(in_channels, width, (3, 1, 1) if temporal else (1, 1, 1))
        self.conv2 = Unit(width, width, (1, 3, 3), stride)
        self.conv3 = Unit(width, 4 * width, (1, 1, 1))
        self.downsample = Unit(in_channels, 4 * width, (1, 1, 1), stride) if first else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv3(F.relu(self.conv2(F.relu(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class SlowOnly(nn.Module):
    """SlowOnly ResNet-50, without temporal striding; the last two stages convolve over time, [b 3 t h w] -> [b t d]."""

    def __init__(self, width: int, depths: Sequence[int]) -> None:
        super().__init__()
        self.conv1 = Unit(3, width, (1, 7, 7), 2)
        in_channels = width
        for i, depth in enumerate(depths):
            wide = width * 2**i
            blocks = [
                Bottleneck(in_channels if j == 0 else 4 * wide, wide, 2 if i and j == 0 else 1, temporal=i >= 2, first=j == 0)
                for j in range(depth)
            ]
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
            in_channels = 4 * wide
        self.stages = len(depths)

    def forward(self, images: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b t d"]:
        x = F.max_pool3d(F.relu(self.conv1(images)), (1, 3, 3), (1, 2, 2), (0, 1, 1))
        for i in range(self.stages):
            x = self.get_submodule(f"layer{i + 1}")(x)
        return x.mean((-2, -1)).mT


class ConvBlock(nn.Module):
    """Two 3x3 convolutions of Cnn14."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(n, out_channels, 3, padding=1, bias=False) for n in (in_channels, out_channels))
        self.bn1, self.bn2 = nn.BatchNorm2d(out_channels), nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class SpectrogramEncoder(nn.Module):
    """A Cnn14 with time reduced by 16, [b l f] -> [b t d]. Its hidden layer is applied twice, as in training."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(BINS)
        widths = [1, *(width * 2**i for i in range(6))]
        for i in range(6):
            self.add_module(f"conv_block{i + 1}", ConvBlock(widths[i], widths[i + 1]))
        self.fc1 = nn.Linear(widths[-1], widths[-1])
        self.final_project = nn.Linear(widths[-1], out)

    def forward(self, mel: Float[Tensor, "b l f"]) -> Float[Tensor, "b t d"]:
        x = rearrange(self.bn(rearrange(mel, "b l f -> b f l 1")), "b f l 1 -> b 1 l f")
        for i, pool in enumerate(((2, 2), (2, 2), (2, 2), (2, 2), (1, 2), (1, 1))):
            x = F.avg_pool2d(self.get_submodule(f"conv_block{i + 1}")(x), pool)
        x = x.mean(3)
        x = (F.max_pool1d(x, 3, 1, 1) + F.avg_pool1d(x, 3, 1, 1)).mT
        return self.final_project(F.relu(self.fc1(F.relu(self.fc1(x)))))


class CavpNetwork(nn.Module):
    """The video and the audio encoder."""

    def __init__(self, width: int = 64, depths: Sequence[int] = (3, 4, 6, 3), out: int = 512) -> None:
        super().__init__()
        self.video_encoder = SlowOnly(width, depths)
        self.video_project_head = nn.Linear(4 * width * 2 ** (len(depths) - 1), out)
        self.spec_encoder = SpectrogramEncoder(width, out)

    def encode_video(self, images: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b t d"]:
        return self.video_project_head(self.video_encoder(images))

    def encode_audio(self, mel: Float[Tensor, "b l f"]) -> Float[Tensor, "b t d"]:
        return self.spec_encoder(mel)


def log_mel(waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b l f"]:
    """Log-mel spectrogram of whole seconds in [0, 1]: (20 log10(max(mel, 1e-5)) + 80) / 100, clipped, 64 frames per second.

    Hann windows of 1024 samples every 250, centred and zero-padded (librosa); Slaney's filters, 125 to 7600 Hz.
    """
    # Without the last sample, so that n seconds give 64 n frames and not one more.
    window = torch.hann_window(N_FFT, device=waveform.device)
    spectrum = torch.stft(waveform[:, :-1], N_FFT, HOP, N_FFT, window, center=True, pad_mode="constant", return_complex=True)
    mel = slaney_filters(BINS, N_FFT, SAMPLE_RATE, LOW, HIGH).to(waveform) @ spectrum.abs()
    return ((20 * torch.log10(mel.clamp(min=1e-5)) + 80) / 100).clamp(0, 1).mT


class Cavp(Extractor):
    """Base of the video and the audio extractor: `features` [t 512], a row per quarter of a second, over whole seconds."""

    weights = (WEIGHTS,)
    batch_size = 1
    sizes: ClassVar[Mapping[str, Any]] = {}

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        file = Path(files[0])
        state = {key.removeprefix("module."): value for key, value in read_state_dict(file).items()}
        own = {key: value for key, value in state.items() if key.startswith(PARTS)}
        self.network = build_network(partial(CavpNetwork, **self.sizes), own, name=file.name, device=device)
        self.device = device


class CavpVideo(Cavp):
    """`features` of video at 4 frames per second, resized to 224x224 without keeping the aspect ratio (as Pillow), in [0, 1]."""

    name = "cavp_video"
    what = "CAVP's embedding of video, four per second"
    input_spec: ClassVar[InputSpec] = InputSpec(video=True, fps=Fraction(FPS))
    settings: ClassVar = {"resize": "squash to 224x224, bilinear with antialias, rounded", "seconds": "whole ones"}

    def prepare(self, sample: Sample) -> Arrays:
        frames = get_frames(sample)
        if len(frames) < FPS:
            raise UnusableClipError(f"has {len(frames) / FPS:.2f} s of video; CAVP needs whole seconds")
        images = rearrange(torch.from_numpy(frames[: len(frames) // FPS * FPS]), "t h w c -> t c h w").float()
        return {"pictures": resize_bilinear(images, (SIDE, SIDE), antialias=True).round().byte().numpy()}

    @torch.inference_mode()
    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        # One clip at a time: lengths differ, and the network convolves over time.
        images = (torch.from_numpy(p["pictures"]).transpose(0, 1)[None].to(self.device) / 255 for p in prepared)
        return [{"features": self.network.encode_video(some)[0].cpu().numpy()} for some in images]


class CavpAudio(Cavp):
    """`features` of audio, four per second."""

    name = "cavp_audio"
    what = "CAVP's embedding of audio, four per second"
    input_spec: ClassVar[InputSpec] = InputSpec(audio=True, sample_rate=SAMPLE_RATE, mono=True)
    settings: ClassVar = {"front end": "mel magnitudes in decibels, 128 bins, hop 250", "seconds": "whole ones"}

    def prepare(self, sample: Sample) -> Arrays:
        waveform = get_waveform(sample)
        if len(waveform) < SAMPLE_RATE:
            raise UnusableClipError(f"has {len(waveform) / SAMPLE_RATE:.2f} s of audio; CAVP needs whole seconds")
        return {"waveform": waveform[: len(waveform) // SAMPLE_RATE * SAMPLE_RATE]}

    @torch.inference_mode()
    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        sounds = (torch.from_numpy(p["waveform"])[None].to(self.device) for p in prepared)
        return [{"features": self.network.encode_audio(log_mel(some))[0].cpu().numpy()} for some in sounds]
