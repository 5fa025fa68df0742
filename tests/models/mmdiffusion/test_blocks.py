"""Blocks of MM-Diffusion: random-shift attention against its definition, shifts, dilation, resizing."""

import math
from collections import Counter

import pytest
import torch
import torch.nn.functional as F

from sonovid.core.av import AV
from sonovid.models.mmdiffusion.blocks import (
    AudioConvolution,
    RandomShiftAttention,
    SelfAttention,
    resize,
    shift_from_hash,
    timestep_hash,
)

C, HEADS = 8, 2


def awake(module, seed=0):
    torch.manual_seed(seed)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return module.double().eval()


def times(t):
    return AV(torch.tensor(t), torch.tensor(t))


def attend(q, keys, values):
    """Multi-head attention of one query [c] to rows of keys and values [k c]."""
    out = []
    for head in range(HEADS):
        part = slice(head * C // HEADS, (head + 1) * C // HEADS)
        weight = (keys[:, part] @ q[part] / math.sqrt(C // HEADS)).softmax(0)
        out.append(weight @ values[:, part])
    return torch.cat(out)


@pytest.mark.parametrize(("window", "steps"), [(1, 12), (2, 12), (0, 12), (2, 14)])
def test_random_shift_attention_is_its_definition(window, steps):
    """Query by query: a pixel of frame i sees the audio of the frames i + s to i + s + w - 1, and the other way round."""
    frames, side = 4, 2
    layer, seed = awake(RandomShiftAttention(C, window, HEADS, 4, index=3)), torch.tensor(12347)
    x = AV(torch.randn(1, frames, side, side, C).double(), torch.randn(1, steps, C).double())
    found = layer(x, seed)
    shift = int(shift_from_hash(seed, 3, frames - window + 1)) if window else 0
    assert window != 2 or shift  # A shift of zero would show less.
    per_frame = AV(side * side, steps // frames)
    flat = AV(x.video.reshape(-1, C), x.audio[0])
    q, k, v = (
        AV(*parts)
        for parts in zip(*(layer.qkv[n](layer.norm[n](z[None]))[0].chunk(3, -1) for n, z in flat._asdict().items()), strict=True)
    )
    for name, other in (("video", "audio"), ("audio", "video")):
        tokens, wide = getattr(flat, name), getattr(per_frame, other)
        keys, values = getattr(k, other), getattr(v, other)
        wanted = []
        for number in range(len(tokens)):
            frame = min(number // getattr(per_frame, name), frames - 1)
            rows = [((frame + shift) * wide + j) % len(keys) for j in range((window or frames) * wide)]
            wanted.append(attend(getattr(q, name)[number], keys[rows], values[rows]))
        result = tokens + layer.out[name](torch.stack(wanted))
        torch.testing.assert_close(getattr(found, name).reshape(-1, C), result)


def test_shifts_are_nearly_uniform_and_follow_from_the_timesteps():
    seeds = [timestep_hash(times([n / 1000]), training=False) for n in range(1, 1001)]
    counts = Counter(int(shift_from_hash(seed, 1, 9)) for seed in seeds)
    # A chi-squared of 8 degrees of freedom exceeds 26 once in a thousand draws.
    assert sum((counts[i] - 1000 / 9) ** 2 / (1000 / 9) for i in range(9)) < 26
    together = Counter((int(shift_from_hash(s, 1, 3)), int(shift_from_hash(s, 2, 3))) for s in seeds)
    assert min(together[i, j] for i in range(3) for j in range(3)) > 60


def test_sampling_does_not_depend_on_the_batch_and_training_does():
    alone, among = times([0.5]), times([0.5, 0.7])
    assert timestep_hash(alone, training=False) == timestep_hash(among, training=False)
    assert timestep_hash(times([0.5, 0.7]), training=True) != timestep_hash(times([0.5, 0.8]), training=True)
    assert timestep_hash(times([0.5, 0.7]), training=True) != timestep_hash(times([0.7, 0.5]), training=True)


def test_audio_convolutions_are_dilated():
    layer = awake(AudioConvolution(2, 3, dilation=4))
    x = torch.randn(1, 20, 2).double()
    kernel = layer.time.weight[:, 0].permute(0, 2, 1)
    wanted = F.conv1d(x.transpose(1, 2), kernel, layer.time.bias, padding=4, dilation=4).transpose(1, 2)
    torch.testing.assert_close(layer(x), wanted)


def test_self_attention_is_torch_s():
    layer = awake(SelfAttention(C, HEADS, 4))
    x = torch.randn(3, 5, C).double()
    normed = F.group_norm(x.transpose(1, 2), 4, layer.norm.weight, layer.norm.bias).transpose(1, 2)
    wanted, _ = F.multi_head_attention_forward(
        *[normed.transpose(0, 1)] * 3, C, HEADS, layer.qkv.weight, layer.qkv.bias, None, None, False, 0.0,
        layer.out.weight, layer.out.bias, training=False,
    )  # fmt: skip
    torch.testing.assert_close(layer(x), x + wanted.transpose(0, 1))


def test_resizing_averages_and_repeats():
    video, audio = torch.randn(2, 3, 4, 6, 5), torch.randn(2, 8, 5)
    torch.testing.assert_close(resize(video, "down")[:, :, 1, 2], video[:, :, 2:4, 4:6].mean((2, 3)))
    torch.testing.assert_close(resize(audio, "down")[:, 1], audio[:, 4:].mean(1))
    for x in (video, audio):
        torch.testing.assert_close(resize(resize(x, "up"), "down"), x)
        assert resize(x, "") is x
