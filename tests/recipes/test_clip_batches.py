"""Batches of unencoded clips."""

import numpy as np
import torch

from sonovid.core.av import AV
from sonovid.core.clip import Clip
from sonovid.data.latents import InMemoryLatents
from sonovid.recipes import clip_batches


def test_clips_are_stacked_unencoded():
    frames = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    wave = np.array([[0.5, -1.0, 1.0, 0.0], [0.5, -1.0, 1.0, 1.0]], np.float32)
    kept = clip_batches.stack_clips([Clip(frames, wave)])
    assert torch.equal(kept.video[0], torch.from_numpy(frames))
    assert kept.audio[0].tolist() == [16384, -32767, 32767, 16384]


def test_segments_cover_each_clip_once():
    cache = InMemoryLatents([{}, {}, {}], AV(None, torch.stack([torch.arange(10) + 100 * index for index in range(3)])))
    segments = clip_batches.Segments(cache, 1, 3, 10)
    assert len(segments) == 9
    assert segments(range(9)).flatten().tolist() == [100 * clip + i for clip in range(3) for i in range(9)]
