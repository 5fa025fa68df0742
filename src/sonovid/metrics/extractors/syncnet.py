"""SyncNet (Chung & Zisserman 2016): embeddings of mouth and speech at each frame, whose distances give LSE-D and LSE-C.

The network and the measure of Prajwal et al. 2020 (Wav2Lip, section 5.2) are implemented here with the published state dict keys.

Deviation: the published pipeline first finds and tracks faces, and crops them. Here a clip must be such a face track; any clip is
resized to 224x224 as a whole. So the scores of clips with more than one face and its surroundings are not comparable to published
ones.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Float32, Float64
from torch import Tensor, nn

from sonovid.metrics.base import Arrays, Extractor, InputSpec, Sample, UnusableClipError, WeightFile
from sonovid.metrics.extractors.clap import get_waveform
from sonovid.metrics.extractors.frames import get_frames
from sonovid.metrics.extractors.front_ends import resize_bilinear
from sonovid.metrics.extractors.weights import build_network, read_state_dict

FPS, SAMPLE_RATE, SIDE = Fraction(25), 16000, 224
# A window has 5 frames and 20 steps of cepstra; one begins at each frame, which lasts 4 steps and 640 samples.
FRAMES, STEPS, STEPS_PER_FRAME, SAMPLES_PER_FRAME = 5, 20, 4, 640
CEPSTRA, FILTERS, N_FFT, WINDOW, HOP = 13, 26, 512, 400, 160
PRE_EMPHASIS, LIFTER = 0.97, 22
# Offsets up to 15 frames, 0.6 s, either way.
MAX_SHIFT = 15
# Windows per forward pass.
CHUNK = 32

WEIGHTS = WeightFile(
    "syncnet_v2.model",
    "https://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model (54 MB)",
    licence="MIT (of the code; the weights state none)",
)


class SyncNet(nn.Module):
    """Both encoders.

    Args:
        narrow: divisor of the published widths, for tests.
        features: width of the embeddings.
    """

    def __init__(self, narrow: int = 1, features: int = 1024) -> None:
        super().__init__()
        a, b, c, d, e, f = (n // narrow for n in (64, 192, 384, 256, 96, 512))

        def sound(i: int, o: int, kernel: tuple[int, int] = (3, 3), padding: int = 1) -> list[nn.Module]:
            return [nn.Conv2d(i, o, kernel, padding=padding), nn.BatchNorm2d(o), nn.ReLU()]

        def lip(i: int, o: int, kernel: tuple[int, int, int] = (1, 3, 3), stride: int = 1, padding: int = 1) -> list[nn.Module]:
            return [nn.Conv3d(i, o, kernel, (1, stride, stride), (0, padding, padding)), nn.BatchNorm3d(o), nn.ReLU()]

        self.netcnnaud = nn.Sequential(
            *sound(1, a),
            nn.MaxPool2d(1, 1),
            *sound(a, b),
            nn.MaxPool2d(3, (1, 2)),
            *sound(b, c),
            *sound(c, d),
            *sound(d, d),
            nn.MaxPool2d(3, 2),
            *sound(d, f, (5, 4), 0),
        )
        self.netcnnlip = nn.Sequential(
            *lip(3, e, (5, 7, 7), 2, 0),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *lip(e, d, (1, 5, 5), 2),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            *lip(d, d),
            *lip(d, d),
            *lip(d, d),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *lip(d, f, (1, 6, 6), 1, 0),
        )
        self.netfcaud, self.netfclip = (
            nn.Sequential(nn.Linear(f, f), nn.BatchNorm1d(f), nn.ReLU(), nn.Linear(f, features)) for _ in range(2)
        )

    def encode_video(self, frames: Float[Tensor, "1 3 t h w"]) -> Float[Tensor, "n d"]:
        """Embeddings of the t - 4 windows of a stretch of frames, BGR in [0, 255].

        Only the first convolution spans several frames, so that a stretch is encoded at once.
        """
        return self.netfclip(rearrange(self.netcnnlip(frames), "1 c n 1 1 -> n c"))

    def encode_audio(self, windows: Float[Tensor, "n 1 k l"]) -> Float[Tensor, "n d"]:
        """Embeddings of windows of 13 cepstra and 20 steps."""
        return self.netfcaud(self.netcnnaud(windows).flatten(1))


@lru_cache(maxsize=1)
def _filters() -> Float64[np.ndarray, "f s"]:
    """26 triangular filters of height one, with edges at whole FFT bins, spaced on HTK's mel scale from 0 to 8000 Hz."""
    mel = np.linspace(0, 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700), FILTERS + 2)
    edges = np.floor((N_FFT + 1) * 700 * (10 ** (mel / 2595) - 1) / SAMPLE_RATE)[:, None]
    bins = np.arange(N_FFT // 2 + 1)
    # The upper edge belongs to no filter, and the middle to the falling side.
    rising = (bins >= edges[:-2]) & (bins < edges[1:-1])
    falling = (bins >= edges[1:-1]) & (bins < edges[2:])
    with np.errstate(divide="ignore", invalid="ignore"):
        up, down = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2]), (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.where(rising, up, np.where(falling, down, 0.0))


def cepstra(waveform: Float32[np.ndarray, " n"]) -> Float32[np.ndarray, "l k"]:
    """13 mel-frequency cepstral coefficients every 10 ms, as python_speech_features computes them by default.

    Of 16-bit samples: pre-emphasis, rectangular windows of 400 samples, power of 512 points, 26 filters, an orthonormal DCT,
    liftering; the first coefficient is the logarithm of the window's energy.

    Args:
        waveform: samples in [-1, 1] at 16 kHz.
    """
    from scipy.fft import dct

    samples = np.round(waveform.astype(np.float64) * 32768).clip(-32768, 32767)
    samples = np.append(samples[:1], samples[1:] - PRE_EMPHASIS * samples[:-1])
    count = 1 + max(0, -(-(len(samples) - WINDOW) // HOP))
    samples = np.pad(samples, (0, (count - 1) * HOP + WINDOW - len(samples)))
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(windows, N_FFT)) ** 2 / N_FFT
    least = np.finfo(float).eps
    energy, bands = power.sum(1), power @ _filters().T
    energy, bands = (np.where(x == 0, least, x) for x in (energy, bands))
    coefficients = dct(np.log(bands), type=2, axis=1, norm="ortho")[:, :CEPSTRA]
    coefficients *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(CEPSTRA) / LIFTER)
    coefficients[:, 0] = np.log(energy)
    return coefficients.astype(np.float32)


class SyncNetStream(Extractor):
    """Base of the video and the audio extractor: `features` [n 1024], one row for each frame but the last five."""

    weights = (WEIGHTS,)
    batch_size = 1
    sizes: ClassVar[Mapping[str, Any]] = {}

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        file = Path(files[0])
        self.network = build_network(partial(SyncNet, **self.sizes), read_state_dict(file), name=file.name, device=device)
        self.device = device


class SyncNetVideo(SyncNetStream):
    """`features` of the mouth in 5 frames at 25 per second."""

    name = "syncnet_video"
    what = "SyncNet's embedding of a face track, at each frame"
    input_spec: ClassVar[InputSpec] = InputSpec(video=True, fps=FPS)
    settings: ClassVar = {"resize": "squash to 224x224, bilinear, rounded", "faces": "the clip is a face track"}

    def prepare(self, sample: Sample) -> Arrays:
        frames = get_frames(sample, FRAMES + 1)
        images = rearrange(torch.from_numpy(frames), "t h w c -> t c h w").float()
        return {"pictures": resize_bilinear(images, (SIDE, SIDE), antialias=False).round().byte().numpy()}

    @torch.inference_mode()
    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        done: list[Arrays] = []
        for pictures in (p["pictures"] for p in prepared):
            frames = torch.from_numpy(pictures).flip(1).transpose(0, 1)[None]
            starts = range(0, len(pictures) - FRAMES, CHUNK)
            ends = (min(start + CHUNK, len(pictures) - FRAMES) + FRAMES - 1 for start in starts)
            some = (frames[:, :, start:end].float().to(self.device) for start, end in zip(starts, ends, strict=True))
            done.append({"features": torch.cat([self.network.encode_video(part) for part in some]).cpu().numpy()})
        return done


class SyncNetAudio(SyncNetStream):
    """`features` of the speech in 0.2 s, at each frame of video."""

    name = "syncnet_audio"
    what = "SyncNet's embedding of speech, 25 per second"
    input_spec: ClassVar[InputSpec] = InputSpec(audio=True, sample_rate=SAMPLE_RATE, mono=True)
    settings: ClassVar = {"front end": "13 cepstra of python_speech_features every 10 ms, of 16-bit samples"}

    def prepare(self, sample: Sample) -> Arrays:
        waveform = get_waveform(sample)
        count = len(waveform) // SAMPLES_PER_FRAME - FRAMES
        if count < 1:
            raise UnusableClipError(f"has {len(waveform) / SAMPLE_RATE:.2f} s of audio; SyncNet needs 0.24 s")
        return {"cepstra": cepstra(waveform), "count": np.array(count)}

    @torch.inference_mode()
    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        done: list[Arrays] = []
        for one in prepared:
            windows = torch.from_numpy(one["cepstra"]).T.unfold(1, STEPS, STEPS_PER_FRAME)[:, : int(one["count"])]
            windows = rearrange(windows, "k n l -> n 1 k l")
            rows = [self.network.encode_audio(part.to(self.device)) for part in windows.split(8 * CHUNK)]
            done.append({"features": torch.cat(rows).cpu().numpy()})
        return done


def mean_distances(video: Arrays, audio: Arrays) -> Float32[np.ndarray, " s"]:
    """The mean distance of video and audio at each of 31 shifts, from 15 frames early to 15 frames late audio.

    Beyond its ends the audio's embeddings are zero, as published. Of different lengths the shorter counts.
    """
    count = min(len(video["features"]), len(audio["features"]))
    frames, sound = (torch.from_numpy(np.array(one["features"][:count])) for one in (video, audio))
    shifted = F.pad(sound, (0, 0, MAX_SHIFT, MAX_SHIFT)).unfold(0, count, 1)
    return torch.stack([F.pairwise_distance(frames, shifted[i].T).mean() for i in range(2 * MAX_SHIFT + 1)]).numpy()
