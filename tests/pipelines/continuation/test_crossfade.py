"""Crossfades keep the power, easing removes jumps, and the report detects discontinuities."""

import numpy as np
import pytest
import torch

from sonovid.pipelines.continuation.crossfade import (
    audio_levels,
    crossfade_audio,
    crossfade_frames,
    ease_in_audio,
    ease_in_frames,
    frame_differences,
    level_steps,
    measure_crossfade,
    second_differences,
)

RATE = 16000


def noise(n, seed=0, level=0.1):
    return level * torch.randn(n, generator=torch.Generator().manual_seed(seed))


def tone(n, hertz=440.0, phase=0.0, level=0.3):
    return level * torch.sin(2 * torch.pi * hertz * torch.arange(n, dtype=torch.float64) / RATE + phase).float()


def moving(t, speed=0.02, start=0.2):
    """Pictures whose mean absolute change from one to the next is `speed`."""
    return (start + speed * torch.arange(t)).reshape(-1, 1, 1, 1).expand(t, 4, 4, 3).clone()


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
def test_a_crossfade_keeps_the_power_for_any_correlation(alike):
    n = 40_000
    old = noise(n)
    new = alike * old + (1 - alike**2) ** 0.5 * noise(n, 1)
    power = crossfade_audio(old, new).square().reshape(10, -1).mean(1)
    np.testing.assert_allclose(power, 0.01, rtol=0.1)
    torch.testing.assert_close(crossfade_audio(old, old), old)


def test_a_crossfade_is_a_linear_ramp():
    old, new = torch.zeros(8, 2, 2, 3), torch.ones(8, 2, 2, 3)
    mixed = crossfade_frames(old, new)[:, 0, 0, 0]
    torch.testing.assert_close(mixed, (torch.arange(8) + 0.5) / 8)
    assert not crossfade_audio(torch.zeros(50), torch.zeros(50)).any()


def test_eased_audio_does_not_jump_and_is_unchanged_later():
    old, new = tone(8000), tone(8000, 660.0, phase=2.0)
    cut, eased = torch.cat([old, new]).numpy(), torch.cat([old, ease_in_audio(old, new, RATE)]).numpy()
    jump = abs(cut[8000] - cut[7999])
    assert jump > 0.2
    assert abs(eased[8000] - eased[7999]) < 0.05
    assert second_differences(eased)[7990:8010].max() < second_differences(cut)[7990:8010].max() / 3
    np.testing.assert_array_equal(eased[8000 + 2560 :], new[2560:])


def test_a_large_level_step_is_eased_for_longer():
    old, new = tone(16000, level=0.5), tone(16000, level=0.005)
    eased = ease_in_audio(old, new, RATE)
    at = 16000 // 160

    def step(sound):
        return level_steps(torch.cat([old, sound]).numpy(), RATE)[at - 4 : at + 1].max()

    assert step(new) > 30
    assert step(eased) < 8
    assert (eased - new)[160:2560].abs().max() > 0.05


def test_frames_are_eased_only_above_the_bound():
    old, near, far = moving(8), moving(8, start=0.36), moving(8, start=0.66)
    assert torch.equal(ease_in_frames(old, near), near)
    eased = ease_in_frames(old, far, bound=0.1)
    steps = frame_differences(torch.cat([old, eased]))
    assert steps[7] == pytest.approx(0.1, abs=1e-6)
    assert steps.max() <= 0.1 + 1e-6
    assert torch.equal(eased[-1], far[-1])


def put(video, sound, at=20, **place):
    """What is measured at frame `at` of 2000 samples a frame, where the old ends and the new begins."""
    place = {"frames": (at, at), "samples": (at * 2000, at * 2000), **place}
    ends = place["frames"][1], place["samples"][1]
    old, new = (video[: ends[0]], sound[: ends[1]]), (video[at:], sound[place["samples"][0] :])
    return measure_crossfade(old, new, (video, sound), RATE, **place)


def test_a_click_a_level_step_and_a_cut_are_detected():
    frames, sound = moving(40), tone(40 * 2000, 200.0)
    clean = put(frames, sound, begin=3.0)
    assert clean.within
    assert (clean.begin, clean.end) == (5.5, 5.5)
    clicked, louder, cut = sound.clone(), sound.clone(), frames.clone()
    clicked[39999:40001] += torch.tensor([-0.05, 0.05])
    louder[40000:] *= 0.1
    cut[20:] += 0.1
    found = put(frames, clicked)
    assert not found.bend.within
    assert found.bend.share < 0.01
    assert found.level.within
    found = put(frames, louder)
    assert found.level.value == pytest.approx(20, abs=0.5)
    assert not found.level.within
    found = put(cut, sound)
    assert found.pixels.value == pytest.approx(0.12, abs=1e-5)
    assert found.pixels.reference == pytest.approx(0.02, abs=1e-5)
    assert not found.pixels.within
    assert not found.within
    assert found.to_config()["pixels"]["here"] == found.pixels.value


@pytest.mark.parametrize("offset", range(0, 320, 40))
def test_a_level_step_is_detected_at_any_offset(offset):
    sound = torch.cat([tone(40000 + offset), 0.1 * tone(40000)])
    found = put(moving(40), sound, samples=(40000 + offset, 40000 + offset))
    assert found.level.value > 12
    assert found.level.reference < 1


def test_a_step_in_both_windows_counts_as_reference():
    frames, sound = moving(60), noise(60 * 2000)
    frames[23:] += 0.1
    found = put(frames, sound, frames=(20, 28), samples=(40000, 56000))
    assert found.pixels.value == pytest.approx(0.12, abs=1e-5)
    assert found.within
    # Noise has no place of its own: a stretch of half a second is like any other.
    assert 0 < found.level.share <= 1
    old, new = (frames[:28].clone(), sound[:56000]), (frames[20:].clone(), sound[40000:])
    old[0][23:] -= 0.1
    new[0][3:] -= 0.1
    alone = measure_crossfade(old, new, (frames, sound), RATE, frames=(20, 28), samples=(40000, 56000))
    assert not alone.pixels.within


def test_levels_are_clipped_below():
    np.testing.assert_allclose(audio_levels(np.zeros(3200), RATE), -60)
    np.testing.assert_allclose(audio_levels(tone(3200, level=1.0).numpy(), RATE), -3.01, atol=0.1)
    assert len(audio_levels(np.zeros(10), RATE)) == 0
