"""Layers: zero initialisation, gradients, and receptive fields."""

import pytest
import torch

from sonovid.codecs.hierarchical.layers import (
    Attention,
    FrameIndexEmbedding,
    ResidualBlock,
    TemporalAttention,
    group_norm,
    sinusoidal_embedding,
    zero_init_mlp,
    zero_module,
)


def seeded(make):
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        return make()


def train(model, x, wanted, steps=40):
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        loss = (model(x) - wanted).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return loss.item()


def test_zero_init_mlp_learns_but_an_mlp_of_zeros_only_learns_a_constant():
    generator = torch.Generator().manual_seed(1)
    x, wanted = torch.randn(64, 4, generator=generator), torch.randn(64, 3, generator=generator)
    wanted = wanted + x[:, :3] * 2
    ours, released = seeded(lambda: zero_init_mlp(4, 16, 3)), seeded(lambda: zero_init_mlp(4, 16, 3))
    zero_module(released)
    assert not ours(x).any()
    train(ours, x, wanted), train(released, x, wanted)
    assert not any(released[i].weight.any() for i in (0, 2)), "zeroed throughout, its weights never move"
    assert (released(x) - released(x)[0]).abs().max() == 0
    assert (ours(x) - wanted).square().mean() < 0.6 * (released(x) - wanted).square().mean()


@pytest.mark.parametrize("channels", [1, 8, 16, 48, 64, 320, 1280])
def test_norms_have_groups_of_several_channels(channels):
    layer = group_norm(channels)
    assert channels % layer.num_groups == 0
    assert layer.num_groups <= 32
    assert channels < 4 or channels // layer.num_groups >= 4 or channels % 4


def test_a_zero_initialised_block_is_the_identity():
    x = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(seeded(lambda: ResidualBlock(8))(x), x)
    assert not torch.equal(seeded(lambda: ResidualBlock(8, zero_init=False))(x), x)


def speaking(module):
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return module


def test_an_embedding_changes_a_block():
    block = speaking(ResidualBlock(8, 4, embedding=6))
    x, e = torch.randn(2, 8, 4, 4), torch.randn(2, 6)
    assert block(x, e).shape == (2, 4, 4, 4)
    assert not torch.allclose(block(x, e), block(x, e + 1))


def test_a_modulating_embedding_scales_the_features():
    block, e = speaking(ResidualBlock(8, 8, embedding=6, zero_init=False, modulated=True)), torch.zeros(1, 6)
    with torch.no_grad():
        block.embed.weight.zero_()
        block.embed.bias.copy_(torch.cat([torch.full((8,), -1.0), torch.zeros(8)]))
        x = torch.randn(1, 8, 4, 4, generator=torch.Generator().manual_seed(0))
        # A scale of minus one leaves nothing of what the norm gave.
        wanted = x + block.conv_out.bias[:, None, None].expand_as(x)
        assert torch.allclose(block(x, e), wanted, atol=1e-6)


def test_attention_is_zero_initialised_and_permutation_equivariant_without_positions():
    x = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(seeded(lambda: Attention(8, 4))(x), x)
    layer, order = speaking(Attention(8, 4)), [3, 1, 4, 0, 2]
    assert torch.allclose(layer(x)[:, order], layer(x[:, order]), atol=1e-5)
    positions = sinusoidal_embedding(torch.arange(5).float(), 8)
    assert not torch.allclose(layer(x, positions)[:, order], layer(x[:, order], positions), atol=1e-2)


def test_temporal_attention_mixes_frames_but_not_positions():
    layer, x = speaking(TemporalAttention(8, 4)), torch.randn(1, 8, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    other = x.clone()
    other[:, :4, 0, 0, 0] += 1
    changed = (layer(x) - layer(other)).abs().amax((0, 1))
    assert changed[:, 0, 0].min() > 1e-4
    changed[:, 0, 0] = 0
    assert changed.max() == 0


def test_scaled_frame_indices_separate_neighbouring_frames():
    places = torch.tensor([3 / 16, 4 / 16])
    spread, released = (sinusoidal_embedding(scale * places, 32) for scale in (1000, 1))
    assert (spread[0] - spread[1]).norm() > 10 * (released[0] - released[1]).norm()
    index = seeded(lambda: FrameIndexEmbedding(8, 16))
    assert index(places).shape == (2, 16)
    assert not torch.allclose(*index(places))
