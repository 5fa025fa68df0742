"""The joint model: equal to the base models at initialisation, and coupled in both directions afterwards."""

import copy
from dataclasses import replace
from functools import cache

import pytest
import torch
from diffusers import UNet2DConditionModel, UNetMotionModel

from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.models.base import Denoiser
from sonovid.models.svg import SVG
from sonovid.models.svg.model import audioldm_config, cpu_precision, motion_config, paper, tiny, to_timesteps

VARIANTS = ("cmc_pe", "cross_attention", "cross_attention_sequence")


@cache
def silent(variant="cmc_pe"):
    """Initial weights, except for the zero-initialised output layers of the U-Nets."""
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        return SVG(**tiny(variant)).eval()


@cache
def speaking(variant="cmc_pe"):
    """All weights random, including zero-initialised ones."""
    model = copy.deepcopy(silent(variant))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("unets"):
                scale = 0.8 / parameter[0].numel() ** 0.5 if parameter.ndim > 1 else 0.1
                parameter.copy_(scale * torch.randn(parameter.shape, generator=generator) + (parameter == 1))
    return model


def pair(seed=0, b=2, frames=4, steps=8):
    generator = torch.Generator().manual_seed(seed)
    return AV(torch.randn(b, 8, frames, 8, 8, generator=generator), torch.randn(b, 16, steps, 4, generator=generator))


def condition(b=2, words=32):
    generator = torch.Generator().manual_seed(5)
    text = torch.randn(b, words, 32, generator=generator)
    on = torch.ones(b, dtype=torch.bool)
    return Condition(text, torch.ones(b, words, dtype=torch.bool), AV(on, on), torch.randn(b, 32, generator=generator))


TIMES = AV(torch.tensor([0.4, 0.9]), torch.tensor([0.7, 0.2]))


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_the_initial_output_equals_that_of_the_base_models(variant):
    model, x, told = silent(variant), pair(), condition()
    out = model(x, TIMES, told, pair(3)).prediction
    entries = TIMES.map(to_timesteps)
    words = told.text.repeat_interleave(4, 0)
    assert torch.equal(out.video, model.unets["video"](x.video, entries.video, words).sample)
    assert torch.equal(out.audio, model.unets["audio"](x.audio, entries.audio, None, class_labels=told.pooled).sample)


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_each_stream_depends_on_latents_timestep_and_estimate_of_the_other(variant):
    model, x, told = speaking(variant), pair(), condition()
    base = model(x, TIMES, told, pair(3)).prediction
    for i, name in enumerate(AV._fields):
        other = 1 - i
        for change in ("x", "t", "previous"):
            parts = {"x": x, "t": TIMES, "previous": pair(3)}
            values = list(parts[change])
            values[other] = values[other].flip(0) if change == "t" else values[other] + 1
            parts[change] = AV(*values)
            changed = model(parts["x"], parts["t"], told, parts["previous"]).prediction
            assert not torch.allclose(changed[i], base[i], atol=1e-6), f"{name} does not hear of {change}"


@torch.no_grad()
def test_cmc_pe_contexts_are_local_in_time_and_cross_attention_contexts_are_not():
    x = pair()
    later = AV(x.video, x.audio.clone())
    later.audio[:, :, 6:] += 3
    names = AV(*AV._fields)
    for variant, length in (("cmc_pe", 4), ("cross_attention", 1), ("cross_attention_sequence", 4)):
        model = speaking(variant)
        contexts = x.map(model._compute_context, x.map(torch.zeros_like), TIMES.map(to_timesteps), names)
        assert contexts.audio.shape == (2, 32, length)
        assert torch.allclose(contexts.audio.norm(dim=1), torch.ones(2, length), atol=1e-5)


