"""What a caller gives as pictures or as sound (a file, a Clip, an array, a tensor, a list of pictures) brought to one form."""

import os
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch

from sonovid.core.clip import Clip
from sonovid.core.geometry import as_rate

# One video or one sound: a path, a Clip, a NumPy array, a torch tensor, or for pictures a list of PIL images or of arrays.
MediaInput: TypeAlias = Any


def to_list(given: Any) -> list[MediaInput]:
    """The videos or the sounds of a call as a list, one at least; None stands for none at all.

    A list is several videos where it holds paths, clips, or arrays of whole videos; a list of single pictures is one video. An
    array or tensor with an axis for the batch is several too: pictures with five axes, a sound with three.
    """
    if given is None or isinstance(given, str | os.PathLike | Clip):
        return [given]
    if isinstance(given, np.ndarray | torch.Tensor):
        return list(given) if given.ndim == 5 else [given]
    if isinstance(given, Sequence) and given:
        return [list(given)] if _is_image(given[0]) else list(given)
    raise ValueError(f"video or audio of type {type(given).__name__}: expected a path, a Clip, an array, or a list of them")


def _is_image(one: Any) -> bool:
    """Whether something is a single picture: a PIL image, or an array of three axes."""
    return not isinstance(one, str | os.PathLike | Clip) and (getattr(one, "ndim", None) in (2, 3) or hasattr(one, "convert"))


def as_video(given: MediaInput, fps: Any = None) -> "str | os.PathLike | Clip":
    """Pictures as a file or as a Clip.

    Args:
        given: a path or a Clip, which are passed on; an array [t h w 3]; a tensor [t 3 h w] or [t h w 3]; a list of PIL images or
            of arrays [h w 3]. Bytes, or floats in [0, 1].
        fps: pictures per second, needed wherever the pictures do not say it themselves.

    Raises:
        ValueError: not pictures, or no fps.
    """
    if isinstance(given, str | os.PathLike | Clip):
        return given
    if isinstance(given, torch.Tensor):
        frames = given.detach().float().cpu().numpy() if given.is_floating_point() else given.detach().cpu().numpy()
        if frames.ndim == 4 and frames.shape[1] == 3 and frames.shape[-1] != 3:
            frames = frames.transpose(0, 2, 3, 1)
    elif isinstance(given, np.ndarray):
        frames = given
    else:
        pictures = [np.asarray(one.convert("RGB") if hasattr(one, "convert") else one) for one in given]
        if len({one.shape for one in pictures}) != 1:
            raise ValueError(f"video: pictures of several sizes {sorted({one.shape for one in pictures})}: expected one size")
        frames = np.stack(pictures)
    if frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
        raise ValueError(f"video: got {frames.dtype} {frames.shape}, expected [t h w 3], a tensor [t 3 h w], or a list of images")
    if fps is None:
        raise ValueError("video: give fps= beside an array, a tensor or a list of images: how many pictures last a second")
    return Clip(_as_bytes(frames), None, fps=as_rate(fps))


def _as_bytes(frames: np.ndarray) -> np.ndarray:
    """Pictures as bytes, from bytes or from floats in [0, 1].

    Raises:
        ValueError: another type, or floats outside [0, 1].
    """
    if frames.dtype == np.uint8:
        return frames
    if not np.issubdtype(frames.dtype, np.floating):
        raise ValueError(f"video: pictures of {frames.dtype}: expected bytes (uint8), or floats in [0, 1]")
    if not (np.isfinite(frames).all() and frames.min() >= -1e-3 and frames.max() <= 1 + 1e-3):
        raise ValueError(f"video: floats from {frames.min():g} to {frames.max():g}: expected bytes, or floats in [0, 1]")
    return np.rint(frames.clip(0, 1) * 255).astype(np.uint8)


def as_audio(given: MediaInput, sample_rate: Any = None) -> "str | os.PathLike | Clip":
    """A sound as a file or as a Clip.

    Args:
        given: a path or a Clip, which are passed on; an array or tensor [n] or [c n], floats in [-1, 1] or int16.
        sample_rate: samples per second, needed for an array or a tensor.

    Raises:
        ValueError: not a sound, or no sample_rate.
    """
    if isinstance(given, str | os.PathLike | Clip):
        return given
    wave = given.detach().cpu().numpy() if isinstance(given, torch.Tensor) else np.asarray(given)
    if wave.dtype == np.int16:
        wave = wave / np.float32(32768)
    if wave.ndim == 1:
        wave = wave[None]
    if wave.ndim != 2 or not np.issubdtype(wave.dtype, np.floating):
        raise ValueError(f"audio: got {wave.dtype} {wave.shape}, expected [n] or [channels n] of floats in [-1, 1] or int16")
    if len(wave) > 32 and len(wave) > wave.shape[1]:
        raise ValueError(f"audio: {len(wave)} channels of {wave.shape[1]} samples: expected [channels n]; transpose it")
    if sample_rate is None:
        raise ValueError("audio: give sample_rate= beside an array or a tensor: how many samples last a second")
    return Clip(None, np.ascontiguousarray(wave, dtype=np.float32), sample_rate=int(sample_rate))
