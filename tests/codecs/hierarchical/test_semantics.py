"""The semantic space: sizes, unit length, and whether gradients pass to the latents."""

from functools import cache

import torch

from sonovid.codecs.hierarchical.semantics import MAX_SCALE, ContrastiveHead, Semantics
from sonovid.core.av import AV


@cache
def space(detached=False, classes=3):
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        return Semantics(
            8,
            width=12,
            base=8,
            mults=AV((1, 2), (1,)),
            blocks=AV(1, 1),
            num_classes=classes,
            contrast=5,
            head_width=4,
            detached=detached,
        )


def latents(seed=0, b=4):
    g = torch.Generator().manual_seed(seed)
    return AV(torch.randn(b, 8, 4, 4, generator=g), torch.randn(b, 8, 2, 2, generator=g))


@torch.no_grad()
def test_both_streams_map_to_one_space():
    found = space()(latents())
    assert found.features.video.shape == found.features.audio.shape == (4, 12, 2, 2)
    assert found.logits.shape == (4, 3)
    for v in found.vectors:
        assert v.shape == (4, 5)
        assert torch.allclose(v.norm(dim=1), torch.ones(4))
    assert torch.allclose(torch.stack(list(found.scales)), torch.tensor(1 / 0.07))
    assert space(classes=0)(latents()).logits is None


def test_the_class_depends_on_both_streams():
    z = latents()
    with torch.no_grad():
        before = space()(z).logits
        for other in (AV(latents(1).video, z.audio), AV(z.video, latents(1).audio)):
            assert (space()(other).logits - before).abs().max() > 1e-4


def test_gradients_reach_the_latents_unless_detached():
    for detached in (False, True):
        z = latents().map(lambda x: x.requires_grad_())
        found = space(detached)(z)
        (found.logits.sum() + found.vectors.video[:, 0].sum() + found.vectors.audio[:, 0].sum()).backward()
        assert all((x.grad is not None and bool(x.grad.any())) != detached for x in z)


def test_temperatures_are_learnt_and_bounded():
    head = ContrastiveHead(8, 4)
    with torch.no_grad():
        head.log_scales.fill_(10.0)
    assert [s.item() for s in head.scales()] == [MAX_SCALE, MAX_SCALE]


def test_a_stream_without_latents_has_no_feature():
    with torch.no_grad():
        features = space().project(AV(latents().video, None))
    assert features.audio is None
    assert features.video is not None
