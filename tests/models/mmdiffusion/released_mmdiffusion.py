"""The layout of a released checkpoint: names and shapes of its tensors, written out from the release's structure."""

import torch


def conv(name, out, inward, *size):
    return {f"{name}.weight": (out, inward, *size), f"{name}.bias": (out,)}


def norm(name, channels):
    return {f"{name}.GroupNorm.weight": (channels,), f"{name}.GroupNorm.bias": (channels,)}


def video_conv(name, inward, out):
    return conv(f"{name}.video_conv_spatial", out, inward, 3, 3) | conv(f"{name}.video_conv_temporal", out, out, 3)


def attention(name, c):
    return norm(f"{name}.norm", c) | conv(f"{name}.qkv", 3 * c, c, 1) | conv(f"{name}.proj_out", c, c, 1)


def residual(name, inward, out, width, *, video=False, audio=False):
    found = norm(f"{name}.video_in_layers.0", inward) | video_conv(f"{name}.video_in_layers.2", inward, out)
    found |= norm(f"{name}.audio_in_layers.0", inward) | conv(f"{name}.audio_in_layers.2.audio_conv", out, inward, 3)
    found |= conv(f"{name}.emb_layers.1", 2 * out, width)
    found |= norm(f"{name}.video_out_layers.0", out) | conv(f"{name}.video_out_layers.3.video_conv", out, out, 1, 1, 1)
    found |= norm(f"{name}.audio_out_layers.0", out) | conv(f"{name}.audio_out_layers.3.audio_conv", out, out, 1)
    if inward != out:
        found |= conv(f"{name}.video_skip_connection.video_conv", out, inward, 1, 1, 1)
        found |= conv(f"{name}.audio_skip_connection.audio_conv", out, inward, 1)
    for kind in ["spatial", "temporal"] * video + ["audio"] * audio:
        found |= attention(f"{name}.{kind}_attention_block", out)
    return found


def cross(name, c):
    found = {}
    for short, stream, ones in (("v", "video", (1, 1, 1)), ("a", "audio", (1,))):
        found |= norm(f"{name}.{short}_norm", c) | conv(f"{name}.{short}_qkv", 3 * c, c, 1)
        found |= conv(f"{name}.{stream}_proj_out.{stream}_conv", c, c, *ones)
    return found


def shapes(width, multipliers, blocks, windows):
    """Names and shapes of all tensors."""
    first = width * multipliers[0]
    found = conv("time_embed.0", width, width) | conv("time_embed.2", width, width)
    found |= video_conv("input_blocks.0.0.video_conv", 3, first) | conv("input_blocks.0.0.audio_conv.audio_conv", first, 1, 3)
    at, skips, number = first, [first], 1
    for level, (mult, window) in enumerate(zip(multipliers, windows, strict=True)):
        for _ in range(blocks):
            found |= residual(f"input_blocks.{number}.0", at, width * mult, width, video=window > 0)
            at = width * mult
            if window:
                found |= cross(f"input_blocks.{number}.1", at)
            number, skips = number + 1, [*skips, at]
        if level + 1 < len(multipliers):
            found |= residual(f"input_blocks.{number}.0", at, at, width)
            number, skips = number + 1, [*skips, at]
    found |= residual("middle_blocks.0", at, at, width, video=True, audio=True) | cross("middle_blocks.1", at)
    found |= residual("middle_blocks.2", at, at, width, video=True, audio=True)
    number = 0
    for level, (mult, window) in reversed(list(enumerate(zip(multipliers, windows, strict=True)))):
        for i in range(blocks + 1):
            name = f"output_blocks.{number}"
            found |= residual(f"{name}.0", at + skips.pop(), width * mult, width, video=window > 0)
            at = width * mult
            if window:
                found |= cross(f"{name}.1", at)
            if level and i == blocks:
                found |= residual(f"{name}.{2 if window else 1}", at, at, width)
            number += 1
    found |= norm("video_out.0", at) | conv("video_out.2.video_conv", 3, at, 3, 3, 3)
    return found | norm("audio_out.0", at) | conv("audio_out.2.audio_conv", 1, at, 3)


def checkpoint(width, multipliers, blocks, windows, seed=0):
    """Random tensors in the released layout."""
    g = torch.Generator().manual_seed(seed)
    return {name: 0.1 * torch.randn(shape, generator=g) for name, shape in shapes(width, multipliers, blocks, windows).items()}
