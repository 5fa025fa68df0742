"""Convert the video and audio that a caller passes (file, Clip, array, tensor, images) to one form."""

import os
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch

from sonovid.core.clip import Clip
from sonovid.core.geometry import as_rate

# One video or one audio: a path, a Clip, a NumPy array or a torch tensor; for a video also a list of PIL images or of arrays.
MediaInput: TypeAlias = Any


def to_list(value: Any) -> list[MediaInput]:
    """The videos or audios of a call as a list of at least one; [None] where there is none.

    A list of paths, clips or arrays of whole videos is several videos; a list of single images is one video. An array or tensor
    with a batch axis (five axes) is several videos.

    Raises:
        ValueError: another type.
    """
    if value is None or isinstance(value, str | os.PathLike | Clip):
        return [value]
    if isinstance(value, np.ndarray | torch.Tensor):
        return list(value) if value.ndim == 5 else [value]
    if isinstance(value, Sequence) and value:
        return [list(value)] if _is_image(value[0]) else list(value)
    raise ValueError(f"video or audio of type {type(value).__name__}: expected a path, a Clip, an array, or a list of them")


def _is_image(value: Any) -> bool:
    """Whether a value is a single image: a PIL image, or an array of two or three axes."""
    return not isinstance(value, str | os.PathLike | Clip) and (
        getattr(value, "ndim", None) in (2, 3) or hasattr(value, "convert")
    )


def as_video(video: MediaInput, fps: Any = None) -> "str | os.PathLike | Clip":
    """Convert a video to a path or a `Clip`.

    Args:
        video: a path or a Clip, which are returned unchanged; an array [t h w 3]; a tensor [t 3 h w] or [t h w 3]; a list of PIL
            images or of arrays [h w 3]. uint8, or floats in [0, 1].
        fps: frames per second; required for arrays, tensors and images.

    Raises:
        ValueError: not a video, or no fps.
    """
    if isinstance(video, str | os.PathLike | Clip):
        return video
    if isinstance(video, torch.Tensor):
        frames = video.detach().float().cpu().numpy() if video.is_floating_point() else video.detach().cpu().numpy()
        if frames.ndim == 4 and frames.shape[1] == 3 and frames.shape[-1] != 3:
            frames = frames.transpose(0, 2, 3, 1)
    elif isinstance(video, np.ndarray):
        frames = video
    else:
        images = [np.asarray(one.convert("RGB") if hasattr(one, "convert") else one) for one in video]
        if len({one.shape for one in images}) != 1:
            raise ValueError(f"video: images of several sizes {sorted({one.shape for one in images})}: expected one size")
        frames = np.stack(images)
    if frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
        raise ValueError(f"video: got {frames.dtype} {frames.shape}, expected [t h w 3], a tensor [t 3 h w], or a list of images")
    if fps is None:
        raise ValueError("video: pass fps= (frames per second) with an array, a tensor or a list of images")
    return Clip(_as_uint8(frames), None, fps=as_rate(fps))


def _as_uint8(frames: np.ndarray) -> np.ndarray:
    """Frames as uint8, from uint8 or from floats in [0, 1].

    Raises:
        ValueError: another type, or floats outside [0, 1].
    """
    if frames.dtype == np.uint8:
        return frames
    if not np.issubdtype(frames.dtype, np.floating):
        raise ValueError(f"video: frames of {frames.dtype}: expected bytes (uint8), or floats in [0, 1]")
    if not (np.isfinite(frames).all() and frames.min() >= -1e-3 and frames.max() <= 1 + 1e-3):
        raise ValueError(f"video: floats from {frames.min():g} to {frames.max():g}: expected bytes (uint8), or floats in [0, 1]")
    return np.rint(frames.clip(0, 1) * 255).astype(np.uint8)


def as_audio(audio: MediaInput, sample_rate: Any = None) -> "str | os.PathLike | Clip":
    """Convert an audio to a path or a `Clip`.

    Args:
        audio: a path or a Clip, which are returned unchanged; an array or tensor [n] or [c n], floats in [-1, 1] or int16.
        sample_rate: samples per second; required for arrays and tensors.

    Raises:
        ValueError: not a waveform, or no sample_rate.
    """
    if isinstance(audio, str | os.PathLike | Clip):
        return audio
    waveform = audio.detach().cpu().numpy() if isinstance(audio, torch.Tensor) else np.asarray(audio)
    if waveform.dtype == np.int16:
        waveform = waveform / np.float32(32768)
    if waveform.ndim == 1:
        waveform = waveform[None]
    if waveform.ndim != 2 or not np.issubdtype(waveform.dtype, np.floating):
        raise ValueError(
            f"audio: got {waveform.dtype} {waveform.shape}, expected [n] or [channels n] of floats in [-1, 1] or int16"
        )
    if len(waveform) > 32 and len(waveform) > waveform.shape[1]:
        raise ValueError(f"audio: {len(waveform)} channels of {waveform.shape[1]} samples: expected [channels n]; transpose it")
    if sample_rate is None:
        raise ValueError("audio: pass sample_rate= (samples per second) with an array or a tensor")
    return Clip(None, np.ascontiguousarray(waveform, dtype=np.float32), sample_rate=int(sample_rate))
