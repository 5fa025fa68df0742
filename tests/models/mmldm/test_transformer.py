"""MM-LDM's generator: published sizes, dependencies, contexts, single streams, saving."""

from functools import partial

import pytest
import torch
from mmldm_pairs import at, awake, pair
from torch import nn

from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.diffusion.guidance import cross_modal_guidance, replacement_conditioning
from sonovid.diffusion.sampler import build_denoiser, sample, uniform_times
from sonovid.diffusion.schedule import Tabulated
from sonovid.models.base import Denoiser
from sonovid.models.mmldm import MMLDM
from sonovid.models.mmldm.layers import from_tokens, to_tokens
from sonovid.models.mmldm.transformer import paper, tiny


def worded(words, mask=None, labels=None):
    b, k, _ = words.shape
    on = torch.ones(b, dtype=torch.bool)
    mask = torch.ones(b, k, dtype=torch.bool) if mask is None else mask
    return Condition(words, mask, AV(on, on), labels=labels)


def labelled(*labels):
    on = torch.ones(len(labels), dtype=torch.bool)
    return worded(torch.zeros(len(labels), 1, 1), ~on[:, None], torch.tensor(labels))


def same(one, other):
    return all(torch.allclose(a, b, atol=1e-6) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("size", "parameters", "multiply_adds"), [("S", 131.6e6, 34.0e9), ("B", 384.5e6, 100.6e9), ("L", 1543.7e6, 407.3e9)]
)
def test_published_sizes(size, parameters, multiply_adds):
    """Table 4; multiply-adds of convolutions and linear layers at batch 1, those of attention's products left out."""
    counted = []
    with torch.device("meta"):
        model = MMLDM(**paper(size))
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.register_forward_hook(lambda m, inputs, out: counted.append(out.numel() * m.in_features))
        lengths = []
        model.blocks[0].register_forward_hook(lambda m, inputs, out: lengths.append(out.shape[1]))
        model(AV(torch.zeros(1, 16, 1, 16, 16), torch.zeros(1, 16, 8, 8)), AV(*[torch.full((1,), 0.5)] * 2), None)
    assert lengths == [399]
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(parameters, rel=1e-3)
    assert sum(counted) == pytest.approx(multiply_adds, rel=2e-3)


def test_tokens_are_ordered_by_rows():
    z = torch.arange(24.0).reshape(1, 2, 3, 4)  # c 2, steps 3, mel places 4
    tokens = to_tokens("audio", z)
    assert torch.equal(tokens[0, 1], z[0, :, 1, 0])  # the second token is the next step at the same mel place
    assert torch.equal(from_tokens("audio", tokens, z), z)
    video = torch.arange(24.0).reshape(1, 2, 1, 3, 4)
    assert torch.equal(to_tokens("video", video)[0, 1], video[0, :, 0, 0, 1])
    assert torch.equal(from_tokens("video", to_tokens("video", video), video), video)


def test_the_initial_output_is_zero_and_ignores_blocks_and_conditioning():
    model, x, seen = MMLDM(**tiny()), pair(), []
    assert isinstance(model, Denoiser)
    model.blocks[0].register_forward_pre_hook(lambda m, inputs: seen.append(inputs[0]))
    model.blocks[1].register_forward_hook(lambda m, inputs, out: seen.append(out))
    for given in (None, x):
        assert same(model(x, at(), conditioning=given).prediction, x.map(torch.zeros_like))
    assert all(torch.equal(tokens, seen[0]) for tokens in seen)


def test_every_input_affects_both_streams():
    model, x = awake(MMLDM(**tiny())), pair()
    plain = model(x, at()).prediction
    for changed in (
        model(AV(x.video + 1, x.audio), at()),
        model(AV(x.video, x.audio + 1), at()),
        model(x, at(0.7)),
        model(x, at(), conditioning=AV(x.video, None)),
        model(x, at(), conditioning=AV(None, x.audio)),
        model(x, at(), drop_context=torch.tensor([True, True])),
    ):
        assert all(not torch.allclose(a, b) for a, b in zip(plain, changed.prediction, strict=True))


