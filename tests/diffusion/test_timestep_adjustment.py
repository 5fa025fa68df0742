"""Loss curves with a known gamma, and a perfect denoiser with known losses."""

import numpy as np
import pytest
import torch
from gaussian import COVARIANCE, basis, perfect_denoiser

from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.diffusion.sampler import sample, uniform_times, warp_times
from sonovid.diffusion.schedule import RectifiedFlow, Tabulated, broadcast_like
from sonovid.diffusion.timestep_adjustment import LossCurve, curve_gap, estimate_gamma, loss_curve, measure_losses, minimize_gap
from sonovid.models.base import Output

SHAPE = lambda u: np.exp(-3 * u)  # noqa: E731


def curves_with_gamma(gamma):
    """Two curves that coincide when their times are adjusted by `gamma`."""
    t = np.linspace(0, 1, 400)
    return AV(LossCurve(t, SHAPE(t**gamma**-0.5)), LossCurve(t, SHAPE(t**gamma**0.5)))


@pytest.mark.parametrize("gamma", [0.4, 0.8, 1.0, 1.5, 3.0])
def test_minimize_gap_recovers_gamma(gamma):
    curves = curves_with_gamma(gamma)
    assert curve_gap(curves, gamma) < 2e-3
    assert minimize_gap(curves) == pytest.approx(gamma, rel=0.02)
    assert curve_gap(curves, minimize_gap(curves)) <= curve_gap(curves, 1.0) + 1e-9


def test_loss_curve_is_the_relative_mean_of_each_bin():
    times = np.array([0.05, 0.06, 0.45, 0.95, 0.96])
    found = loss_curve(times, np.array([1.0, 3.0, 1.0, 0.5, 0.7]), bins=10)
    np.testing.assert_allclose(found.times, [0.055, 0.45, 0.955])
    np.testing.assert_allclose(found.loss, [1.0, 0.5, 0.3])
    assert found(np.array([0.0, 1.0])).tolist() == [1.0, pytest.approx(0.3)]


def test_loss_curve_needs_several_bins():
    with pytest.raises(ValueError, match="fall into 1 of 20"):
        loss_curve(np.array([0.5, 0.5]), np.ones(2))
    with pytest.raises(ValueError, match="is zero at the smallest"):
        loss_curve(np.array([0.1, 0.9]), np.array([0.0, 1.0]))


@pytest.mark.parametrize("schedule", [RectifiedFlow(), Tabulated("linear", 0.00085, 0.012)])
def test_measured_losses_of_a_perfect_denoiser(schedule):
    """For unit Gaussian data the minimum of the noise prediction loss is alpha^2 / (alpha^2 + sigma^2)."""
    generator = torch.Generator().manual_seed(0)
    predict = "eps"

    def model(x, t, condition, previous):
        def guess(xi, ti):
            alpha, sigma = schedule.coefficients(broadcast_like(ti, xi))
            return sigma / (alpha**2 + sigma**2) * xi

        return Output(x.map(guess, t))

    def batches():
        for _ in range(8):
            x = AV(torch.randn(32, 1, 2, 4, 4, generator=generator), torch.randn(32, 2, 4, 4, generator=generator))
            yield x, Condition.empty(AV(torch.ones(32, dtype=torch.bool), torch.ones(32, dtype=torch.bool)))

    times = [
        AV(0.02 + 0.98 * torch.rand(32, generator=generator), 0.02 + 0.98 * torch.rand(32, generator=generator)) for _ in range(8)
    ]
    for t, loss in measure_losses(model, AV(schedule, schedule), predict, batches(), times, generator):
        assert t.shape == loss.shape == (256,)
        alpha, sigma = (value.numpy() for value in schedule.coefficients(torch.from_numpy(t)))
        wanted = alpha**2 / (alpha**2 + sigma**2)
        np.testing.assert_allclose(loss.mean(), wanted.mean(), rtol=0.05)
        assert np.corrcoef(loss, wanted)[0, 1] > 0.7


