"""Streams with different time shifts, as in MiniMax-H3 (12 for video, 3 for audio), against a closed-form reference.

The reference is a correlated Gaussian pair with a known perfect denoiser. Ports of H3 multiplied the video's step by the local
slope of the audio's clock, and so moved the audio 1.85 times too far with 4 steps. These tests also reproduce that error.
"""

from itertools import pairwise

import pytest
import torch
from gaussian import COVARIANCE, basis, gain, perfect_denoiser

from sonovid.core.av import AV
from sonovid.diffusion.losses import posterior_coefficients
from sonovid.diffusion.sampler import Ancestral, ddim, dpm_solver, sample, shifted_times
from sonovid.diffusion.schedule import Cosine, RectifiedFlow

FLOW = AV(RectifiedFlow(), RectifiedFlow())
SHIFTS = AV(12.0, 3.0)


def clocks(steps, start=1.0):
    return SHIFTS.map(lambda shift: shifted_times(steps, shift, start))


def covariance_of(pair):
    matrix = torch.cat(pair, dim=1)
    return matrix.T @ matrix


def by_hand(times, one_clock=None):
    """Euler steps of the velocity (x - x_0) / t, each stream by the difference of its own times.

    one_clock: the slope of the audio time against the video time, as a function of the video time. The audio step is then the
    video step times this slope, as in the faulty ports.
    """
    x, denoise = AV(*basis(2)), perfect_denoiser(FLOW)
    for i in range(len(times.video) - 1):
        now = times.map(lambda stream, i=i: stream[i])
        clean = denoise(x, now.map(lambda t: torch.full((2,), t, dtype=torch.float64)))
        step = times.map(lambda stream, i=i: stream[i + 1] - stream[i])
        if one_clock is not None:
            step = AV(step.video, step.video * one_clock(now.video))
        x = AV(*(xi + (xi - ci) / t * dt for xi, ci, t, dt in zip(x, clean, now, step, strict=True)))
    return x


@pytest.mark.parametrize("steps", [1, 2, 4, 8, 20])
def test_each_stream_steps_by_its_own_times(steps):
    """For any number of steps the loop equals one written by hand, up to rounding."""
    end = sample(perfect_denoiser(FLOW), AV(*basis(2)), FLOW, clocks(steps))
    for ours, expected in zip(end, by_hand(clocks(steps)), strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("steps", "too_far"), [(4, 1.85), (8, 1.38), (20, 1.13)])
def test_size_of_the_error_with_one_clock(steps, too_far):
    """The sum of the audio steps, which should be 1, if they are the video steps times the local slope of the clocks."""
    ratio = SHIFTS.audio / SHIFTS.video
    # Where the unshifted time is u, pictures are at 12 u / (1 + 11 u) and sound at 3 u / (1 + 2 u).
    slope = [ratio * ((1 + 11 * (1 - i / steps)) / (1 + 2 * (1 - i / steps))) ** 2 for i in range(steps)]
    times = clocks(steps)
    moved = sum(rate * (a - b) for rate, (a, b) in zip(slope, pairwise(times.video), strict=True))
    assert moved == pytest.approx(too_far, abs=0.01)
    assert sum(a - b for a, b in pairwise(times.audio)) == pytest.approx(1)


@pytest.mark.parametrize(("rule", "error"), [(ddim, 0.02), (dpm_solver, 0.006)], ids=["ddim", "dpm_solver"])
def test_sampling_reaches_the_covariance_of_the_data(rule, error):
    end = sample(perfect_denoiser(FLOW), AV(*basis(2)), FLOW, clocks(800), rule)
    assert (covariance_of(end) - COVARIANCE).abs().max() < error


def test_one_clock_gives_a_wrong_covariance():
    def slope(t, ratio=SHIFTS.audio / SHIFTS.video):
        u = t / (SHIFTS.video - (SHIFTS.video - 1) * t)
        return ratio * ((1 + 11 * u) / (1 + 2 * u)) ** 2

    right = sample(perfect_denoiser(FLOW), AV(*basis(2)), FLOW, clocks(4))
    assert (covariance_of(by_hand(clocks(4), slope)) - covariance_of(right)).abs().max() > 0.03


@pytest.mark.parametrize("steps", [4, 16])
def test_ancestral_steps_use_each_stream_s_own_times(steps):
    """Ancestral steps of both streams have the covariance that follows from their coefficients.

    The chain is linear: x_s = of_x x_t + of_x0 E[x_0 | x_t] + deviation z. Its covariance is computed in closed form and compared
    with that of many samples.
    """
    schedule = AV(Cosine(), Cosine())
    times = clocks(steps, 0.99)
    covariance = torch.eye(2, dtype=torch.float64)
    for i in range(steps):
        now, then = (times.map(lambda stream, j=j: torch.tensor([stream[j]], dtype=torch.float64)) for j in (i, i + 1))
        of_x, of_x0, variance, _ = zip(*schedule.map(posterior_coefficients, now, then), strict=True)
        step = torch.diag(torch.cat(of_x)) + torch.diag(torch.cat(of_x0)) @ gain(schedule, now.map(lambda t: float(t[0])))
        added = torch.diag(torch.cat(variance)) if i + 1 < steps else torch.zeros(2, 2, dtype=torch.float64)
        if i + 1 == steps:
            step = gain(schedule, now.map(lambda t: float(t[0])))
        covariance = step @ covariance @ step.T + added
    number = 4000
    draws = [torch.Generator().manual_seed(i) for i in range(2)]
    noise = AV(*(torch.randn(number, 1, generator=draw, dtype=torch.float64) for draw in draws))
    rules = AV(*(Ancestral([torch.Generator().manual_seed(k * number + i) for i in range(number)]) for k in (1, 2)))
    end = torch.cat(sample(perfect_denoiser(schedule), noise, schedule, times, rules), dim=1)
    torch.testing.assert_close(end.T @ end / number, covariance, atol=0.08, rtol=0)