def test_every_parameter_has_a_gradient_once_gates_are_nonzero():
    model, x = awake(MMLDM(**{**tiny(), "context": "class", "num_classes": 3})), pair()
    out = model(x, at(), labelled(0, 2), conditioning=x).prediction
    (out.video.square().mean() + out.audio.square().mean()).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


def test_zero_initialised_layers_have_gradients():
    """Zero-initialised conditioning layers get a gradient from a non-zero input."""
    model, x = MMLDM(**tiny()), pair()
    for part in model.exits.values():
        nn.init.normal_(part.linear.weight)
    sum(one.square().mean() for one in model(x, at(), conditioning=x).prediction).backward()
    assert all(linear.weight.grad.abs().sum() > 0 for linear in model.given_in.values())


def test_embed_context_is_valid_for_all_steps():
    model, x = awake(MMLDM(**tiny())), pair()
    calls = []
    model.context_in.register_forward_hook(lambda *_: calls.append(1))
    dropped = torch.tensor([False, True])
    context = model.embed_context(None, 2, dropped)
    step = partial(model, context=context)
    for value in (0.9, 0.5, 0.1):
        assert torch.equal(step(x, at(value)).prediction.video, model(x, at(value), drop_context=dropped).prediction.video)
    assert len(calls) == 1 + 3


def test_text_of_a_sample_is_independent_of_the_batch():
    model, x = awake(MMLDM(**{**tiny(), "context": "text"})), pair()
    words, mask = torch.randn(2, 3, 16), torch.tensor([[True, True, False], [True, True, True]])
    words[0, 2] = float("nan")
    both = model(x, at(), worded(words, mask)).prediction
    alone = model(x.map(lambda z: z[:1]), at(b=1), worded(words[:1, :2])).prediction
    assert same(both.map(lambda z: z[:1]), alone)
    assert not same(both, model(x, at()).prediction)
    nothing = worded(words, mask).without_text()
    assert same(model(x, at(), nothing).prediction, model(x, at()).prediction)
    assert same(
        model(x, at(), worded(words, mask), drop_context=torch.tensor([True, True])).prediction, model(x, at()).prediction
    )


def test_class_and_null_contexts():
    model, x = awake(MMLDM(**{**tiny(), "context": "class", "num_classes": 3})), pair()
    x = x.map(lambda z: z[:1].expand(2, *z.shape[1:]))
    one, other = model(x, at(), labelled(0, 2)).prediction.video
    assert not torch.allclose(one, other)
    none = model(x, at(), labelled(-1, 2)).prediction.video
    assert torch.allclose(none[0], model(x, at()).prediction.video[0], atol=1e-6)
    beside = labelled(1).concat(worded(torch.zeros(1, 1, 1), torch.zeros(1, 1, dtype=torch.bool)))
    assert beside.labels.tolist() == [1, -1]


@pytest.mark.parametrize(("name", "other"), [("video", "audio"), ("audio", "video")])
def test_a_model_of_one_stream(name, other):
    """MM-LDM-v and MM-LDM-a: the other stream is a tensor without elements, and stays one."""
    model = awake(MMLDM(**{**tiny(), other: None}))
    empty = AV(torch.zeros(2, 4, 1, 0, 4), torch.zeros(2, 4, 0, 4))
    x = pair()._replace(**{other: getattr(empty, other)})
    out = model(x, at()).prediction
    assert getattr(out, other).shape == getattr(x, other).shape
    assert getattr(out, name).shape == getattr(x, name).shape
    assert getattr(out, name).abs().sum() > 0
    assert not [key for key in model.state_dict() if other in key]
    with pytest.raises(ValueError, match="this model generates none"):
        model(pair(), at())


def test_half_precision_keeps_the_dtype_and_is_close():
    model, x = awake(MMLDM(**tiny())), pair()
    whole = model(x, at()).prediction
    half = model.to(torch.bfloat16)(x, at()).prediction
    for one, other in zip(whole, half, strict=True):
        assert other.dtype == torch.float32
        assert (one - other).abs().max() < 0.05 * one.abs().max()