def flat_start_curves(gamma):
    """Curves that start flat, as losses do, so that dividing by the first time bin is accurate."""
    t = np.linspace(0, 1, 400)
    shape = lambda u: np.exp(-4 * u**2)  # noqa: E731
    return AV(LossCurve(t, shape(t**gamma**-0.5)), LossCurve(t, shape(t**gamma**0.5)))


def losses_of(curves, clips=24, draws=8, spread=0.1, seed=0):
    """Losses along given curves, with a random scale per clip."""
    rng = np.random.default_rng(seed)
    times = (np.arange(draws) + rng.random((clips, draws))) / draws
    loud = np.exp(spread * rng.standard_normal((clips, 1)))
    return curves.map(lambda one: (times.ravel(), (loud * one(times)).ravel()))


def test_the_interval_contains_gamma_and_shrinks_with_more_clips():
    few, many = (estimate_gamma(losses_of(flat_start_curves(1.5), clips=clips), 8, resamples=60) for clips in (6, 60))
    for found in (few, many):
        assert found.low <= found.gamma <= found.high
        assert found.low < 1.5 < found.high or found.gamma == pytest.approx(1.5, rel=0.05)
    assert many.high - many.low < few.high - few.low
    assert estimate_gamma(losses_of(flat_start_curves(1.5)), 8, resamples=20) == estimate_gamma(
        losses_of(flat_start_curves(1.5)), 8, resamples=20
    )


def test_estimate_gamma_raises_for_unsuitable_losses():
    t = np.linspace(0, 1, 100)
    flat, falling = LossCurve(t, np.ones(100)), LossCurve(t, SHAPE(t))
    with pytest.raises(ValueError, match=r"loss of audio falls over time by -?0\.0\d of its initial"):
        estimate_gamma(losses_of(AV(falling, flat)), 8)
    # An untrained model: the loss rises with the time.
    with pytest.raises(ValueError, match="loss of video falls over time by -"):
        estimate_gamma(losses_of(AV(LossCurve(t, 1 + t), falling)), 8)
    with pytest.raises(ValueError, match=r"smallest at (3\.9|4\.0)\d, an end of the range"):
        estimate_gamma(losses_of(curves_with_gamma(16.0), spread=0.0), 8)


def error_of(schedule, gamma, steps=25):
    """Error of the covariance of samples of a perfect denoiser, computed without random draws."""
    made = sample(perfect_denoiser(schedule), AV(*basis(2)), schedule, warp_times(uniform_times(steps, 0.999), gamma))
    matrix = torch.cat(made, dim=1)
    return float((matrix.T @ matrix - COVARIANCE).abs().max())


def ideal_curves(schedule):
    """Minimal noise prediction loss of unit-variance data: alpha^2 for a variance-preserving schedule."""
    t = np.linspace(0.001, 1, 400)
    return schedule.map(lambda one: LossCurve(t, one.coefficients(torch.from_numpy(t))[0].square().numpy()))


def test_gamma_reduces_the_error_for_very_different_schedules():
    """With a perfect joint denoiser and 25 steps, the estimated gamma has the smallest error of those compared."""
    far = AV(Tabulated("linear", 0.004, 0.06), Tabulated("linear", 1e-4, 0.02))
    best = minimize_gap(ideal_curves(far))
    assert best == pytest.approx(1.735, abs=0.03)
    errors = {gamma: error_of(far, gamma) for gamma in (1.0, 1.5, 2.0, best, 1 / best)}
    assert errors[1.0] == pytest.approx(0.250, abs=0.01)
    assert errors[best] == pytest.approx(0.189, abs=0.01)
    assert errors[best] < errors[1.5] < errors[2.0] < errors[1.0] < errors[1 / best]


def test_gamma_has_little_effect_for_the_published_schedules():
    published = AV(Tabulated("linear", 0.00085, 0.012), Tabulated("scaled_linear", 0.0015, 0.0195))
    best = minimize_gap(ideal_curves(published))
    assert best == pytest.approx(0.91, abs=0.02)
    errors = [error_of(published, gamma) for gamma in (best, 1.0, 1.5, 2.0)]
    assert errors == sorted(errors)
    assert errors[1] - errors[0] < 0.01
