"""Residual blocks, channels last: against the convolutions and norms of torch in the usual layout."""

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange

from sonovid.models.cmmd.residual import (
    AudioConvolution,
    ChannelNorm,
    Convolution,
    ResidualBlock,
    VideoConvolution,
    downsample,
    upsample,
)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(3, 3), (3, 1), (1, 3)])
def test_convolution_is_torch_s(size):
    layer, x = Convolution(4, 6, size), noise(2, 5, 7, 4)
    usual = F.conv2d(rearrange(x, "n h w c -> n c h w").contiguous(), rearrange(layer.weight, "o h w i -> o i h w").contiguous(),
                     layer.bias, padding=(size[0] // 2, size[1] // 2))  # fmt: skip
    assert torch.allclose(layer(x), rearrange(usual, "n c h w -> n h w c"), atol=1e-5)


def test_a_convolution_starts_as_torch_s_would():
    """The same bounds as nn.Conv2d's own starting values."""
    torch.manual_seed(0)
    ours, usual = Convolution(64, 64, (3, 3)), torch.nn.Conv2d(64, 64, 3)
    assert ours.weight.abs().max().item() == pytest.approx(usual.weight.abs().max().item(), rel=1e-2)
    assert ours.weight.std().item() == pytest.approx(usual.weight.std().item(), rel=1e-2)


def test_pictures_are_convolved_in_each_frame_then_along_time():
    layer, x = VideoConvolution(3, 5), noise(2, 4, 6, 6, 3)
    flat = rearrange(x, "b t h w c -> (b t) c h w")
    space = F.conv2d(flat, layer.space.weight.permute(0, 3, 1, 2), layer.space.bias, padding=1)
    time = F.conv1d(
        rearrange(space, "(b t) c h w -> (b h w) c t", b=2), layer.time.weight[:, :, 0].mT, layer.time.bias, padding=1
    )
    assert torch.allclose(layer(x), rearrange(time, "(b h w) c t -> b t h w c", b=2, h=6), atol=1e-5)


def test_sound_is_convolved_along_time():
    layer, x = AudioConvolution(3, 5), noise(2, 9, 3)
    usual = F.conv1d(x.mT, layer.time.weight[:, 0].mT, layer.time.bias, padding=1)
    assert torch.allclose(layer(x), usual.mT, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 3, 4, 4, 8), (2, 7, 8)])
def test_norm_is_group_norm(shape):
    norm, x = ChannelNorm(4, 8), noise(*shape)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    usual = F.group_norm(x.movedim(-1, 1), 4, norm.weight, norm.bias).movedim(1, -1)
    assert torch.allclose(norm(x), usual, atol=1e-5)


def test_halve_averages_and_double_repeats():
    video, audio = noise(2, 3, 4, 6, 5), noise(2, 8, 5)
    assert torch.allclose(downsample(video)[1, 2, 1, 2], video[1, 2, 2:4, 4:6].mean((0, 1)), atol=1e-6)
    assert torch.allclose(downsample(audio)[0, 3], audio[0, 6:8].mean(0))
    for x in (video, audio):
        assert torch.allclose(downsample(upsample(x)), x, atol=1e-6)
    odd = downsample(audio[:, :7])
    assert odd.shape[1] == 4
    assert torch.equal(odd[:, 3], audio[:, 6])
    assert upsample(odd).shape[1] == 8


@pytest.mark.parametrize("resize", ["", "down", "up"])
@pytest.mark.parametrize("kind", [VideoConvolution, AudioConvolution])
def test_a_block_starts_as_its_bypass(kind, resize):
    x = noise(2, 4, 4, 4, 8) if kind is VideoConvolution else noise(2, 4, 8)
    block = ResidualBlock(kind, (8, 8), 6, groups=4, resize=resize)
    expected = {"": x, "down": downsample(x), "up": upsample(x)}[resize]
    assert torch.equal(block(x, noise(2, 6)), expected)


def test_time_scales_and_shifts():
    x, block = noise(2, 4, 8), ResidualBlock(AudioConvolution, (8, 12), 6, groups=4)
    torch.nn.init.normal_(block.out.weight)
    early, late = block(x, torch.zeros(2, 6)), block(x, torch.ones(2, 6))
    assert early.shape == (2, 4, 12)
    assert not torch.allclose(early, late)
    # One sample's time reaches that sample alone.
    mixed = block(x, torch.tensor([[0.0], [1.0]]).expand(-1, 6))
    assert torch.allclose(mixed[0], early[0], atol=1e-6)
    assert torch.allclose(mixed[1], late[1], atol=1e-6)
