"""The signal decoder: hooks against an explicit forward pass, the effect of each condition, released weights."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn

from sonovid.codecs.hierarchical.signal_decoder import (
    DecoderCondition,
    DraftPredictor,
    FeaturePyramid,
    SignalDecoder,
    list_input_blocks,
    repeat_condition,
    resize,
    unet_config,
)
from sonovid.core.av import AV

UNET = unet_config((16, 32), channels=4, cross_attention_dim=12, layers=1, heads=2, groups=4)


@cache
def decoder(**options):
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        made = SignalDecoder(
            UNET, 8, AV((4, 4), (2, 2)), **{"semantic_width": 6, "num_classes": 3, "modality_tokens": 2, **options}
        )
        # What begins at zero would hide what it is told.
        for parameter in made.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


def make_condition(n=2, stream="video", seed=0, own=None, **changes):
    g = torch.Generator().manual_seed(seed)
    own = own or decoder()
    size = (4, 4) if stream == "video" else (2, 2)
    given = {
        "position": torch.linspace(0, 0.75, n) if stream == "video" else None,
        "semantic_features": torch.randn(n, 6, 2, 2, generator=g),
        "labels": torch.arange(n) % 3,
    }
    return own.make_condition(stream, torch.randn(n, 8, *size, generator=g), (8, 8), **{**given, **changes})


def noisy(n=2, seed=1):
    return torch.randn(n, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


TIMES = torch.tensor([0.3, 0.9])


def test_stable_diffusion_has_twelve_input_blocks():
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(unet_config((320, 640, 1280, 1280), channels=4, cross_attention_dim=768))
    assert [c for _, c in list_input_blocks(unet)] == [320] * 4 + [640] * 3 + [1280] * 5
    assert round(sum(p.numel() for p in unet.parameters()) / 1e6, 1) == 859.5


@torch.no_grad()
def test_hooks_match_an_explicit_forward_pass():
    own, x, says = decoder(), noisy(), make_condition()
    unet: nn.Module = own.unet
    entries = TIMES * 1000 - 1
    time = unet.time_embedding.linear_2(torch.nn.functional.silu(unet.time_embedding.linear_1(unet.time_proj(entries))))
    time = time + says.content
    h = unet.conv_in(x) + says.features[0]
    down = unet.down_blocks
    skips = [h]
    h = down[0].attentions[0](down[0].resnets[0](h, time), encoder_hidden_states=says.tokens, return_dict=False)[0]
    h = h + says.features[1]
    skips.append(h)
    h = down[0].downsamplers[0](h) + says.features[2]
    skips.append(h)
    h = down[1].resnets[0](h, time) + says.features[3]
    skips.append(h)
    h = unet.mid_block(h, time, encoder_hidden_states=says.tokens)
    for block in unet.up_blocks:
        own_skips, skips = tuple(skips[-len(block.resnets) :]), skips[: -len(block.resnets)]
        more = {"encoder_hidden_states": says.tokens} if hasattr(block, "attentions") else {}
        h = block(hidden_states=h, res_hidden_states_tuple=own_skips, temb=time, **more)
    wanted = unet.conv_out(unet.conv_act(unet.conv_norm_out(h)))
    assert torch.allclose(own(x, TIMES, says), wanted, atol=1e-5)


@torch.no_grad()
def test_hooks_are_inactive_outside_a_call():
    own, x, says = decoder(), noisy(), make_condition()
    plain = own.unet(x, TIMES * 1000 - 1, says.tokens).sample
    assert not torch.allclose(plain, own(x, TIMES, says), atol=1e-3)
    assert torch.equal(plain, own.unet(x, TIMES * 1000 - 1, says.tokens).sample)


@torch.no_grad()
@pytest.mark.parametrize("change", ["position", "semantic_features", "labels", "keep_condition", "stream"])
def test_every_condition_changes_the_prediction(change):
    own, x = decoder(), noisy()
    g = torch.Generator().manual_seed(9)
    before = own(x, TIMES, make_condition())
    changes = {
        "position": {"position": torch.tensor([0.5, 0.0])},
        "semantic_features": {"semantic_features": torch.randn(2, 6, 2, 2, generator=g)},
        "labels": {"labels": torch.tensor([2, 2])},
        "keep_condition": {"keep_condition": torch.tensor([False, False])},
        "stream": {"stream": "audio"},
    }[change]
    assert (own(x, TIMES, make_condition(**changes)) - before).abs().max() > 1e-4


@torch.no_grad()
def test_a_dropped_condition_has_zero_tokens_and_others_are_unchanged():
    some = make_condition(keep_condition=torch.tensor([False, True]))
    assert some.tokens.shape == (2, 2 + 1 + 4, 12)
    assert not some.tokens[0].any()
    assert torch.equal(some.tokens[1], make_condition().tokens[1])


@torch.no_grad()
def test_a_missing_class_is_a_token_of_zeros():
    assert not make_condition(labels=torch.tensor([-1, 1])).tokens[0, 2].any()
    assert not make_condition(labels=None).tokens[:, 2].any()
    assert make_condition().tokens[:, 2].any(1).all()


@torch.no_grad()
def test_pooled_content_ignores_positions_and_flattened_content_does_not():
    z = torch.randn(1, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    for kind, same in (("pooled", True), ("flattened", False)):
        own = decoder(content=kind)
        place = torch.zeros(1)
        here, turned = (own.make_condition("video", y, (8, 8), position=place).content for y in (z, z.flip(3)))
        assert torch.allclose(here, turned, atol=1e-5) == same


def test_a_feature_pyramid_is_zero_initialised_and_has_gradients():
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        own = FeaturePyramid(8, (16, 32), 0)
    features = own(torch.randn(2, 8, 4, 4), [(8, 8), (2, 2)])
    assert [f.shape for f in features] == [(2, 16, 8, 8), (2, 32, 2, 2)]
    assert not any(f.any() for f in features)
    sum(f.sum() for f in features).backward()
    assert all(end.weight.grad.any() for end in own.ends)


def test_latents_are_resized_by_repetition_or_averaging():
    z = torch.arange(4.0).reshape(1, 1, 2, 2)
    assert resize(z, (4, 4))[0, 0, 0].tolist() == [0, 0, 1, 1]
    assert resize(z, (1, 1)).item() == 1.5
    assert resize(z, (2, 2)) is z


@torch.no_grad()
def test_concatenated_conditions_match_separate_batches():
    own, parts = decoder(), [make_condition(), make_condition(stream="audio", seed=3)]
    x = noisy(4)
    both = own(x, TIMES.repeat(2), DecoderCondition.concat(parts))
    for i, part in enumerate(parts):
        rows = slice(2 * i, 2 * i + 2)
        assert torch.allclose(both[rows], own(x[rows], TIMES, part), atol=1e-5)


@torch.no_grad()
def test_a_draft_is_one_convolution_per_frame():
    own, z = DraftPredictor(3, 4, 5, 2), torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    numbers = torch.tensor([[1, 4], [0, 3]])
    made = own(z, numbers)
    for n, (clip, frame) in enumerate([(0, 1), (0, 4), (1, 0), (1, 3)]):
        for c in range(4):
            # Channel, then frame, then the place in the square of four.
            first = (c * 5 + frame) * 4
            planes = torch.nn.functional.conv2d(
                z[clip : clip + 1], own.conv.weight[first : first + 4], own.conv.bias[first : first + 4], padding=1
            )[0]
            for place, plane in enumerate(planes):
                torch.testing.assert_close(made[n, c, place // 2 :: 2, place % 2 :: 2], plane)


@torch.no_grad()
def test_a_draft_is_added_to_the_output_and_follows_its_image():
    own, plain, x = decoder(), make_condition(), noisy()
    drafts = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    drafted = replace(plain, draft=drafts)
    torch.testing.assert_close(own(x, TIMES, drafted) - own(x, TIMES, plain), drafts, atol=1e-5, rtol=0)
    assert torch.equal(repeat_condition(drafted, 3).draft, drafts[[0, 0, 0, 1, 1, 1]])
    assert torch.equal(DecoderCondition.concat([drafted, replace(drafted, draft=-drafts)]).draft, torch.cat([drafts, -drafts]))
    assert DecoderCondition.concat([plain, plain]).draft is None


def test_released_unets_are_loaded_and_other_shapes_refused(tmp_path):
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(5)
        released = UNet2DConditionModel.from_config(UNET)
        other = UNet2DConditionModel.from_config({**UNET, "block_out_channels": [16, 16]})
    released.save_pretrained(tmp_path / "sd" / "unet")
    other.save_pretrained(tmp_path / "other")
    own = SignalDecoder(UNET, 8, AV((4, 4), (2, 2)), semantic_width=6)
    own.load_unet(tmp_path / "sd", subfolder="unet")
    assert all(torch.equal(a, b) for a, b in zip(own.unet.parameters(), released.parameters(), strict=True))
    x = noisy()
    says = own.make_condition(
        "video", torch.randn(2, 8, 4, 4), (8, 8), position=torch.zeros(2), keep_condition=torch.zeros(2, dtype=torch.bool)
    )
    with torch.no_grad():
        # What is new is silent: it begins as the released model does without words.
        wanted = released(x, TIMES * 1000 - 1, torch.zeros_like(says.tokens)).sample
        assert torch.allclose(own(x, TIMES, says), wanted, atol=1e-5)
    with pytest.raises(ValueError, match="another shape"):
        own.load_unet(tmp_path / "other")


def test_positions_are_for_video_only():
    with pytest.raises(ValueError, match="position"):
        decoder().make_condition("audio", torch.zeros(1, 8, 2, 2), (8, 8), position=torch.zeros(1))
