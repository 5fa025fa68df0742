"""Easy fusion: nearest neighbours by hand, the fused projection against a concatenation, and locality in time."""

import pytest
import torch
import torch.nn.functional as F
from einops import repeat

from sonovid.core.av import AV
from sonovid.models.cmmd.easy_fusion import (
    EasyFusion,
    FusedAttention,
    align_audio_to_video,
    align_video_to_audio,
    resample_nearest,
)

WIDTH, FRAMES, STEPS = 8, 18, 112
ALIKE = AV(WIDTH, WIDTH)


def pair(b: int = 2, frames: int = FRAMES, steps: int = STEPS, size: int = 4, widths: AV = ALIKE) -> AV:
    g = torch.Generator().manual_seed(0)
    return AV(torch.randn(b, frames, size, size, widths.video, generator=g), torch.randn(b, steps, widths.audio, generator=g))


def awake(fusion: bool = True, widths: tuple[int, int] = ALIKE) -> FusedAttention:
    torch.manual_seed(0)
    module = FusedAttention(*widths, 4, fusion=fusion)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module


@pytest.mark.parametrize(("steps", "length"), [(112, 18), (18, 112), (14, 18), (224, 36), (5, 5), (1, 7), (7, 1)])
def test_nearest_in_time_takes_the_step_at_which_each_begins(steps, length):
    x = torch.arange(steps, dtype=torch.float32)[None, :, None]
    taken = resample_nearest(x, length)[0, :, 0].tolist()
    # Step i of `length` begins at the share i / length; step j of `steps` lasts from j / steps to (j + 1) / steps.
    expected = [next(j for j in range(steps) if i * steps < (j + 1) * length) for i in range(length)]
    assert taken == expected


def test_nearest_in_time_is_exact_where_floats_are_not():
    """Every frame's own first step, for any multiple; a product of floats misses some of them."""
    for frames in range(1, 200):
        steps = 49 * frames
        x = torch.arange(steps, dtype=torch.float32)[None, :, None]
        assert torch.equal(resample_nearest(x, frames)[0, :, 0], 49.0 * torch.arange(frames))


def test_shapes_of_figure_2_for_lengths_that_do_not_divide():
    x = pair()
    assert align_audio_to_video(x.audio, FRAMES).shape == (2, FRAMES, 1, 1, WIDTH)
    assert align_video_to_audio(x.video.mean((2, 3)), STEPS).shape == (2, STEPS, WIDTH)
    out = EasyFusion(ALIKE, 4, fusion=True)(x)
    assert out.map(lambda y: y.shape) == x.map(lambda y: y.shape)


