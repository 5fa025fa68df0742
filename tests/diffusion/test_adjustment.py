"""Curves whose gamma is known, and a perfect denoiser whose loss over time is known."""

import numpy as np
import pytest
import torch

from sonovid.av import AV
from sonovid.condition import Condition
from sonovid.denoisers.base import Output
from sonovid.diffusion.adjustment import Curve, choose_gamma, curve, gap, losses_over_time
from sonovid.diffusion.schedule import RectifiedFlow, Tabulated, like

SHAPE = lambda u: np.exp(-3 * u)  # noqa: E731


def apart(gamma):
    """Two curves that are one and the same when their times are bent by `gamma`."""
    t = np.linspace(0, 1, 400)
    return AV(Curve(t, SHAPE(t**gamma**-0.5)), Curve(t, SHAPE(t**gamma**0.5)))


@pytest.mark.parametrize("gamma", [0.4, 0.8, 1.0, 1.5, 3.0])
def test_the_gamma_that_bent_the_curves_is_found(gamma):
    curves = apart(gamma)
    assert gap(curves, gamma) < 2e-3
    assert choose_gamma(curves) == pytest.approx(gamma, rel=0.02)
    assert gap(curves, choose_gamma(curves)) <= gap(curves, 1.0) + 1e-9


def test_a_curve_is_the_mean_of_each_stretch_over_that_of_the_first():
    times = np.array([0.05, 0.06, 0.45, 0.95, 0.96])
    found = curve(times, np.array([1.0, 3.0, 1.0, 0.5, 0.7]), bins=10)
    np.testing.assert_allclose(found.times, [0.055, 0.45, 0.955])
    np.testing.assert_allclose(found.loss, [1.0, 0.5, 0.3])
    assert found(np.array([0.0, 1.0])).tolist() == [1.0, pytest.approx(0.3)]


def test_a_curve_needs_losses_at_several_times():
    with pytest.raises(ValueError, match="fall into 1 of 20"):
        curve(np.array([0.5, 0.5]), np.ones(2))
    with pytest.raises(ValueError, match="vanishes"):
        curve(np.array([0.1, 0.9]), np.array([0.0, 1.0]))


@pytest.mark.parametrize("schedule", [RectifiedFlow(), Tabulated("linear", 0.00085, 0.012)])
def test_losses_of_the_perfect_denoiser_of_unit_noise(schedule):
    """Of unit Gaussian data the best guess of the noise errs by alpha^2 / (alpha^2 + sigma^2)."""
    generator = torch.Generator().manual_seed(0)
    predict = "eps"

    def model(x, t, condition, previous):
        def guess(xi, ti):
            alpha, sigma = schedule.coefficients(like(ti, xi))
            return sigma / (alpha**2 + sigma**2) * xi

        return Output(x.map(guess, t))

    def batches():
        for _ in range(8):
            x = AV(torch.randn(32, 1, 2, 4, 4, generator=generator), torch.randn(32, 2, 4, 4, generator=generator))
            yield x, Condition.wordless(AV(torch.ones(32, dtype=torch.bool), torch.ones(32, dtype=torch.bool)))

    times = [
        AV(0.02 + 0.98 * torch.rand(32, generator=generator), 0.02 + 0.98 * torch.rand(32, generator=generator)) for _ in range(8)
    ]
    for t, loss in losses_over_time(model, AV(schedule, schedule), predict, batches(), times, generator):
        assert t.shape == loss.shape == (256,)
        alpha, sigma = (value.numpy() for value in schedule.coefficients(torch.from_numpy(t)))
        wanted = alpha**2 / (alpha**2 + sigma**2)
        np.testing.assert_allclose(loss.mean(), wanted.mean(), rtol=0.05)
        assert np.corrcoef(loss, wanted)[0, 1] > 0.7
