import math

import pytest
import torch

from sonovid.metrics.extractors.scene_networks import (
    HOP,
    MARGIN,
    REACH,
    SAMPLE_RATE,
    STEP_WIDTH,
    STEPS_PER_FRAME,
    WIDTH,
    SceneAudio,
    SceneSync,
    SceneVideo,
    filters,
    log_mel,
)


@pytest.mark.parametrize("frames", [12, 13, 16])
def test_both_streams_give_four_steps_to_a_frame(frames):
    features, steps = SceneVideo().eval()(torch.rand(2, frames, 3, 64, 64))
    assert features.shape == (2, WIDTH)
    assert steps.shape == (2, STEPS_PER_FRAME * frames, STEP_WIDTH)
    heard, sounds = SceneAudio().eval()(torch.rand(2, frames * SAMPLE_RATE // 8) - 0.5)
    assert heard.shape == features.shape
    assert sounds.shape == steps.shape
    assert SceneSync().eval()(steps, sounds).shape == (2, 2 * REACH + 2)


def test_silence_is_zero_and_a_click_is_where_it_sounds():
    assert (log_mel(torch.zeros(1, 4000)) == 0).all()
    wave = torch.zeros(1, 4000)
    wave[0, 2000] = 1.0
    energy = (10 ** log_mel(wave)).sum(1)[0]
    # Frame j looks at samples about 125 j + 63.
    assert energy.argmax().item() in (2000 // HOP - 1, 2000 // HOP)
    assert log_mel(wave).shape == (1, 64, 4000 // HOP)


@pytest.mark.parametrize("hz", [300.0, 1000.0, 5000.0])
def test_a_tone_lies_in_the_band_of_its_pitch(hz):
    t = torch.arange(4000) / SAMPLE_RATE
    mel = log_mel(0.5 * torch.sin(2 * math.pi * hz * t)[None])[0, :, 16]
    top = 700 * (10 ** (2595 * math.log10(1 + 8000 / 700) / 2595) - 1)
    assert top == pytest.approx(8000)
    centre = filters().argmax(1) * SAMPLE_RATE / 512
    assert abs(float(centre[mel.argmax()]) - hz) < 0.08 * hz + 32


def test_twice_the_amplitude_is_a_constant_more():
    wave = 0.1 * torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))
    difference = log_mel(2 * wave) - log_mel(wave)
    torch.testing.assert_close(difference, torch.full_like(difference, 2 * math.log10(2)), atol=1e-3, rtol=0.0)


def test_products_are_means_over_what_overlaps():
    generator = torch.Generator().manual_seed(1)
    video, audio = (torch.randn(2, 10, STEP_WIDTH, generator=generator) for _ in range(2))
    found = SceneSync().products(video, audio)
    reach = REACH + MARGIN
    assert found.shape == (2, STEP_WIDTH, 2 * reach + 1)
    for o in (-9, -3, 0, 1, 7):
        rows = [video[:, j] * audio[:, j + o] for j in range(10) if 0 <= j + o < 10]
        torch.testing.assert_close(found[:, :, reach + o], torch.stack(rows).mean(0))


def test_a_late_sound_is_at_a_positive_offset():
    video = torch.zeros(1, 64, STEP_WIDTH)
    video[0, 30] = 1.0
    audio = torch.roll(video, 5, 1)
    assert SceneSync().products(video, audio)[0, 0].argmax().item() == REACH + MARGIN + 5