@torch.no_grad()
def test_samples_of_a_batch_are_independent():
    model, x, told = speaking(), pair(), condition()
    both = model(x, TIMES, told).prediction
    one = Condition(told.text[1:], told.text_mask[1:], told.generated.map(lambda g: g[1:]), told.pooled[1:])
    alone = model(x.map(lambda xi: xi[1:]), TIMES.map(lambda t: t[1:]), one).prediction
    for together, single in zip(both, alone, strict=True):
        torch.testing.assert_close(together[1:], single, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_connectors_run_once_for_both_halves_of_guidance(variant):
    model, x, told = copy.deepcopy(speaking(variant)), pair(), condition()
    seen = []
    for connector in model.connectors.values():
        connector.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    alike = pair(b=1).map(lambda xi: torch.cat([xi, xi]))
    times = AV(torch.tensor([0.4, 0.4]), torch.tensor([0.7, 0.7]))
    at_once = model(alike, times, told).prediction
    assert seen == [1, 1]
    for other in ({"t": TIMES}, {"previous": pair(3)}, {"x": x}):
        given = {"x": alike, "t": times, "condition": told, "previous": None, **other}
        model(**given)
    assert seen[2:] == [2] * 6
    for i in range(2):
        own = Condition(
            told.text[i : i + 1], told.text_mask[i : i + 1], told.generated.map(lambda g: g[:1]), told.pooled[i : i + 1]
        )
        alone = model(pair(b=1), times.map(lambda t: t[:1]), own).prediction
        for both, one in zip(at_once, alone, strict=True):
            torch.testing.assert_close(both[i : i + 1], one, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_samples_without_text_use_the_null_condition():
    model, x, told = copy.deepcopy(speaking()), pair(), condition()
    model.set_null_condition(told.text[0] * 2, told.pooled[0] * 2)
    dropped = model(x, TIMES, told.without_text(torch.tensor([True, False]))).prediction
    by_hand = Condition(
        torch.stack([told.text[0] * 2, told.text[1]]),
        told.text_mask,
        told.generated,
        torch.stack([told.pooled[0] * 2, told.pooled[1]]),
    )
    for one, other in zip(dropped, model(x, TIMES, by_hand).prediction, strict=True):
        torch.testing.assert_close(one, other)
    nothing = model(x, TIMES, None).prediction
    for one, other in zip(nothing, model(x, TIMES, told.without_text()).prediction, strict=True):
        torch.testing.assert_close(one, other)


@torch.no_grad()
def test_a_copy_calls_its_own_modules():
    model, x = copy.deepcopy(speaking()), pair()
    before = speaking()(x, TIMES).prediction
    for join in model.joins["video"].values():
        torch.nn.init.zeros_(join.proj_out.weight)
        torch.nn.init.zeros_(join.proj_out.bias)
    after = model(x, TIMES).prediction
    assert not torch.allclose(after.video, before.video)
    assert torch.equal(speaking()(x, TIMES).prediction.video, before.video)


def test_trainable_parameters_have_gradients_and_base_models_are_frozen():
    model = copy.deepcopy(speaking()).train().freeze_bases()
    names = {name for name, _ in model.trainable()}
    assert all("motion" in name for name in names if name.startswith("unets."))
    out = model(pair(), TIMES, condition(), pair(3)).prediction
    (out.video.square().mean() + out.audio.square().mean()).backward()
    for name, parameter in model.named_parameters():
        # The last bias of the distances adds the same to all keys, which attention cannot see.
        if name in names and not name.endswith("distance_bias.net.4.bias"):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
        elif name not in names:
            assert parameter.grad is None, name


def test_gradient_checkpointing_changes_no_gradient():
    grads = []
    for checkpointed in (False, True):
        model = copy.deepcopy(speaking()).train().freeze_bases()
        if checkpointed:
            model.enable_gradient_checkpointing()
        model(pair(), TIMES, condition(), pair(3)).prediction.video.square().mean().backward()
        grads.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    for name, grad in grads[0].items():
        torch.testing.assert_close(grad, grads[1][name], atol=1e-6, rtol=1e-4)


@torch.no_grad()
def test_audio_of_any_length_is_padded_and_cut():
    out = speaking()(pair(steps=7), TIMES).prediction
    assert out.audio.shape == (2, 16, 7, 4)


def test_text_keys_and_values_are_computed_once_per_clip():
    """The result equals that of a U-Net that gets the text per frame, bit for bit, in a second pass too."""
    model, x, told = copy.deepcopy(silent()).train(), pair(), condition()
    rows = []
    layer = model.unets["video"].down_blocks[0].attentions[0].transformer_blocks[0].attn2.to_k
    layer.register_forward_pre_hook(lambda layer, inputs: rows.append(len(inputs[0])))
    words = told.text.repeat_interleave(4, 0)
    alone = model.unets["video"](x.video, to_timesteps(TIMES.video), words).sample
    assert torch.equal(model(x, TIMES, told).prediction.video, alone)
    assert rows == [8, 2]
    model.train_bases().enable_gradient_checkpointing()
    model(x, TIMES, told).prediction.video.square().sum().backward()
    assert rows[2:] == [2, 2]
    assert layer.weight.grad.isfinite().all()


@torch.no_grad()
def test_the_unet_of_a_conditioning_stream_is_skipped():
    model, told = speaking(), condition()
    both = model(pair(), TIMES, told).prediction
    ran = []
    hooks = [unet.register_forward_hook(lambda *_, n=n: ran.append(n)) for n, unet in model.unets.items()]
    for index in range(2):
        on = [torch.ones(2, dtype=torch.bool), torch.ones(2, dtype=torch.bool)]
        on[index] = ~on[index]
        made = model(pair(), TIMES, replace(told, generated=AV(*on))).prediction
        assert not made[index].any()
        assert torch.equal(made[1 - index], both[1 - index])
    assert ran == ["audio", "video"]
    # In sharded training other processes may need its blocks.
    model.runs_all_blocks = True
    model(pair(), TIMES, replace(told, generated=AV(torch.ones(2, dtype=torch.bool), torch.zeros(2, dtype=torch.bool))))
    assert ran == ["audio", "video", "video", "audio"]
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_initial_contexts_differ_between_clips(variant):
    model, sent = silent(variant), []
    hook = model.connectors["video"].register_forward_hook(lambda module, inputs, output: sent.append(output))
    model(pair(b=6), AV(*[torch.full((6,), 0.3)] * 2))
    hook.remove()
    length = sent[0].norm(dim=1, keepdim=True)
    # With weights as they are otherwise drawn, it is 0.93: nearly one direction, whatever is sent.
    assert (sent[0] / length).mean((0, 2)).norm() < 0.8


@torch.no_grad()
def test_centring_removes_constant_context_components():
    """A constant bias of the last convolution does not change contexts once its mean over clips is known."""
    kept = set()
    for variant in VARIANTS:
        with torch.random.fork_rng():
            torch.random.default_generator.manual_seed(0)
            model = SVG(**tiny(variant), centred=True).train()
        kept |= {name.split(".")[-1] for name in model.state_dict() if name.startswith("centring")}
        own, x = {}, pair()
        for bias in (0.0, 50.0):
            for connector in model.connectors.values():
                connector.conv_out.bias.fill_(bias)
            own[bias] = model._compute_contexts(x, pair(3), TIMES.map(to_timesteps))
        for quiet, loud in zip(own[0.0], own[50.0], strict=True):
            torch.testing.assert_close(loud, quiet, atol=1e-3, rtol=0)
            assert quiet.std() > 0.05
    assert kept == {"typical"}


@torch.no_grad()
def test_fold_maps_squares_of_latents_to_channels():
    settings = tiny()
    settings["video"] = {**settings["video"], "in_channels": 32, "out_channels": 32}
    model, x, told = SVG(**settings, fold=2).eval(), pair(), condition()
    made = model(x, TIMES, told).prediction
    assert made.video.shape == x.video.shape
    corners = torch.stack([x.video[..., i::2, j::2] for i in range(2) for j in range(2)], 2).flatten(1, 2)
    words = told.text.repeat_interleave(4, 0)
    expected = model.unets["video"](corners, to_timesteps(TIMES.video), words).sample
    for place, (i, j) in enumerate((i, j) for i in range(2) for j in range(2)):
        assert torch.equal(made.video[..., i::2, j::2], expected.unflatten(1, (8, 4))[:, :, place])
    with pytest.raises(ValueError, match="video latents of 4 channels; its U-Net takes 32, which is 2x2 latents"):
        model(AV(x.video[:, :4], x.audio), TIMES, told)
    with pytest.raises(ValueError, match="multiples of 4"):
        model(AV(x.video[..., :6], x.audio), TIMES, told)


def test_attention_and_narrow_convolutions_train_in_single_precision_under_autocast():
    x, weight = torch.randn(1, 2, 3, 4, dtype=torch.bfloat16), torch.randn(5, 2, 3, 1)
    with torch.autocast("cpu", torch.bfloat16), cpu_precision(x.device):
        assert torch.nn.functional.conv2d(x, weight).dtype == torch.bfloat16
        assert torch.nn.functional.conv2d(x[..., :1], weight).dtype == torch.float32
    q = torch.randn(1, 2, 3, 4, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16), cpu_precision(q.device):
        out = torch.nn.functional.scaled_dot_product_attention(q, q, q)
    assert out.dtype == torch.float32
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), cpu_precision(q.device):
        assert torch.nn.functional.scaled_dot_product_attention(q, q, q).dtype == torch.bfloat16
    model = speaking()
    with torch.autocast("cpu", torch.bfloat16):
        made = model(pair(), TIMES, condition()).prediction
    for one, other in zip(made, model(pair(), TIMES, condition()).prediction, strict=True):
        assert (one - other).norm() < 0.03 * other.norm()


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_save_and_load_round_trip(variant, tmp_path):
    model = speaking(variant)
    model.save_pretrained(tmp_path)
    loaded = SVG.from_pretrained(tmp_path).eval()
    assert isinstance(loaded, Denoiser)
    for one, other in zip(model(pair(), TIMES).prediction, loaded(pair(), TIMES).prediction, strict=True):
        assert torch.equal(one, other)


def test_from_bases_copies_the_weights():
    settings = tiny()
    video, audio = UNetMotionModel.from_config(settings["video"]), UNet2DConditionModel.from_config(settings["audio"])
    options = {key: value for key, value in settings.items() if key not in ("video", "audio")}
    model = SVG.from_bases(video, audio, **options)
    assert torch.equal(model.unets["video"].conv_in.weight, video.conv_in.weight)
    assert model.unets["video"].conv_in.weight is not video.conv_in.weight


@pytest.mark.parametrize(("variant", "millions"), [("cmc_pe", 467.744079), ("cross_attention", 323.687759)])
def test_paper_size(variant, millions):
    """Sec. IV-A: about 468 M trained beside the motion layers."""
    with torch.device("meta"):
        model = SVG(**paper(variant))
    inserted = sum(p.numel() for name, p in model.named_parameters() if not name.startswith("unets."))
    assert inserted == round(millions * 1e6)
    bases = model.unets.video, model.unets.audio
    assert [sum(p.numel() for p in base.parameters()) for base in bases] == [1312730244, 415954568]
    motion = sum(p.numel() for name, p in model.unets.video.named_parameters() if "motion" in name)
    assert motion == pytest.approx(453.2e6, rel=1e-3)


def test_times_map_to_timesteps_of_the_table():
    entries = torch.arange(1000)
    assert torch.equal(to_timesteps((entries + 1) / 1000), entries.float())
    assert to_timesteps(torch.zeros(1)) == 0


def test_invalid_inputs_are_refused():
    model, settings = silent(), tiny()
    with pytest.raises(ValueError, match="33 frames; the motion layers take up to 32"):
        model.check(pair(frames=33))
    with pytest.raises(ValueError, match="3 mel positions; expected 1 or a multiple of 2"):
        model.check(AV(pair().video, pair().audio[..., :3]))
    with pytest.raises(ValueError, match="7x8"):
        model.check(AV(pair().video[:, :, :, :7], pair().audio))
    with pytest.raises(ValueError, match="7 audio steps, expected a multiple of 2"):
        SVG(**settings, pad_audio=False).check(pair(steps=7))
    with pytest.raises(ValueError, match="no motion layers"):
        SVG(settings["audio"] | {"class_embed_type": None}, settings["audio"])
    with pytest.raises(ValueError, match="takes no text vector"):
        SVG(settings["video"], settings["audio"] | {"class_embed_type": None})
    with pytest.raises(ValueError, match="UNet2DConditionModel where a UNetMotionModel"):
        SVG.from_bases(*[UNet2DConditionModel.from_config(settings["audio"])] * 2)
    with pytest.raises(ValueError, match="has 1 blocks"):
        SVG(motion_config((64,), cross_attention_dim=8, in_channels=4, norm_groups=8), settings["audio"])
    with pytest.raises(ValueError, match="multiples of 32"):
        SVG(settings["video"], audioldm_config((64, 40), text_width=8, in_channels=4, norm_groups=8))
    with pytest.raises(ValueError, match="no pooled vector"):
        model(pair(), TIMES, Condition(condition().text, condition().text_mask, condition().generated))
    with pytest.raises(ValueError, match="words of 16 channels"):
        model(pair(), TIMES, Condition(condition().text[..., :16], *list(vars(condition()).values())[1:]))
    with pytest.raises(ValueError, match="one per sample"):
        model(pair(), AV(torch.zeros(2, 4), torch.zeros(2)), condition())