@pytest.mark.parametrize("widths", [(WIDTH, WIDTH), (WIDTH, 12), (12, WIDTH)])
@pytest.mark.parametrize("stream", ["video", "audio"])
def test_the_fused_projection_is_a_projection_of_the_concatenation(stream, widths):
    """Figure 2 done literally: resample, pool or repeat, concatenate to both widths together, and one linear map of that."""
    x = pair(widths=AV(*widths))
    module = awake(widths=widths if stream == "video" else widths[::-1])
    own, other = (module.norm(x.video), module.other_norm(x.audio)) if stream == "video" else (None, None)
    if stream == "video":
        index = [i * STEPS // FRAMES for i in range(FRAMES)]
        beside = repeat(other[:, index], "b t c -> b t h w c", h=4, w=4)
    else:
        own, other = module.norm(x.audio), module.other_norm(x.video)
        beside = torch.stack([other[:, j * FRAMES // STEPS].mean((1, 2)) for j in range(STEPS)], dim=1)
    weight = torch.cat([module.qkv.weight, module.other_qkv.weight], dim=1)
    literal = F.linear(torch.cat([own, beside], dim=-1), weight, module.qkv.bias)
    assert torch.allclose(module.fused_qkv(x, stream), literal, atol=1e-4)


def reached(module: FusedAttention, x: AV, changed: AV, stream: str) -> set[int]:
    """The times of a stream whose queries, keys or values differ."""
    difference = (module.fused_qkv(changed, stream) - module.fused_qkv(x, stream)).abs()
    while difference.ndim > 2:
        difference = difference.amax(2) if difference.ndim > 3 else difference.amax(-1)
    return set(torch.nonzero(difference.amax(0) > 1e-6)[:, 0].tolist())


@pytest.mark.parametrize("frame", range(FRAMES))
def test_a_frame_reaches_the_steps_of_its_moment_and_no_others(frame):
    module, x = awake(), pair(b=1)
    video = x.video.clone()
    video[:, frame] += torch.randn(video[:, frame].shape, generator=torch.Generator().manual_seed(1))
    changed = AV(video, x.audio)
    # Step j begins at j / 112 of the clip, while frame floor(18 j / 112) stands.
    moment = {j for j in range(STEPS) if frame / FRAMES <= j / STEPS < (frame + 1) / FRAMES}
    assert len(moment) in (6, 7)
    assert reached(module, x, changed, "audio") == moment
    assert reached(module, x, changed, "video") == {frame}


@pytest.mark.parametrize("step", [0, 1, 6, 7, 12, 50, 105, 111])
def test_a_step_reaches_the_frame_of_its_moment_and_no_other(step):
    module, x = awake(), pair(b=1)
    audio = x.audio.clone()
    audio[:, step] += 1.5 * torch.randn(WIDTH, generator=torch.Generator().manual_seed(1))
    changed = AV(x.video, audio)
    # The nearest neighbour of frame i is the step during which it begins; steps between two frames reach none at first.
    moment = {i for i in range(FRAMES) if step / STEPS <= i / FRAMES < (step + 1) / STEPS}
    assert reached(module, x, changed, "video") == moment
    assert reached(module, x, changed, "audio") == {step}


def test_every_frame_and_every_moment_is_reached():
    """No frame is without a step, and every frame stands at some step, as long as there are no fewer steps than frames."""
    for frames, steps in ((18, 112), (36, 224), (16, 125), (7, 7), (9, 11)):
        time = torch.arange(frames, dtype=torch.float32)[None, :, None]
        assert set(resample_nearest(time, steps).flatten().tolist()) == set(range(frames))


def test_without_fusion_a_stream_is_alone():
    module, x = awake(fusion=False), pair()
    louder = AV(x.video, x.audio + torch.randn_like(x.audio))
    assert torch.equal(module.attend_over_space(x), module.attend_over_space(louder))
    assert torch.equal(module.attend_over_frames(x), module.attend_over_frames(louder))
    brighter = AV(x.video + torch.randn_like(x.video), x.audio)
    assert torch.equal(module.attend_over_audio_steps(x), module.attend_over_audio_steps(brighter))


def test_attention_runs_over_its_own_axis():
    """Over space a frame sees itself alone, over frames a pixel does."""
    module, x = awake(fusion=False), pair(b=1)
    video = x.video.clone()
    video[:, 3, 1, 2] += torch.randn(WIDTH, generator=torch.Generator().manual_seed(1))
    changed = AV(video, x.audio)
    space = (module.attend_over_space(changed) - module.attend_over_space(x)).abs().amax(-1)[0] > 1e-7
    assert space[3].all()
    assert not space[torch.arange(FRAMES) != 3].any()
    frames = (module.attend_over_frames(changed) - module.attend_over_frames(x)).abs().amax(-1)[0] > 1e-7
    assert frames[:, 1, 2].all()
    assert frames.sum() == FRAMES


def test_attention_is_softmax_of_scaled_products():
    module, x = awake(), pair(b=1)
    q, k, v = module.fused_qkv(x, "audio")[0].view(STEPS, 3, 2, 4).permute(1, 2, 0, 3)
    by_hand = torch.softmax(q @ k.mT / 2, dim=-1) @ v
    expected = x.audio + module.out(by_hand.permute(1, 0, 2).reshape(1, STEPS, WIDTH))
    assert torch.allclose(module.attend_over_audio_steps(x), expected, atol=1e-5)


def test_both_streams_are_read_as_they_came_in():
    """Figure 2: processed concurrently, so that the audio does not see what this attention made of the video."""
    torch.manual_seed(0)
    block, x = EasyFusion(ALIKE, 4, fusion=True), pair()
    torch.nn.init.normal_(block.space.out.weight)
    torch.nn.init.normal_(block.steps.out.weight)
    assert torch.equal(block(x).audio, block.steps.attend_over_audio_steps(x))
    assert not torch.equal(block(x).video, x.video)
