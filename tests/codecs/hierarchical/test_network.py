"""HierarchicalNetwork: sizes, the null condition, and the conditions of the decoder."""

import pytest
import torch
from tiny_autoencoder import autoencoder

from sonovid.codecs.hierarchical.network import HierarchicalNetwork, paper, scenes, tiny
from sonovid.core.av import AV


def millions(module):
    return round(sum(p.numel() for p in module.parameters()) / 1e6, 1)


def test_published_size_on_the_meta_device():
    with torch.device("meta"):
        made = HierarchicalNetwork(**paper())
    assert made.latent_sizes == AV((16, 16), (8, 8))
    assert made.signal_shapes == AV((4, 16, 32, 32), (4, 32, 32))
    assert millions(made.decoder.unet) == 859.5
    assert [millions(made.encoders[name]) for name in AV._fields] == [28.7, 104.3]
    assert (millions(made.semantics), millions(made)) == (102.4, 1313.6)


def test_sizes_for_scenes_and_tests():
    assert HierarchicalNetwork(**scenes()).latent_sizes == AV((8, 8), (4, 4))
    assert HierarchicalNetwork(**tiny()).latent_sizes == AV((4, 4), (2, 2))


def latents(network, b=2, seed=0):
    g = torch.Generator().manual_seed(seed)
    c = network.config.latent_channels
    return network.latent_sizes.map(lambda size: torch.randn(b, c, *size, generator=g))


@torch.no_grad()
def test_each_stream_is_conditioned_on_the_semantics_of_the_other_stream_only():
    network = autoencoder().network
    z = latents(network)
    frames = torch.tensor([[0, 2], [1, 3]])
    features = network.encode_semantics(z).features
    before = network.make_condition(z, frames, features=features)
    other = network.make_condition(z, frames, features=AV(features.video + 1, features.audio))
    changed = before.map(lambda a, b: ((a.tokens - b.tokens).abs().amax((1, 2)) > 1e-5).tolist(), other)
    assert changed == AV([False] * 4, [True] * 2)


@torch.no_grad()
def test_dropped_conditions_are_the_null_condition_per_sample():
    network = autoencoder().network
    frames = torch.zeros(2, 1, dtype=torch.long)
    present = AV(torch.tensor([False, True]), torch.tensor([True, True]))
    null_latents = network.null_latents()
    a, b = (
        network.make_condition(latents(network, seed=s), frames, keep_condition=present, null_latents=null_latents)
        for s in (0, 1)
    )
    same = a.map(lambda x, y: [torch.equal(x.content[i], y.content[i]) for i in range(2)], b)
    assert same == AV([True, False], [False, False])
    assert all(torch.equal(x[0], y[0]) for x, y in zip(a.video.features, b.video.features, strict=True))
    assert not a.video.tokens[0].any()
    assert a.video.tokens[1].any()


@torch.no_grad()
def test_without_a_semantic_space_there_are_no_semantic_features():
    network = autoencoder(semantic=None).network
    z = latents(network)
    assert network.encode_semantics(z) is None
    told = network.make_condition(z, torch.zeros(2, 1, dtype=torch.long))
    assert told.map(lambda part: tuple(part.tokens.shape)) == AV((2, 3, 16), (2, 3, 16))


@pytest.mark.parametrize("sizes", [{"size": (5, 5)}, {"audio_size": (4, 9)}], ids=list)
def test_indivisible_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match="expected multiples"):
        HierarchicalNetwork(**{**tiny(), **sizes})


@torch.no_grad()
def test_images_of_one_size_pass_the_decoder_in_one_batch_with_the_same_result():
    network = autoencoder().network
    z, frames, g = latents(network), torch.tensor([[0, 2], [1, 3]]), torch.Generator().manual_seed(3)
    told = network.make_condition(z, frames)
    x, t = AV(torch.randn(4, 4, 4, 4, generator=g), torch.randn(2, 4, 4, 4, generator=g)), AV(torch.rand(4), torch.rand(2))
    calls = []
    handle = network.decoder.register_forward_pre_hook(lambda module, inputs: calls.append(len(inputs[0])))
    together = network(x, t, told)
    handle.remove()
    assert calls == [6]
    apart = network(AV(x.video, None), AV(t.video, None), AV(told.video, None))
    assert apart.audio is None
    torch.testing.assert_close(together.video, apart.video, rtol=0, atol=1e-5)
    torch.testing.assert_close(together.audio, network.decoder(x.audio, t.audio, told.audio), rtol=0, atol=1e-5)


