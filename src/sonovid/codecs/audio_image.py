"""Sound as a picture: a mel spectrogram in grey, as large as a video frame, and back (MM-LDM, section 3.1)."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from sonovid.codecs.mel import LogMel

# Decibels of a magnitude in one unit of its natural logarithm.
DECIBELS = 20 / math.log(10)


def released_mel() -> LogMel:
    """The spectrogram of the released code: HiFi-GAN's for 22.05 kHz, 80 bins, 80 x 275 for 70 560 samples.

    Deviation: the released code reads sound at 44.1 kHz and yet takes HiFi-GAN's constants as they are, so bins meant for 0 to
    8 kHz hold 0 to 16 kHz, and the vocoder takes one rate for the other. Give it 44.1 kHz and 22.05 kHz alike: it only sees
    samples.
    """
    return LogMel(sample_rate=22050, bins=80, hop=256, partial=True)


@dataclass(frozen=True)
class AudioImage:
    """Log-mel frames to an RGB picture with 8 bits a channel, and back.

    height, width: of the picture. low, high: the levels that are black and white, in decibels of the mel magnitude; what lies
    beyond is cut off. Row 0 is the lowest bin, time goes along the columns, the picture's shape is not kept (bicubic).
    """

    height: int = 256
    width: int = 256
    low: float | int = -80.0
    high: float | int = 20.0

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1 or self.low >= self.high:
            raise ValueError(
                f"AudioImage: {self.height}x{self.width} for {self.low} to {self.high} dB; expected a picture and a rising range"
            )

    def grey(self, log_mel: Float[Tensor, "b f l"]) -> UInt8[Tensor, "b f l"]:
        """Natural logarithms of mel magnitudes as 256 levels; within the range they are off by half a level at most."""
        level = (DECIBELS * log_mel - self.low) / (self.high - self.low)
        return (255 * level.clamp(0, 1)).round().to(torch.uint8)

    def levels(self, grey: Float[Tensor, "b f l"]) -> Float[Tensor, "b f l"]:
        """The inverse of `grey`, for greys from 0 to 255 that need not be whole."""
        return (self.low + (self.high - self.low) * grey.clamp(0, 255) / 255) / DECIBELS

    def encode(self, log_mel: Float[Tensor, "b f l"]) -> Float[Tensor, "b 3 h w"]:
        """The picture in [-1, 1]; its three channels are the same, and its values the 256 that a file could hold."""
        small = self.grey(log_mel).float()[:, None]
        # Pillow holds bytes between its two passes too.
        wide = resized(small, small.shape[2], self.width).round().clamp(0, 255)
        picture = resized(wide, self.height, self.width).round().clamp(0, 255)
        return (picture / 127.5 - 1).expand(-1, 3, -1, -1)

    def decode(self, picture: Float[Tensor, "b 3 h w"], bins: int, steps: int) -> Float[Tensor, "b f l"]:
        """Log-mel frames of a picture that need not be grey: the mean of its channels counts.

        bins, steps: the spectrogram's own size, which the picture does not tell.

        Deviation: the paper says nothing of the way back. Resizing is linear, so the frames that resize to this picture are found
        by least squares: half the error of resizing the picture back.

        Raises:
            ValueError: a picture of another size.
        """
        if tuple(picture.shape[2:]) != (self.height, self.width):
            raise ValueError(f"audio image of {picture.shape[2]}x{picture.shape[3]}, expected {self.height}x{self.width}")
        grey = 127.5 * (picture.mean(1, keepdim=True).clamp(-1, 1) + 1)
        rows, columns = restoring(bins, self.height).to(grey), restoring(steps, self.width).to(grey)
        return self.levels(rows @ grey[:, 0] @ columns.T)


def resized(picture: Float[Tensor, "b c h w"], height: int, width: int) -> Float[Tensor, "b c h2 w2"]:
    """A picture at another size, bicubic as Pillow has it: smoothed before it shrinks."""
    return F.interpolate(picture, (height, width), mode="bicubic", antialias=True, align_corners=False)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
@torch.no_grad()
def restoring(size: int, resized_to: int, ridge: float = 1e-3) -> Float[Tensor, "n m"]:
    """The matrix from rows that were resized back to those that they came from, by least squares with a slight ridge.

    The ridge keeps what shrinking nearly wiped out from being blown up with the noise on it.
    """
    matrix = resized(torch.eye(size, dtype=torch.float64)[None, None], resized_to, size)[0, 0]
    inverse = torch.linalg.solve(matrix.T @ matrix + ridge * torch.eye(size, dtype=torch.float64), matrix.T)
    # The ridge would darken: what is constant stays as it is.
    return (inverse / inverse.sum(1, keepdim=True)).float()
