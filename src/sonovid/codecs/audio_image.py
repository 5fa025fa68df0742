"""Audio images: a mel spectrogram as a greyscale image, in the paper of the size of a video frame, and back (MM-LDM, 3.1)."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from sonovid.codecs.mel import LogMel

# Decibels per unit of the natural logarithm of a magnitude.
DECIBELS = 20 / math.log(10)


def released_mel() -> LogMel:
    """The spectrogram of the released MM-LDM code: HiFi-GAN's for 22.05 kHz, 80 bins; 70 560 samples give 80 x 275.

    Deviation: the released code reads audio at 44.1 kHz but keeps HiFi-GAN's constants for 22.05 kHz. Bins that are meant for 0
    to 8 kHz therefore hold 0 to 16 kHz, and the vocoder makes the same mistake in reverse. Pass 44.1 kHz audio as if it were at
    22.05 kHz: this transform only sees samples.
    """
    return LogMel(sample_rate=22050, bins=80, hop=256, partial=True)


@dataclass(frozen=True)
class AudioImage:
    """Converts log-mel frames to an RGB image with 8 bits per channel, and back.

    Row 0 is the lowest bin, and time runs along the columns. The aspect ratio is not kept; resizing is bicubic.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        low: Level of black, in decibels of the mel magnitude. Lower levels are clipped.
        high: Level of white, in decibels of the mel magnitude. Higher levels are clipped.
    """

    height: int = 256
    width: int = 256
    low: float | int = -80.0
    high: float | int = 20.0

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1 or self.low >= self.high:
            raise ValueError(
                f"AudioImage: {self.height}x{self.width} from {self.low} to {self.high} dB; "
                "expected a positive size and a rising range"
            )

    def quantise(self, log_mel: Float[Tensor, "b f l"]) -> UInt8[Tensor, "b f l"]:
        """Log-mel frames as grey levels 0 to 255. Within the range the rounding error is at most half a level."""
        level = (DECIBELS * log_mel - self.low) / (self.high - self.low)
        return (255 * level.clamp(0, 1)).round().to(torch.uint8)

    def dequantise(self, grey: Float[Tensor, "b f l"]) -> Float[Tensor, "b f l"]:
        """The inverse of `quantise`, for grey levels from 0 to 255, which may be fractional."""
        return (self.low + (self.high - self.low) * grey.clamp(0, 255) / 255) / DECIBELS

    def encode(self, log_mel: Float[Tensor, "b f l"]) -> Float[Tensor, "b 3 h w"]:
        """The image in [-1, 1], with three equal channels and only the 256 values that an 8-bit file can hold."""
        small = self.quantise(log_mel).float()[:, None]
        # Pillow also rounds to bytes between its two passes.
        wide = resize(small, small.shape[2], self.width).round().clamp(0, 255)
        image = resize(wide, self.height, self.width).round().clamp(0, 255)
        return (image / 127.5 - 1).expand(-1, 3, -1, -1)

    def decode(self, image: Float[Tensor, "b 3 h w"], bins: int, steps: int) -> Float[Tensor, "b f l"]:
        """Log-mel frames of an image. Of an image that is not grey, the mean of the channels is used.

        Deviation: the paper does not describe the inverse. Resizing is linear, so this solves for the frames that resize to this
        image by least squares. The error is half of that of resizing the image back.

        Args:
            picture: Image in [-1, 1].
            bins: Number of mel bins of the spectrogram, which the image does not tell.
            steps: Number of mel frames of the spectrogram, which the image does not tell.

        Raises:
            ValueError: The image has another size.
        """
        if tuple(image.shape[2:]) != (self.height, self.width):
            raise ValueError(f"audio image of {image.shape[2]}x{image.shape[3]}, expected {self.height}x{self.width}")
        grey = 127.5 * (image.mean(1, keepdim=True).clamp(-1, 1) + 1)
        rows, columns = inverse_resize_matrix(bins, self.height).to(grey), inverse_resize_matrix(steps, self.width).to(grey)
        return self.dequantise(rows @ grey[:, 0] @ columns.T)


def resize(image: Float[Tensor, "b c h w"], height: int, width: int) -> Float[Tensor, "b c h2 w2"]:
    """Resize an image by bicubic interpolation with antialiasing, as Pillow does."""
    return F.interpolate(image, (height, width), mode="bicubic", antialias=True, align_corners=False)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
@torch.no_grad()
def inverse_resize_matrix(size: int, to_size: int, ridge: float = 1e-3) -> Float[Tensor, "n m"]:
    """Least-squares inverse of `resize` along one axis, with a small ridge: a matrix from resized rows to the original rows.

    The ridge keeps details that shrinking almost removed from being amplified together with the noise on them.

    Args:
        size: Original size of the axis.
        to_size: Size after resizing.
        ridge: Weight of the ridge.
    """
    matrix = resize(torch.eye(size, dtype=torch.float64)[None, None], to_size, size)[0, 0]
    inverse = torch.linalg.solve(matrix.T @ matrix + ridge * torch.eye(size, dtype=torch.float64), matrix.T)
    # The ridge would darken the image: rescale so that constant rows are kept.
    return (inverse / inverse.sum(1, keepdim=True)).float()
