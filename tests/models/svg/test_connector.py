"""Connectors: shapes, causality, normalisation and centring of contexts."""

import pytest
import torch

from sonovid.models.svg.connector import (
    Connector,
    FrameShift,
    RunningCentring,
    ShiftedFeedForward,
    TemporalBlock,
    clip_context,
    mean_of_convolution,
    mean_of_rows_of_convolution,
    shift_frames,
    temporal_context,
)


def awake(module, seed=0):
    """The same with all weights random, including zero-initialised ones."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def test_shift_frames_delays_and_pads_with_zeros():
    x = torch.arange(1.0, 4.0).reshape(1, 1, 3, 1, 1)
    assert shift_frames(x, 0).flatten().tolist() == [1, 2, 3]
    assert shift_frames(x, 1).flatten().tolist() == [0, 1, 2]
    assert shift_frames(x, 5).flatten().tolist() == [0, 0, 0]


@torch.no_grad()
def test_frame_shift_is_causal_in_shifted_channels():
    """A change of frame 3 reaches frames from 3 on, as far back as the last group of channels reaches."""
    for module, reach in ((awake(FrameShift(64)), 7), (awake(ShiftedFeedForward(64)), 1)):
        x = torch.randn(1, 64, 12, 2, 2, generator=torch.Generator().manual_seed(0))
        changed = x.clone()
        changed[:, :, 3] = torch.randn(1, 64, 2, 2, generator=torch.Generator().manual_seed(1))
        moved = (module(changed) - module(x)).abs().amax((0, 1, 3, 4)) > 1e-6
        assert moved.tolist() == [3 <= frame <= 3 + reach for frame in range(12)]


@torch.no_grad()
def test_a_temporal_block_is_initially_near_the_identity():
    block = TemporalBlock(64)
    x = torch.randn(2, 64, 3, 2, 2)
    assert torch.equal(block.frame_shift(x), torch.zeros_like(x))
    attended = block.attention(torch.randn(4, 3, 64), block.distance_bias(3, x))
    assert torch.equal(attended, torch.zeros_like(attended))


@pytest.mark.parametrize("use_temporal_blocks", [True, False])
@torch.no_grad()
def test_shapes(use_temporal_blocks):
    connector = awake(Connector(8, 64, mults=(1, 2), out_channels=24, time_width=16, use_temporal_blocks=use_temporal_blocks))
    frames = 5 if use_temporal_blocks else 1
    out = connector(torch.randn(2, 8, frames, 8, 6), torch.randn(2, 16))
    assert out.shape == (2, 24, frames if use_temporal_blocks else 4)


def test_mean_of_convolution_matches_the_convolution():
    conv = awake(torch.nn.Conv2d(5, 7, 3, padding=1))
    for h, w in ((6, 4), (2, 2), (1, 1), (3, 1)):
        x = torch.randn(2, 5, h, w, generator=torch.Generator().manual_seed(h))
        torch.testing.assert_close(mean_of_convolution(conv, x), conv(x).mean((2, 3)))
        torch.testing.assert_close(mean_of_rows_of_convolution(conv, x), conv(x).mean(3))
    assert mean_of_convolution(conv.bfloat16(), x.bfloat16()).dtype == torch.bfloat16


@torch.no_grad()
def test_contexts_have_unit_length_per_step_or_over_time_as_released():
    sent = torch.randn(2, 6, 5) * torch.linspace(1, 9, 5)
    context = temporal_context(sent)
    torch.testing.assert_close(context.norm(dim=1), torch.ones(2, 5))
    torch.testing.assert_close(context[:, :, 0], sent[:, :, 0] / sent[:, :, 0].norm(dim=1, keepdim=True))
    torch.testing.assert_close(temporal_context(sent, as_released=True).norm(dim=2), torch.ones(2, 6))
    assert temporal_context(torch.zeros(1, 6, 5)).isfinite().all()
    torch.testing.assert_close(clip_context(sent)[0, :, 0], sent[0].mean(1) / sent[0].mean(1).norm())


def test_centred_contexts_ignore_components_that_are_constant_in_a_clip():
    sent = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0))
    stays = 100 * torch.randn(2, 6, 1, generator=torch.Generator().manual_seed(1))
    centred = temporal_context(sent, centred=True)
    torch.testing.assert_close(temporal_context(sent + stays, centred=True), centred, atol=1e-4, rtol=0)
    torch.testing.assert_close(centred.norm(dim=1), torch.ones(2, 5))
    # Uncentred, all that differs is drowned.
    drowned = temporal_context(sent + stays)
    assert (drowned - drowned[:, :, :1]).abs().max() < 0.05 < (centred - centred[:, :, :1]).abs().max()


def test_running_centring_uses_batch_means_in_training_and_running_means_later():
    module, stays = RunningCentring(3, momentum=0.5), torch.tensor([1.0, -2.0, 5.0])
    sent = torch.randn(4, 3, 7, generator=torch.Generator().manual_seed(0))
    trained = [module(sent + stays[:, None]) for _ in range(20)][-1]
    torch.testing.assert_close(trained.mean((0, 2)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(module.typical, (sent + stays[:, None]).mean((0, 2)))
    one = module.eval()(sent[:1] + stays[:, None])
    torch.testing.assert_close(one, trained[:1])
    assert "typical" in module.state_dict()