def test_checkpointing_changes_no_gradient():
    model, x = awake(MMLDM(**tiny())).train(), pair()

    def gradient():
        model.zero_grad()
        model(x, at()).prediction.video.square().mean().backward()
        return model.blocks[0].mlp.widen.weight.grad.clone()

    plain = gradient()
    model.enable_gradient_checkpointing()
    torch.testing.assert_close(gradient(), plain)


def test_save_and_load_round_trip(tmp_path):
    model, x = awake(MMLDM(**{**tiny(), "context": "class", "num_classes": 2})), pair()
    model.save_pretrained(tmp_path)
    again = MMLDM.from_pretrained(tmp_path)
    assert torch.equal(again(x, at(), labelled(0, 1)).prediction.audio, model(x, at(), labelled(0, 1)).prediction.audio)


def test_invalid_inputs_are_refused_in_one_line():
    model, x = MMLDM(**tiny()), pair()
    with pytest.raises(ValueError, match=r"audio latents \(4, 5, 4\), expected \(4, 4, 4\)"):
        model(AV(x.video, torch.zeros(2, 4, 5, 4)), at())
    with pytest.raises(ValueError, match="video latents"):
        model(x, at(), conditioning=AV(torch.zeros(2, 4, 2, 4, 4), None))
    with pytest.raises(ValueError, match="share one timestep"):
        model(x, AV(torch.zeros(2), torch.ones(2)))
    with pytest.raises(ValueError, match="got labels"):
        model(x, at(), labelled(0, 1))
    classes = MMLDM(**{**tiny(), "context": "class", "num_classes": 2})
    with pytest.raises(ValueError, match="knows classes 0 to 1"):
        classes(x, at(), labelled(0, 2))
    text = MMLDM(**{**tiny(), "context": "text"})
    with pytest.raises(ValueError, match="words of 5 channels"):
        text(x, at(), worded(torch.zeros(2, 3, 5)))
    with pytest.raises(ValueError, match="9 words; this model takes 4"):
        text(x, at(), worded(torch.zeros(2, 9, 16)))
    for wrong, match in (
        ({"context": "class"}, "0 classes"),
        ({"heads": 5}, "with 5 heads"),
        ({"video": None, "audio": None}, "at least one stream"),
    ):
        with pytest.raises(ValueError, match=match):
            MMLDM(**{**tiny(), **wrong})
    with pytest.raises(ValueError, match="size 'XL'"):
        paper("XL")


@pytest.mark.parametrize(
    "against",
    [["without_modality"], ["without_context"], ["without_modality", "without_context"]],
    ids=["modality", "context", "both"],
)
def test_audio_is_sampled_for_conditioning_video(against):
    """Complete sampling: contexts projected once, guidance by Eq. 9, the conditioning stream unchanged at the end."""
    model, schedule = awake(MMLDM(**tiny())), AV(*[Tabulated("scaled_linear", 0.00085, 0.012)] * 2)
    clean, noise = pair(), pair(seed=3)
    given = AV(clean.video, None)

    def told(given, drop_context=None):
        return build_denoiser(
            partial(model, conditioning=given, context=model.embed_context(None, 2, drop_context)), schedule, "eps"
        )

    nulls = {"without_modality": told(None), "without_context": told(given, torch.ones(2, dtype=torch.bool))}
    nulls = {name: null for name, null in nulls.items() if name in against}
    ends = []
    for phi in (1.0, 4.0):
        guided = cross_modal_guidance(told(given), AV(1.0, phi), **nulls)
        with torch.no_grad():
            times = uniform_times(3)
            ends.append(sample(replacement_conditioning(guided, given, schedule, noise), noise, schedule, AV(times, times)))
    assert all(torch.equal(end.video, clean.video) for end in ends)
    assert all(end.audio.isfinite().all() for end in ends)
    assert not torch.allclose(ends[0].audio, ends[1].audio)
