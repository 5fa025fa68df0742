"""Frames as video networks want them: cut into windows, scaled, cropped and normalised, on the CPU and without torchvision."""

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Float32, UInt8

from sonovid.metrics.base import Material, Unfit

# Mean and deviation of ImageNet's and of CLIP's training pictures, by channel, of values in [0, 1].
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def frames_of(material: Material, least: int = 1) -> UInt8[np.ndarray, "t h w 3"]:
    """The pictures of a sample.

    Raises:
        Unfit: none, or fewer than `least`.
    """
    if material.clip is None or material.clip.frames is None:
        raise Unfit("has no pictures")
    frames = material.clip.frames
    if len(frames) < least:
        raise Unfit(f"has {len(frames)} frames; {least} are needed")
    return frames


def scaled(
    frames: UInt8[np.ndarray, "t h w 3"], size: tuple[int, int], *, mode: str = "bilinear"
) -> Float32[np.ndarray, "t 3 h2 w2"]:
    """Frames in [0, 1] brought to (h, w), whatever their shape, without a low-pass filter (torch's `interpolate`)."""
    pictures = rearrange(torch.from_numpy(frames), "t h w c -> t c h w").float() / 255
    if tuple(pictures.shape[-2:]) != size:
        pictures = F.interpolate(pictures, size=size, mode=mode, align_corners=False)
    # Bicubic weights are negative in part.
    return pictures.clamp(0, 1).numpy()


def cropped(
    frames: UInt8[np.ndarray, "t h w 3"], short: int, size: int, *, mode: str = "bilinear"
) -> Float32[np.ndarray, "t 3 s s"]:
    """Frames in [0, 1] whose shorter side is brought to `short`, and the middle of them, size by size."""
    height, width = frames.shape[1:3]
    scale = short / min(height, width)
    pictures = scaled(frames, (max(short, int(height * scale)), max(short, int(width * scale))), mode=mode)
    top, left = (round((side - size) / 2) for side in pictures.shape[-2:])
    return np.ascontiguousarray(pictures[..., top : top + size, left : left + size])


def normalised(
    pictures: Float[np.ndarray, "*k 3 h w"], mean_and_deviation: tuple[tuple[float, ...], tuple[float, ...]]
) -> Float32[np.ndarray, "*k 3 h w"]:
    """Channels less their mean, over their deviation."""
    mean, deviation = (np.asarray(values, np.float32)[:, None, None] for values in mean_and_deviation)
    return ((pictures - mean) / deviation).astype(np.float32)


def windows(count: int, length: int, step: int) -> list[int]:
    """Where windows of `length` begin, every `step`, as many as fit whole."""
    return list(range(0, count - length + 1, step))
