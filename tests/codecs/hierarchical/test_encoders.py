"""Encoders: sizes, which frames are seen, and initial values."""

from functools import cache

import pytest
import torch

from sonovid.codecs.hierarchical.encoders import AudioEncoder, VideoEncoder, key_frames


@cache
def encoder(keys=None, kind=VideoEncoder):
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        options = {"key_frames": keys} if kind is VideoEncoder else {}
        made = kind(4, 8, (8, 8), (16, 32), blocks=1, head_width=8, **options)
        # As it begins nothing passes between frames.
        for parameter in made.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.2)
    return made


def frames(b=2, t=16, seed=0):
    return torch.randn(b, 4, t, 8, 8, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_sixteen_frames_become_one_image_half_as_large():
    mean, log_variance = encoder()(frames())
    assert mean.shape == log_variance.shape == (2, 8, 4, 4)


@torch.no_grad()
def test_the_audio_image_becomes_one_half_as_large():
    mean, log_variance = encoder(kind=AudioEncoder)(frames()[:, :, 0])
    assert mean.shape == log_variance.shape == (2, 8, 4, 4)


@torch.no_grad()
@pytest.mark.parametrize(("keys", "seen"), [(None, range(16)), (4, (0, 5, 10, 15))])
def test_all_frames_or_only_key_frames_are_seen(keys, seen):
    own, x = encoder(keys), frames(1)
    before = own(x)[0]
    for i in range(16):
        other = x.clone()
        other[:, :, i] += 1
        assert ((own(other)[0] - before).abs().max() > 1e-5) == (i in seen), i


@torch.no_grad()
def test_folded_frames_reach_the_content_frame_at_initialisation():
    # As it begins attention is silent: without the fold nothing of the frames reaches the latents.
    x = frames(1)
    for folded, reaches in ((0, False), (16, True)):
        with torch.random.fork_rng():
            torch.random.default_generator.manual_seed(0)
            fresh = VideoEncoder(4, 8, (8, 8), (16,), blocks=1, head_width=8, folded=folded)
        before = fresh(x)[0]
        for i in (0, 7, 15):
            other = x.clone()
            other[:, :, i] += 1
            assert ((fresh(other)[0] - before).abs().max() > 1e-5) == reaches


@torch.no_grad()
def test_the_order_of_the_frames_matters():
    x = frames(1)
    assert (encoder()(x)[0] - encoder()(x.flip(2))[0]).abs().max() > 1e-3


@torch.no_grad()
def test_the_linear_guess_is_one_convolution_added_to_the_mean():
    own = VideoEncoder(4, 8, (8, 8), (16, 16), blocks=1, head_width=8, folded=16)
    x = torch.randn(1, 4, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    whole, weight, bias = own(x)[0], own.guess.weight.clone(), own.guess.bias.clone()
    own.guess.weight.zero_()
    own.guess.bias.zero_()
    # One place of these latents is a square of four of the frames': channel, then time, then place in the square.
    planes = torch.stack([x[0, c, t, i::2, j::2] for c in range(4) for t in range(16) for i in (0, 1) for j in (0, 1)])
    wanted = torch.nn.functional.conv2d(planes[None], weight, bias, padding=1)
    torch.testing.assert_close(whole - own(x)[0], wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("init_value", [0.0, -6.0])
def test_the_initial_log_variance_is_configurable(init_value):
    fresh = VideoEncoder(4, 8, (8, 8), (16,), blocks=1, log_variance=init_value)
    with torch.no_grad():
        mean, log_variance = fresh(frames(1, 2))
    assert (log_variance == init_value).all()
    assert mean.std() > 0.01


def test_key_frames_keep_both_ends():
    assert key_frames(16, 4) == [0, 5, 10, 15]
    assert key_frames(16, 1) == [0]
    assert key_frames(3, 3) == [0, 1, 2]
    with pytest.raises(ValueError, match="key_frames=5: expected 1 to 4"):
        key_frames(4, 5)


def test_encoder_parameters_at_the_published_size():
    with torch.device("meta"):
        video = VideoEncoder(4, 16, (32, 32), (320, 640))
        audio = AudioEncoder(4, 16, (32, 32), (320, 640, 1280))
    assert video.content.shape == (4, 32, 32)
    # 4 channels of the picture and 4 of the content.
    assert audio.conv_in.in_channels == 8
    assert audio.levels[2]["blocks"][0].conv_in.in_channels == 1280
