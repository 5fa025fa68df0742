"""The cross-modal discriminator: it distinguishes slots and relates them."""

from functools import cache

import pytest
import torch

from sonovid.codecs.hierarchical.discriminator import Discriminator, paper, small


@cache
def judge():
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        made = Discriminator(**small((32, 32), 8))
        for parameter in made.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


def triples(b=2, seed=0):
    return torch.rand(b, 3, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@torch.no_grad()
def test_one_score_per_triple_independent_of_the_batch():
    x = triples()
    both = judge()(x)
    assert both.shape == (2,)
    assert torch.allclose(both[:1], judge()(x[:1]), atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("slot", range(3))
def test_every_slot_counts(slot):
    x = triples()
    other = x.clone()
    other[:, :, slot] = other[:, :, slot].flip(-1)
    assert (judge()(x) - judge()(other)).abs().min() > 1e-5


@torch.no_grad()
def test_frames_in_the_wrong_order_are_another_triple():
    x = triples()
    assert (judge()(x) - judge()(x[:, :, [0, 2, 1]])).abs().min() > 1e-5


@torch.no_grad()
def test_it_learns_which_audio_belongs_to_which_frames():
    # Were each slot judged by itself, the sum over pairings would not depend on who is paired with whom.
    x = triples()
    swapped = torch.cat([x.flip(0)[:, :, :1], x[:, :, 1:]], 2)
    assert (judge()(x).sum() - judge()(swapped).sum()).abs() > 1e-5


def test_the_published_size():
    with torch.device("meta"):
        made = Discriminator(**paper())
    assert made.slots.shape == (3, 3, 256, 256)
    assert len(made.levels) == 7
    assert round(sum(p.numel() for p in made.parameters()) / 1e6, 2) == 4.03


def test_other_sizes_or_numbers_of_images_are_refused():
    with pytest.raises(ValueError, match="expected"):
        judge()(triples()[:, :, :2])
    with pytest.raises(ValueError, match="cannot be halved"):
        Discriminator(**small((8, 8)))