@torch.no_grad()
def test_audio_images_of_their_own_size():
    torch.manual_seed(0)
    network = HierarchicalNetwork(**{**tiny(), "audio_size": (4, 12)})
    assert network.latent_sizes == AV((4, 4), (2, 6))
    assert network.signal_shapes == AV((4, 4, 4, 4), (4, 4, 12))
    seen = network.signal_shapes.map(lambda shape: torch.randn(2, *shape))
    z = network.posterior(seen).map(lambda moments: moments[0])
    assert z.map(lambda one: tuple(one.shape)) == AV((2, 8, 4, 4), (2, 8, 2, 6))
    semantics = network.encode_semantics(z)
    told = network.make_condition(z, torch.tensor([[0, 2], [1, 3]]), features=semantics.features)
    out = network(AV(seen.video[:, :, :2].movedim(2, 1).flatten(0, 1), seen.audio), AV(torch.rand(4), torch.rand(2)), told)
    assert out.map(lambda one: tuple(one.shape)) == AV((4, 4, 4, 4), (2, 4, 4, 12))


@torch.no_grad()
def test_each_image_gets_the_draft_of_its_own_frame():
    torch.manual_seed(0)
    network = HierarchicalNetwork(**{**tiny(), "predict": "x0", "decoding": {"modality_tokens": 3, "drafted": True}})
    z, frames = latents(network), torch.tensor([[0, 2], [1, 3]])
    told = network.make_condition(z, frames)
    wanted = [network.drafts["video"](z.video, frames), network.drafts["audio"](z.audio, torch.zeros(2, 1, dtype=torch.long))]
    assert all(torch.equal(part.draft, draft) for part, draft in zip(told, wanted, strict=True))
    assert told.map(lambda part: tuple(part.draft.shape)) == AV((4, 4, 4, 4), (2, 4, 4, 4))
    null_latents, absent = network.null_latents(), AV(torch.tensor([False, True]), torch.tensor([True, True]))
    silent = network.make_condition(z, frames, keep_condition=absent, null_latents=null_latents)
    torch.testing.assert_close(silent.video.draft[:2], network.drafts["video"](null_latents.video, frames[:1]))
    assert torch.equal(silent.video.draft[2:], told.video.draft[2:])
    assert torch.equal(silent.audio.draft, told.audio.draft)


def test_drafts_require_x0_prediction():
    with pytest.raises(ValueError, match="predict='eps' with a draft"):
        HierarchicalNetwork(**{**tiny(), "decoding": {"drafted": True}})


def test_the_decoder_learns_to_distinguish_frames_by_latents_and_index():
    # Two clips of frames that have nothing to do with each other, learnt by heart from what the decoder is told alone.
    g = torch.Generator().manual_seed(1)
    seen = AV(torch.randn(2, 4, 4, 4, 4, generator=g), torch.randn(2, 4, 4, 4, generator=g))
    network = autoencoder(fresh=True, predict="x0").network
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    frames, wanted = torch.arange(4)[None].expand(2, 4), seen.video - seen.video.mean(2, keepdim=True)
    for _ in range(60):
        z = network.posterior(seen).video[0]
        x = AV(torch.randn(8, 4, 4, 4, generator=g), None)
        made = network(x, AV(torch.ones(8), None), network.make_condition(AV(z, None), frames)).video
        made = made.reshape(2, 4, 4, 4, 4).movedim(1, 2)
        loss = (made - seen.video).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    moving = made - made.mean(2, keepdim=True)
    # All frames alike would leave all of it.
    assert (moving - wanted).square().mean() < 0.4 * wanted.square().mean()
