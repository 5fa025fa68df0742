"""Unencoded clips for the trainings of codecs: how clips are cached, and batches of segments of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sonovid.core.av import AV
from sonovid.core.clip import Clip
from sonovid.data import latents

# The key of caches of unencoded clips. Caches on disk have it, so it must not change.
UNENCODED = "untouched"


def stack_clips(clips: list[Clip]) -> AV:
    """Stack clips without encoding them.

    Returns:
        Frames, uint8 [b t h w 3], and mono audio, int16 [b n]; None for a stream that the clips do not have.
    """
    frames = audio = None
    if clips[0].frames is not None:
        frames = torch.from_numpy(np.stack([clip.frames for clip in clips if clip.frames is not None]))
    if clips[0].waveform is not None:
        wave = np.stack([clip.waveform.mean(0) for clip in clips if clip.waveform is not None])
        audio = torch.from_numpy((wave.clip(-1, 1) * 32767).round().astype(np.int16))
    return AV(frames, audio)


@dataclass(frozen=True)
class Segments:
    """A dataset of equally long segments of cached clips, in order. A segment depends on its index alone.

    Attributes:
        cache: the clips, as `stack_clips` stacks them.
        stream: 0 for frames, 1 for audio.
        length: length of a segment, in frames or samples.
        total: length of a clip.
    """

    cache: latents.LatentDataset
    stream: int
    length: int
    total: int

    def __len__(self) -> int:
        return len(self.cache) * self.segments_per_clip

    @property
    def segments_per_clip(self) -> int:
        return max(1, self.total // self.length)

    def __call__(self, indices: Sequence[int]) -> Tensor:
        clips = self.cache.batch([index // self.segments_per_clip for index in indices])[self.stream]
        starts = [index % self.segments_per_clip * self.length for index in indices]
        return torch.stack([x[start : start + self.length] for x, start in zip(clips, starts, strict=True)])


def frame_batches(segments: Segments) -> Callable[[Sequence[int]], dict[str, Tensor]]:
    """A function from indices to a batch with "frames", float [b 3 t h w] in [-1, 1]."""
    return lambda indices: {"frames": segments(indices).movedim(-1, 1).float() / 127.5 - 1}


def audio_batches(segments: Segments) -> Callable[[Sequence[int]], dict[str, Tensor]]:
    """A function from indices to a batch with "waveform", float [b n] in [-1, 1]."""
    return lambda indices: {"waveform": segments(indices).float() / 32767}


def job_data(make_batches: Callable, training: Segments, held_out: Segments) -> dict[str, Any]:
    """The fields of a `Job` that hold its training and validation data. make_batches: `frame_batches` or `audio_batches`."""
    return {
        "batch": make_batches(training),
        "size": len(training),
        "validation": make_batches(held_out),
        "validation_size": len(held_out),
    }
