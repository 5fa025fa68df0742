"""The embedded networks for video features, audio features and audio-video offsets, trained on procedural scenes.

Both streams are encoded in steps of 1/32 s, four per video frame, on which they are compared. One window is 2 s: 16 frames at 8
per second, 32,000 samples at 16 kHz, 64 steps. Windows down to 1.5 s are supported.
"""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn

FPS, SIZE, SAMPLE_RATE = 8, 64, 16000
STEP_RATE = 32
STEPS_PER_FRAME = STEP_RATE // FPS
HOP = SAMPLE_RATE // (4 * STEP_RATE)
BINS = 64
# Width of the features of a window, and of a step.
WIDTH = 32
STEP_WIDTH = 64
# Offsets are classified in -16..16 steps, half a second in either direction. The margin gives the outermost ones neighbours.
REACH, MARGIN = 16, 4


class ConvNormRelu2d(nn.Sequential):
    """A 2-D convolution, a batch norm and a ReLU."""

    def __init__(self, channels: int, out: int, size: int, stride: int | tuple[int, int] = 1) -> None:
        super().__init__(
            nn.Conv2d(channels, out, size, stride, size // 2, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)
        )


class Residual2d(nn.Module):
    """A residual 2-D convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = ConvNormRelu2d(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layer(x)


class Residual1d(nn.Module):
    """A residual convolution over time, [b c t]."""

    def __init__(self, channels: int, size: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, size, padding=size // 2, bias=False)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.relu(self.norm(self.conv(x)))


class TimeMix(nn.Module):
    """A residual convolution over time at every pixel, [b*t c h w]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0), bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor, t: int) -> Tensor:
        weight = self.conv.weight[:, :, :, 0, 0]
        h, w = x.shape[-2:]
        series = rearrange(x, "(b t) c h w -> b c t (h w)", t=t)
        mixed = F.conv2d(series.contiguous(memory_format=torch.channels_last), weight[..., None], padding=(1, 0))
        return x + F.relu(self.norm(rearrange(mixed, "b c t (h w) -> (b t) c h w", h=h, w=w)))


