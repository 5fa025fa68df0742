"""How near reconstructions are to what was reconstructed, clip by clip: metrics of codecs."""

import numpy as np
from jaxtyping import UInt8
from scipy.ndimage import gaussian_filter

from sonovid.metrics.base import Arrays, Extractor, Material, PairedScore, Reading, Unfit


def psnr(made: UInt8[np.ndarray, "t h w 3"], true: UInt8[np.ndarray, "t2 h2 w2 3"]) -> float:
    """Peak signal to noise ratio of frames in dB: 10 log10(255^2 / mean squared error) over the whole clip; infinite where equal.

    Raises:
        Unfit: other frames than those that were reconstructed.
    """
    if made.shape != true.shape:
        raise Unfit(f"frames of shape {made.shape} against {true.shape}")
    error = np.mean((made.astype(np.float64) - true) ** 2)
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def ssim(made: UInt8[np.ndarray, "t h w 3"], true: UInt8[np.ndarray, "t2 h2 w2 3"]) -> float:
    """Structural similarity of frames in [-1, 1], 1 where equal, mean over places and frames (Wang et al. 2004, eq. 13).

    Of luma (ITU-R BT.601) in [0, 255], under a Gaussian window of 11x11 pixels with a deviation of 1.5, K1 = 0.01, K2 = 0.03,
    where the window lies within the picture.

    Raises:
        Unfit: other frames than those that were reconstructed, or pictures smaller than the window.
    """
    if made.shape != true.shape:
        raise Unfit(f"frames of shape {made.shape} against {true.shape}")
    if min(made.shape[1:3]) < 11:
        raise Unfit(f"pictures of {made.shape[2]}x{made.shape[1]}: SSIM's window is 11x11")
    return float(np.mean([_ssim(a, b) for a, b in zip(made, true, strict=True)]))


LUMA = np.array([0.299, 0.587, 0.114])


def _ssim(made: UInt8[np.ndarray, "h w 3"], true: UInt8[np.ndarray, "h2 w2 3"]) -> float:
    def mean(values: np.ndarray) -> np.ndarray:
        # A radius of 5 pixels: 3.5 deviations, rounded down as scipy does.
        return gaussian_filter(values, 1.5, truncate=3.5)[5:-5, 5:-5]

    a, b = made @ LUMA, true @ LUMA
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mu_a, mu_b = mean(a), mean(b)
    var_a, var_b, both = mean(a * a) - mu_a**2, mean(b * b) - mu_b**2, mean(a * b) - mu_a * mu_b
    index = (2 * mu_a * mu_b + c1) * (2 * both + c2) / ((mu_a**2 + mu_b**2 + c1) * (var_a + var_b + c2))
    return float(index.mean())


class Frames(Extractor):
    """`frames` [t h w 3], uint8, as they are in the file."""

    name = "frames"
    what = "the frames themselves"
    reading = Reading(video=True)

    def prepare(self, material: Material) -> Arrays:
        if material.clip is None or material.clip.frames is None:
            raise Unfit("it has no pictures")
        return {"frames": material.clip.frames}


class Spectrum(Extractor):
    """`level` [l k]: magnitudes of windows of 64 ms every 16 ms at 16 kHz, in dB above -80 dB of full scale."""

    name = "spectrum"
    what = "levels of a short-time Fourier transform at 16 kHz"
    reading = Reading(audio=True, sample_rate=16000)

    def prepare(self, material: Material) -> Arrays:
        if material.clip is None or material.clip.waveform is None or material.clip.waveform.shape[1] < 1024:
            raise Unfit("its sound is shorter than 64 ms")
        blocks = np.lib.stride_tricks.sliding_window_view(material.clip.waveform[0].astype(np.float64), 1024)[::256]
        magnitudes = np.abs(np.fft.rfft(blocks * np.hanning(1024), axis=1)) / 256
        return {"level": (20 * np.log10(np.maximum(magnitudes, 1e-4))).astype(np.float32)}


def frames_ssim(made: Arrays, true: Arrays) -> float:
    return ssim(made["frames"], true["frames"])


def frames_psnr(made: Arrays, true: Arrays) -> float:
    return psnr(made["frames"], true["frames"])


def log_spectral_distance(made: Arrays, true: Arrays) -> float:
    """The root mean square difference of levels over frequencies, averaged over time, in dB (Gray & Markel 1976)."""
    least = min(len(made["level"]), len(true["level"]))
    difference = made["level"][:least].astype(np.float64) - true["level"][:least]
    return float(np.sqrt((difference**2).mean(1)).mean())


METRICS = (
    PairedScore(
        "psnr",
        "reconstruction",
        "peak signal to noise ratio of the frames",
        "higher",
        unit="dB",
        extractor=Frames,
        score=frames_psnr,
    ),
    PairedScore(
        "ssim",
        "reconstruction",
        "structural similarity of the frames' luma, windows of 11x11",
        "higher",
        "Wang et al. 2004",
        extractor=Frames,
        score=frames_ssim,
    ),
    PairedScore(
        "lsd",
        "reconstruction",
        "log-spectral distance of the sounds",
        "lower",
        "Gray & Markel 1976",
        "dB",
        extractor=Spectrum,
        score=log_spectral_distance,
    ),
)
