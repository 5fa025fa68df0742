"""Continuation: it is initialised from the generator, and the previous window affects both streams."""

import pytest
import torch
from mmldm_pairs import at, awake, pair

from sonovid.core.av import AV
from sonovid.models.mmldm import MMLDM, Continuation
from sonovid.models.mmldm.transformer import tiny


def test_from_generator_copies_weights_and_adds_a_zero_initialised_transformer():
    generator = awake(MMLDM(**tiny()))
    model, x, before = Continuation.from_generator(generator), pair(), pair(seed=2)
    assert len(model.before.blocks) == 1
    tokens = []
    model.network.blocks[0].register_forward_hook(lambda m, inputs, out: tokens.append(out))
    model(x, at(), previous_window=before)
    added = model.before(before, x, generator.timesteps(at()), model.embed_context(None, 2, None, before).chunk(2, dim=-1)[1])
    assert all(one.abs().max() == 0 for one in added)
    for key, value in generator.state_dict().items():
        assert torch.equal(model.network.state_dict()[key], value)


def test_the_previous_window_affects_both_streams_and_zeros_are_none():
    model, x, before = awake(Continuation(tiny(), 2)), pair(), pair(seed=2)
    whole = model(x, at(), previous_window=before).prediction
    for less in (AV(None, before.audio), AV(before.video, None), None):
        found = model(x, at(), previous_window=less).prediction
        assert all(not torch.allclose(a, b) for a, b in zip(found, whole, strict=True))
    zeros = x.map(torch.zeros_like)
    assert torch.equal(model(x, at()).prediction.video, model(x, at(), previous_window=zeros).prediction.video)


def test_embed_context_is_valid_for_all_steps():
    model, x, before = awake(Continuation(tiny(), 1)), pair(), pair(seed=2)
    context = model.embed_context(None, 2, None, before)
    for value in (0.8, 0.2):
        once = model(x, at(value), previous_window=before, context=context).prediction
        assert torch.equal(once.audio, model(x, at(value), previous_window=before).prediction.audio)


def test_every_parameter_has_a_gradient_once_gates_are_nonzero():
    model, x = awake(Continuation(tiny(), 2)), pair()
    out = model(x, at(), conditioning=x, previous_window=pair(seed=2)).prediction
    (out.video.square().mean() + out.audio.square().mean()).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


def test_save_and_load_round_trip(tmp_path):
    model, x = awake(Continuation(tiny(), 1)), pair()
    model.save_pretrained(tmp_path)
    again = Continuation.from_pretrained(tmp_path)
    assert torch.equal(again(x, at(), previous_window=x).prediction.video, model(x, at(), previous_window=x).prediction.video)


def test_invalid_inputs_are_refused():
    with pytest.raises(ValueError, match="num_classes=3 of a generator of 0"):
        Continuation(tiny(), 1, num_classes=3)
    with pytest.raises(ValueError, match="depth 3; expected 1 to the generator's 2"):
        Continuation(tiny(), 3)
    with pytest.raises(ValueError, match="audio latents"):
        Continuation(tiny(), 1)(pair(), at(), previous_window=AV(None, torch.zeros(2, 4, 3, 4)))
