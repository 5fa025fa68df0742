"""Fusion modules: zero initialisation, and which positions a context reaches."""

import pytest
import torch
from test_connector import awake

from sonovid.models.svg.fusion import CMCPEBlock, CrossAttention, FusionModule, SequenceCrossAttention


@pytest.mark.parametrize("within_steps", [True, False])
@pytest.mark.parametrize("block", [CMCPEBlock, CrossAttention, SequenceCrossAttention])
@torch.no_grad()
def test_a_fusion_module_is_zero_initialised(block, within_steps):
    join = FusionModule(32, block(32, 16, 8), within_steps=within_steps)
    x = torch.randn(2, 32, 4, 6)
    assert torch.equal(join(x, torch.randn(2, 16, 1)), x)


@torch.no_grad()
def test_a_context_step_only_reaches_the_frames_of_its_time():
    """Twelve context steps for four frames: each frame takes one of them, the nearest by torch's rule."""
    block = awake(CMCPEBlock(32, 16, 8))
    # The norm over the context's time lets all moments meet; without it each frame hears its own alone.
    block.context_attention.context_norm = torch.nn.Identity()
    join = FusionModule(32, block, within_steps=True).eval()
    torch.nn.init.eye_(join.proj_out.weight)
    x, context = torch.randn(1, 32, 4, 6), torch.randn(1, 16, 12)
    for step in range(12):
        changed = context.clone()
        changed[:, :, step] += 1
        moved = (join(x, changed) - join(x, context)).abs().amax((0, 1, 3)) > 1e-6
        assert moved.tolist() == [step == 3 * frame for frame in range(4)]


@torch.no_grad()
def test_cross_attention_to_one_vector_adds_the_same_everywhere():
    block = awake(CrossAttention(32, 16, 8))
    told = block.attn2(torch.randn(3, 5, 32), encoder_hidden_states=torch.randn(1, 1, 16).expand(3, -1, -1))
    torch.testing.assert_close(told, told[:1, :1].expand_as(told))


@torch.no_grad()
def test_as_released_norms_overwrite_the_stream():
    """With zero-initialised layers the default passes the stream on, and the released form passes on its norm."""
    x, context = 5 + 3 * torch.randn(2, 6, 32), torch.randn(2, 16, 4)
    for as_released in (False, True):
        block = CMCPEBlock(32, 16, 8, as_released=as_released)
        for last in (block.context_attention.attention.to_out[0], block.self_attention.to_out[0], block.feed_forward.net[2]):
            torch.nn.init.zeros_(last.weight)
            torch.nn.init.zeros_(last.bias)
        wanted = torch.nn.functional.layer_norm(x, (32,)) if as_released else x
        torch.testing.assert_close(block(x, context, 6, False), wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("within_steps", [True, False])
@torch.no_grad()
def test_sequence_cross_attention_depends_on_the_order_of_contexts(within_steps):
    """One vector per clip has no order; a sequence has, on both sides."""
    x, context = torch.randn(2, 24, 32), torch.nn.functional.normalize(torch.randn(2, 16, 6), dim=1)
    x = x.reshape(8, 6, 32) if within_steps else x
    block = awake(SequenceCrossAttention(32, 16, 8)).eval()
    told = block(x, context, 4, within_steps)
    assert told.shape == x.shape
    assert (block(x, context.flip(2), 4, within_steps) - told).abs().max() > 1e-3
    # Another clip's sequence reaches no other clip's places.
    other = context.clone()
    other[1] *= -1
    moved = (block(x, other, 4, within_steps) - told).abs().flatten(1).amax(1).reshape(2, -1)
    assert moved[0].max() == 0 < moved[1].min()
    # Equal moments of a still context at equal places are told apart by the places' own time alone.
    still = block(torch.zeros_like(x), torch.zeros_like(context), 4, within_steps)
    steps = still.reshape(2, 4, 6, 32)
    torch.testing.assert_close(steps, steps[:, :, :1].expand_as(steps), atol=1e-5, rtol=0)
    assert (steps[:, 0] - steps[:, 3]).abs().max() > 1e-3
