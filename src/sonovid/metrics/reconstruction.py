"""Reconstruction metrics for codecs: PSNR and SSIM of frames, log-spectral distance of audio."""

import numpy as np
from jaxtyping import UInt8
from scipy.ndimage import gaussian_filter

from sonovid.metrics.base import Arrays, Extractor, InputSpec, PairedScore, Sample, UnusableClipError


def psnr(reconstructed: UInt8[np.ndarray, "t h w 3"], original: UInt8[np.ndarray, "t2 h2 w2 3"]) -> float:
    """Peak signal-to-noise ratio in dB: 10 log10(255^2 / mean squared error) over the whole clip; infinite for equal frames.

    Raises:
        UnusableClipError: the shapes differ.
    """
    if reconstructed.shape != original.shape:
        raise UnusableClipError(f"frames of shape {reconstructed.shape} against {original.shape}")
    error = np.mean((reconstructed.astype(np.float64) - original) ** 2)
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def ssim(reconstructed: UInt8[np.ndarray, "t h w 3"], original: UInt8[np.ndarray, "t2 h2 w2 3"]) -> float:
    """Structural similarity in [-1, 1], 1 for equal frames; mean over pixels and frames (Wang et al. 2004, eq. 13).

    Computed on luma (ITU-R BT.601) in [0, 255] with a Gaussian window of 11x11 pixels, standard deviation 1.5, K1 = 0.01, K2 =
    0.03, at positions where the window lies within the frame.

    Raises:
        UnusableClipError: the shapes differ, or the frames are smaller than the window.
    """
    if reconstructed.shape != original.shape:
        raise UnusableClipError(f"frames of shape {reconstructed.shape} against {original.shape}")
    if min(reconstructed.shape[1:3]) < 11:
        raise UnusableClipError(f"frames of {reconstructed.shape[2]}x{reconstructed.shape[1]}: SSIM's window is 11x11")
    return float(np.mean([_ssim(a, b) for a, b in zip(reconstructed, original, strict=True)]))


LUMA = np.array([0.299, 0.587, 0.114])


def _ssim(reconstructed: UInt8[np.ndarray, "h w 3"], original: UInt8[np.ndarray, "h2 w2 3"]) -> float:
    def mean(values: np.ndarray) -> np.ndarray:
        # A radius of 5 pixels: 3.5 standard deviations, rounded down by scipy.
        return gaussian_filter(values, 1.5, truncate=3.5)[5:-5, 5:-5]

    a, b = reconstructed @ LUMA, original @ LUMA
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mu_a, mu_b = mean(a), mean(b)
    var_a, var_b, both = mean(a * a) - mu_a**2, mean(b * b) - mu_b**2, mean(a * b) - mu_a * mu_b
    index = (2 * mu_a * mu_b + c1) * (2 * both + c2) / ((mu_a**2 + mu_b**2 + c1) * (var_a + var_b + c2))
    return float(index.mean())


class Frames(Extractor):
    """`frames` [t h w 3], uint8, as in the file."""

    name = "frames"
    what = "the frames, unchanged"
    input_spec = InputSpec(video=True)

    def prepare(self, sample: Sample) -> Arrays:
        if sample.clip is None or sample.clip.frames is None:
            raise UnusableClipError("it has no video")
        return {"frames": sample.clip.frames}


class Spectrum(Extractor):
    """`level` [l k]: STFT magnitudes of 64 ms windows every 16 ms at 16 kHz, in dB, clipped at -80 dBFS."""

    name = "spectrum"
    what = "log magnitudes of a short-time Fourier transform at 16 kHz"
    input_spec = InputSpec(audio=True, sample_rate=16000)

    def prepare(self, sample: Sample) -> Arrays:
        if sample.clip is None or sample.clip.waveform is None or sample.clip.waveform.shape[1] < 1024:
            raise UnusableClipError("its audio is shorter than 64 ms")
        blocks = np.lib.stride_tricks.sliding_window_view(sample.clip.waveform[0].astype(np.float64), 1024)[::256]
        magnitudes = np.abs(np.fft.rfft(blocks * np.hanning(1024), axis=1)) / 256
        return {"level": (20 * np.log10(np.maximum(magnitudes, 1e-4))).astype(np.float32)}


def frames_ssim(reconstructed: Arrays, original: Arrays) -> float:
    return ssim(reconstructed["frames"], original["frames"])


def frames_psnr(reconstructed: Arrays, original: Arrays) -> float:
    return psnr(reconstructed["frames"], original["frames"])


def log_spectral_distance(reconstructed: Arrays, original: Arrays) -> float:
    """The root mean square difference of levels over frequency, averaged over time, in dB (Gray & Markel 1976)."""
    least = min(len(reconstructed["level"]), len(original["level"]))
    difference = reconstructed["level"][:least].astype(np.float64) - original["level"][:least]
    return float(np.sqrt((difference**2).mean(1)).mean())


METRICS = (
    PairedScore(
        "psnr",
        "reconstruction",
        "peak signal-to-noise ratio of the frames",
        "higher",
        unit="dB",
        extractor=Frames,
        score=frames_psnr,
    ),
    PairedScore(
        "ssim",
        "reconstruction",
        "structural similarity of the luma, windows of 11x11",
        "higher",
        "Wang et al. 2004",
        extractor=Frames,
        score=frames_ssim,
    ),
    PairedScore(
        "lsd",
        "reconstruction",
        "log-spectral distance of the audio",
        "lower",
        "Gray & Markel 1976",
        "dB",
        extractor=Spectrum,
        score=log_spectral_distance,
    ),
)
