"""Preprocessing of published networks: log-mel spectrograms and resizing rules of their authors.

A network's numbers depend on its preprocessing as much as on its weights. The tests compare each function with the original code.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

# The machine epsilon of float32, at which Kaldi clips band energies.
KALDI_FLOOR = 1.1920928955078125e-07


def htk_mel(hz: Float[Tensor, "*m"]) -> Float[Tensor, "*m"]:
    """O'Shaughnessy's mel scale with HTK's constants."""
    return 1127 * torch.log1p(hz / 700)


def slaney_mel(hz: Float[Tensor, "*m"]) -> Float[Tensor, "*m"]:
    """Slaney's mel scale: linear below 1 kHz, logarithmic above (Auditory Toolbox, 1998), librosa's default."""
    return torch.where(hz < 1000, hz * 3 / 200, 15 + torch.log(hz.clamp(min=1) / 1000) * 27 / math.log(6.4))


def slaney_hz(mel: Float[Tensor, "*m"]) -> Float[Tensor, "*m"]:
    """The inverse of `slaney_mel`."""
    return torch.where(mel < 15, mel * 200 / 3, 1000 * torch.exp((mel - 15) * math.log(6.4) / 27))


def _range(low: float | int, high: float | int, count: int) -> Tensor:
    return torch.linspace(low, high, count, dtype=torch.float64)


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def htk_filters(bins: int, n_fft: int, sample_rate: int, low: float | int, high: float | int) -> Float[Tensor, "f s"]:
    """Triangular filters of height one, linear on the mel scale, as in VGGish and Kaldi, [bins, n_fft / 2 + 1].

    The bins at 0 Hz and at half the sample rate have weight zero.
    """
    ends = htk_mel(torch.tensor([low, high], dtype=torch.float64))
    edges = _range(float(ends[0]), float(ends[1]), bins + 2)
    mel = htk_mel(_range(0, sample_rate / 2, n_fft // 2 + 1))
    rising = (mel - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - mel) / (edges[2:] - edges[1:-1])[:, None]
    filters = torch.minimum(rising, falling).clamp(min=0)
    filters[:, [0, -1]] = 0
    return filters.float()


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def slaney_filters(bins: int, n_fft: int, sample_rate: int, low: float | int, high: float | int) -> Float[Tensor, "f s"]:
    """Triangular filters of equal area, linear in hertz (librosa's default), [bins, n_fft / 2 + 1]."""
    ends = slaney_mel(torch.tensor([low, high], dtype=torch.float64))
    edges = slaney_hz(_range(float(ends[0]), float(ends[1]), bins + 2))
    hz = _range(0, sample_rate / 2, n_fft // 2 + 1)
    rising = (hz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hz) / (edges[2:] - edges[1:-1])[:, None]
    return (torch.minimum(rising, falling).clamp(min=0) * (2 / (edges[2:] - edges[:-2]))[:, None]).float()


def vggish_log_mel(waveform: Float[Tensor, "n"]) -> Float[Tensor, "l f"]:
    """VGGish's spectrogram of audio at 16 kHz, [l 64]: log(magnitude + 0.01), 125 to 7500 Hz (Hershey et al. 2017, section 2).

    Windows of 400 samples every 160 without padding, periodic Hann, FFT size 512, in double precision as published. Audio of
    fewer than 400 samples gives no frames.
    """
    frames = _windows(waveform.double(), 400, 160) * torch.hann_window(400, dtype=torch.float64, device=waveform.device)
    if not len(frames):
        return waveform.new_zeros(0, 64)
    magnitude = torch.fft.rfft(frames, 512).abs()
    return torch.log(magnitude @ htk_filters(64, 512, 16000, 125, 7500).to(magnitude).T + 0.01).float()


def vggish_patches(waveform: Float[Tensor, "n"]) -> Float[Tensor, "k l f"]:
    """Non-overlapping patches of 0.96 s of `vggish_log_mel`, [k 96 64]; the remainder is dropped.

    One patch needs 0.975 s (15 600 samples).
    """
    mel = vggish_log_mel(waveform)
    return rearrange(mel[: len(mel) // 96 * 96], "(k l) f -> k l f", l=96)


def panns_log_mel(waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b l f"]:
    """Cnn14_16k's spectrogram of audio at 16 kHz, [b l 64]: power in decibels, 50 to 8000 Hz (Kong et al. 2020, section V-A).

    Windows of 512 samples every 160, centred with reflection padding; Slaney's filters of equal area; floor 1e-10.
    """
    window = torch.hann_window(512, device=waveform.device)
    spectrum = torch.stft(waveform, 512, 160, 512, window, center=True, pad_mode="reflect", return_complex=True)
    power = spectrum.real.square() + spectrum.imag.square()
    mel = slaney_filters(64, 512, 16000, 50, 8000).to(power) @ power
    return rearrange(10 * torch.log10(mel.clamp(min=1e-10)), "b f l -> b l f")


def kaldi_fbank(
    waveform: Float[Tensor, "n"],
    *,
    bins: int = 128,
    sample_rate: int = 16000,
    low: float | int = 20,
    high: float | int | None = None,
) -> Float[Tensor, "l f"]:
    """Kaldi's filter banks as used by AST, ImageBind and PaSST-like networks: log energies, [l bins].

    Windows of 25 ms every 10 ms without padding, mean removed, pre-emphasis 0.97, symmetric Hann, FFT size the next power of two,
    no dither. The waveform is in [-1, 1] and is not scaled to 16-bit integers.

    Args:
        waveform: mono.
        bins: number of filters.
        sample_rate: in Hz.
        low: the lower edge of the filters in Hz.
        high: the upper edge in Hz; None: half the sample rate.
    """
    length, hop = sample_rate // 40, sample_rate // 100
    n_fft = 1 << (length - 1).bit_length()
    frames = _windows(waveform.double(), length, hop)
    if not len(frames):
        return waveform.new_zeros(0, bins)
    frames = frames - frames.mean(-1, keepdim=True)
    frames = frames - 0.97 * F.pad(frames[:, None], (1, 0), mode="replicate")[:, 0, :-1]
    frames = frames * torch.hann_window(length, periodic=False, dtype=torch.float64, device=waveform.device)
    spectrum = torch.fft.rfft(frames, n_fft)
    power = spectrum.real.square() + spectrum.imag.square()
    filters = htk_filters(bins, n_fft, sample_rate, low, sample_rate / 2 if high is None else high)
    return (power @ filters.to(power).T).clamp(min=KALDI_FLOOR).log().float()


def map_frames(
    frames: UInt8[np.ndarray, "t h w 3"],
    rule: Callable[[Float[Tensor, "s c h w"]], Float[Tensor, "s c H W"]],
    chunk_size: int = 4,
) -> Float[Tensor, "t c H W"]:
    """Apply a per-frame function to uint8 frames, a few at a time: a long video in floats needs four times the memory."""
    parts = (torch.from_numpy(frames[i : i + chunk_size]) for i in range(0, len(frames), chunk_size))
    return torch.cat([rule(rearrange(part, "t h w c -> t c h w").float()) for part in parts])


def resize_bilinear(
    frames: Float[Tensor, "t c h w"], size: tuple[int, int], *, antialias: bool = False
) -> Float[Tensor, "t c H W"]:
    """Bilinear resize to `size`, ignoring the aspect ratio. antialias: as Pillow; without: as OpenCV."""
    return F.interpolate(frames, size, mode="bilinear", align_corners=False, antialias=antialias)


def resize_center_crop(frames: Float[Tensor, "t c h w"], side: int, *, antialias: bool = False) -> Float[Tensor, "t c H W"]:
    """Bilinear resize of the shorter side to `side`, then a centre crop to a square (TATS, MM-Diffusion).

    The longer side is rounded up; the offset of the crop is rounded down.
    """
    h, w = frames.shape[-2:]
    scale = side / min(h, w)
    size = (side, math.ceil(w * scale)) if h < w else (math.ceil(h * scale), side)
    frames = F.interpolate(frames, size, mode="bilinear", align_corners=False, antialias=antialias)
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    return frames[..., top : top + side, left : left + side]


def resize_bicubic(frames: Float[Tensor, "t c h w"], size: tuple[int, int]) -> Float[Tensor, "t c H W"]:
    """Bicubic resize to `size` without antialiasing or clipping: OpenCV's INTER_CUBIC on floats."""
    return F.interpolate(frames, size, mode="bicubic", align_corners=False)


def resize_tf1_bilinear(frames: Float[Tensor, "t c h w"], size: tuple[int, int]) -> Float[Tensor, "t c H W"]:
    """TensorFlow 1's resize_bilinear: pixels lie at integer coordinates, which shifts the image towards its upper left corner."""
    for axis, wanted in zip((-2, -1), size, strict=True):
        length = frames.shape[axis]
        place = torch.arange(wanted, dtype=torch.float64, device=frames.device) * length / wanted
        first = place.floor().long()
        share = (place - first).to(frames)
        share = share[:, None] if axis == -2 else share
        before = frames.index_select(axis, first)
        frames = before + (frames.index_select(axis, (first + 1).clamp(max=length - 1)) - before) * share
    return frames


def _windows(waveform: Tensor, length: int, hop: int) -> Tensor:
    """Overlapping windows that lie entirely within the waveform, [l length]."""
    if len(waveform) < length:
        return waveform.new_zeros(0, length)
    return waveform.unfold(0, length, hop)