class PooledProjection(nn.Module):
    """Pool temporal features over time by mean and maximum, then project."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(2 * channels, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(torch.cat([x.mean(-1), x.amax(-1)], 1))


class SceneVideo(nn.Module):
    """Frames to window features [b 32] and step embeddings [b k 64], four per frame."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(6, 48, 8, 4, 2, bias=False), nn.BatchNorm2d(48), nn.ReLU(inplace=True))
        self.more1 = Residual2d(48)
        self.down2 = ConvNormRelu2d(48, 96, 3, 2)
        self.mix2 = TimeMix(96)
        self.down3 = ConvNormRelu2d(96, 144, 3, 2)
        self.more3 = Residual2d(144)
        self.mix3 = TimeMix(144)
        self.frame = nn.Conv1d(4 * 144, 192, 1)
        self.series = nn.Sequential(Residual1d(192), Residual1d(192))
        self.pooled = PooledProjection(192, width)
        self.finer = nn.Conv1d(192, STEPS_PER_FRAME * STEP_WIDTH, 3, padding=1)
        self.steps = nn.Sequential(Residual1d(STEP_WIDTH, 5), nn.Conv1d(STEP_WIDTH, STEP_WIDTH, 1))

    def forward(self, frames: Float[Tensor, "b t 3 h w"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b k e"]]:
        """Args: frames: in [0, 1], 64x64."""
        t = frames.shape[1]
        x = 2 * frames - 1
        # The difference from the previous frame, times 2, is an input channel for motion.
        change = 2 * torch.cat([torch.zeros_like(x[:, :1]), x[:, 1:] - x[:, :-1]], 1)
        y = rearrange(torch.cat([x, change], 2), "b t c h w -> (b t) c h w")
        y = y.contiguous(memory_format=torch.channels_last)
        y = self.mix2(self.down2(self.more1(self.stem(y))), t)
        y = self.mix3(self.more3(self.down3(y)), t)
        # The upper and the lower half are pooled separately too, which keeps the vertical position.
        places = torch.cat([y.mean((-2, -1)), y.amax((-2, -1)), y[..., :2, :].amax((-2, -1)), y[..., 2:, :].amax((-2, -1))], 1)
        z = self.series(F.relu(self.frame(rearrange(places, "(b t) c -> b c t", t=t))))
        fine = rearrange(self.finer(z), "b (s e) t -> b e (t s)", s=STEPS_PER_FRAME)
        return self.pooled(z), rearrange(self.steps(F.relu(fine)), "b e k -> b k e")


@lru_cache(maxsize=2)
@torch.inference_mode(False)
def filters(n_fft: int = 512) -> Tensor:
    """Triangular filters of height one on O'Shaughnessy's mel scale, 40 Hz to 8 kHz, [64 n_fft/2+1]."""
    mel = torch.linspace(2595 * math.log10(1 + 40 / 700), 2595 * math.log10(1 + 8000 / 700), BINS + 2, dtype=torch.float64)
    edges = 700 * (10 ** (mel / 2595) - 1)
    hz = torch.linspace(0, SAMPLE_RATE / 2, n_fft // 2 + 1, dtype=torch.float64)
    rising = (hz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hz) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0).float()


def log_mel(waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b f l"]:
    """log10 of the mel energy + 8, so that silence is 0; a frame every 125 samples."""
    window = torch.hann_window(512, device=waveform.device)
    padded = F.pad(waveform, (192, 195))
    spectrum = torch.stft(padded, 512, HOP, 512, window, center=False, return_complex=True)
    energy = filters().to(waveform.device) @ (spectrum.real.square() + spectrum.imag.square()) / 512
    return torch.log10(energy + 1e-8) + 8


class SceneAudio(nn.Module):
    """Audio to window features [b 32] and step embeddings [b k 64]."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Sequential(nn.Conv2d(1, 48, (8, 4), (4, 2), (2, 1), bias=False), nn.BatchNorm2d(48), nn.ReLU(inplace=True)),
            ConvNormRelu2d(48, 96, 3, 2),
            Residual2d(96),
            ConvNormRelu2d(96, 128, 3, (2, 1)),
        )
        self.series = nn.Sequential(nn.Conv1d(512, 192, 3, padding=1), nn.ReLU(), Residual1d(192, 5), Residual1d(192, 5))
        self.pooled = PooledProjection(192, width)
        self.steps = nn.Sequential(nn.Conv1d(192, STEP_WIDTH, 1), nn.ReLU(), nn.Conv1d(STEP_WIDTH, STEP_WIDTH, 1))

    def forward(self, waveform: Float[Tensor, "b n"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b k e"]]:
        """Args: waveform: in [-1, 1] at 16 kHz."""
        with torch.autocast(waveform.device.type, enabled=False):
            mel = log_mel(waveform.float()) / 4 - 1
        z = self.series(rearrange(self.layers(mel[:, None]), "b c f k -> b (c f) k"))
        return self.pooled(z), rearrange(self.steps(z), "b e k -> b k e")


class SceneSync(nn.Module):
    """Step embeddings of video and audio to the logits of 33 offsets (-16..16 steps) and of "unrelated", [b 34].

    The embeddings are multiplied at every offset, and one network classifies the products. Positive offsets: the audio is late.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(STEP_WIDTH, STEP_WIDTH, 5, padding=2)
        self.second = nn.Conv1d(STEP_WIDTH, STEP_WIDTH, 5, padding=2)
        self.offset = nn.Conv1d(STEP_WIDTH, 1, 1)
        self.unrelated = nn.Sequential(nn.Linear(2 * STEP_WIDTH, 32), nn.ReLU(), nn.Linear(32, 1))

    def products(self, video: Float[Tensor, "b k e"], audio: Float[Tensor, "b k e"]) -> Float[Tensor, "b e o"]:
        """The mean over time of video[j] * audio[j + o] in the overlap, for every channel and offset o."""
        k, reach = video.shape[1], REACH + MARGIN
        padded = F.pad(audio, (0, 0, reach, reach))
        shifted = padded.unfold(1, k, 1)  # [b o e k]
        total = torch.einsum("bke,boek->beo", video, shifted)
        overlap = k - torch.arange(-reach, reach + 1, device=video.device).abs()
        return total / overlap

    def forward(self, video: Float[Tensor, "b k e"], audio: Float[Tensor, "b k e"]) -> Float[Tensor, "b o"]:
        x = F.gelu(self.first(self.products(video, audio)))
        x = x + F.gelu(self.second(x))
        offsets = self.offset(x)[:, 0, MARGIN:-MARGIN]
        unrelated = self.unrelated(torch.cat([reduce(x, "b c o -> b c", "mean"), reduce(x, "b c o -> b c", "max")], 1))
        return torch.cat([offsets, unrelated], 1)
