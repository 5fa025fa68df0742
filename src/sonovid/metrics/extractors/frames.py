"""Preprocessing of frames for video networks: windows, resizing, cropping and normalisation, on the CPU without torchvision."""

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Float32, UInt8

from sonovid.metrics.base import Sample, UnusableClipError

# Channel means and standard deviations of ImageNet's and CLIP's training images, for values in [0, 1].
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def get_frames(sample: Sample, least: int = 1) -> UInt8[np.ndarray, "t h w 3"]:
    """The frames of a sample.

    Raises:
        UnusableClipError: there is no video, or fewer than `least` frames.
    """
    if sample.clip is None or sample.clip.frames is None:
        raise UnusableClipError("has no video")
    frames = sample.clip.frames
    if len(frames) < least:
        raise UnusableClipError(f"has {len(frames)} frames; {least} are needed")
    return frames


def resize_frames(
    frames: UInt8[np.ndarray, "t h w 3"], size: tuple[int, int], *, mode: str = "bilinear"
) -> Float32[np.ndarray, "t 3 h2 w2"]:
    """Resize frames to (h, w), ignoring the aspect ratio, without antialiasing (torch's `interpolate`). Values in [0, 1]."""
    images = rearrange(torch.from_numpy(frames), "t h w c -> t c h w").float() / 255
    if tuple(images.shape[-2:]) != size:
        images = F.interpolate(images, size=size, mode=mode, align_corners=False)
    # Bicubic interpolation can overshoot.
    return images.clamp(0, 1).numpy()


def resize_and_crop(
    frames: UInt8[np.ndarray, "t h w 3"], short: int, size: int, *, mode: str = "bilinear"
) -> Float32[np.ndarray, "t 3 s s"]:
    """Resize the shorter side of frames to `short`, and crop the centre to size x size. Values in [0, 1]."""
    height, width = frames.shape[1:3]
    scale = short / min(height, width)
    images = resize_frames(frames, (max(short, int(height * scale)), max(short, int(width * scale))), mode=mode)
    top, left = (round((side - size) / 2) for side in images.shape[-2:])
    return np.ascontiguousarray(images[..., top : top + size, left : left + size])


def resize_short_side(frames: UInt8[np.ndarray, "t h w 3"], mode: str, side: int) -> Float[torch.Tensor, "t 3 h2 w2"]:
    """Frames in [0, 1] with the shorter side resized: "bicubic" with antialiasing as in Pillow, "bilinear" without."""
    height, width = frames.shape[1:3]
    scale = side / min(height, width)
    size = (side, int(width * scale)) if height <= width else (int(height * scale), side)
    images = rearrange(torch.from_numpy(np.ascontiguousarray(frames)), "t h w c -> t c h w").float() / 255
    return F.interpolate(images, size, mode=mode, align_corners=False, antialias=mode == "bicubic").clamp(0, 1)


def square_frames(frames: UInt8[np.ndarray, "t h w 3"], side: int) -> UInt8[np.ndarray, "t s s 3"]:
    """The centre square of frames whose shorter side is resized, bicubic with antialiasing and rounded, as by Pillow.

    Frames are processed one by one, and rounded, which takes a quarter of the memory.
    """
    done = np.empty((len(frames), side, side, 3), np.uint8)
    for i in range(len(frames)):
        image = resize_short_side(frames[i : i + 1], "bicubic", side)
        top, left = (round((length - side) / 2) for length in image.shape[-2:])
        square = image[0, :, top : top + side, left : left + side] * 255
        done[i] = square.round().byte().permute(1, 2, 0).numpy()
    return done


def normalize_frames(
    images: Float[np.ndarray, "*k 3 h w"], mean_and_deviation: tuple[tuple[float, ...], tuple[float, ...]]
) -> Float32[np.ndarray, "*k 3 h w"]:
    """Subtract the channel means and divide by the standard deviations."""
    mean, deviation = (np.asarray(values, np.float32)[:, None, None] for values in mean_and_deviation)
    return ((images - mean) / deviation).astype(np.float32)


def window_starts(count: int, length: int, step: int) -> list[int]:
    """Start indices of all complete windows of `length`, every `step`."""
    return list(range(0, count - length + 1, step))
