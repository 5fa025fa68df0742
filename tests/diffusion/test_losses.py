import math

import pytest
import torch
from diffusers import DDPMScheduler
from torch.distributions import Normal, kl_divergence

from sonovid.diffusion.losses import (
    gaussian_kl,
    gaussian_nll,
    mean_squared_error,
    min_snr_weights,
    posterior_coefficients,
    reverse_log_variance,
    variational_bound,
)
from sonovid.diffusion.schedule import Cosine, RectifiedFlow, Tabulated, add_noise


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_mean_squared_error_is_per_sample_in_the_precision_of_the_target():
    wanted = torch.randn(3, 4, 5)
    prediction = wanted.clone()
    prediction[1] += 2
    torch.testing.assert_close(mean_squared_error(prediction, wanted), torch.tensor([0.0, 4.0, 0.0]))
    assert mean_squared_error(prediction.bfloat16(), wanted).dtype == torch.float32


def test_min_snr_weights_match_the_paper():
    t = torch.linspace(0.02, 0.98, 9, dtype=torch.float64)
    alpha, sigma = Cosine().coefficients(t)
    snr = (alpha / sigma) ** 2
    least = snr.clamp(max=5)
    assert (snr > 5).any()
    assert (snr < 5).any()
    torch.testing.assert_close(min_snr_weights(Cosine(), "x0", t), least)
    torch.testing.assert_close(min_snr_weights(Cosine(), "eps", t), least / snr)
    torch.testing.assert_close(min_snr_weights(Cosine(), "v", t), least / (snr + 1))


def test_posterior_matches_ddpm_on_a_table():
    """Ho et al. 2020, eqs 6 and 7, for every step of the table."""
    bar = DDPMScheduler(beta_schedule="linear", beta_start=1e-4, beta_end=0.02).alphas_cumprod.double()
    before = torch.cat([double(1.0), bar[:-1]])
    beta = 1 - bar / before
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    of_x, of_x0, variance, largest = posterior_coefficients(Tabulated(), t, (t - 1e-3).clamp(min=0))
    close = {"rtol": 3e-3, "atol": 1e-7}  # the table of diffusers has single precision, and beta is a difference of its entries
    torch.testing.assert_close(largest, beta, **close)
    torch.testing.assert_close(variance, beta * (1 - before) / (1 - bar), **close)
    torch.testing.assert_close(of_x0, before.sqrt() * beta / (1 - bar), **close)
    torch.testing.assert_close(of_x, (1 - beta).sqrt() * (1 - before) / (1 - bar), **close)


@pytest.mark.parametrize("schedule", [RectifiedFlow(), Cosine()])
def test_posterior_is_gaussian_conditioning(schedule):
    """x_t = (alpha_t / alpha_s) x_s + sqrt(beta) e: regress x_s on x_t."""
    t, s = double(0.7), double(0.4)
    (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule.coefficients(t), schedule.coefficients(s)
    slope = (alpha_t / alpha_s) * sigma_s**2 / sigma_t**2
    of_x, of_x0, variance, largest = posterior_coefficients(schedule, t, s)
    torch.testing.assert_close(of_x, slope)
    torch.testing.assert_close(of_x0, alpha_s - slope * alpha_t)
    torch.testing.assert_close(variance, sigma_s**2 - slope**2 * sigma_t**2)
    torch.testing.assert_close(largest, sigma_t**2 - (alpha_t / alpha_s) ** 2 * sigma_s**2)


def test_kl_and_nll_match_torch():
    mean, log_variance, other, other_log_variance, x = torch.randn(5, 20, dtype=torch.float64)
    p, q = (Normal(m, (v / 2).exp()) for m, v in ((mean, log_variance), (other, other_log_variance)))
    torch.testing.assert_close(gaussian_kl(mean, log_variance, other, other_log_variance), kl_divergence(p, q))
    torch.testing.assert_close(gaussian_nll(x, mean, log_variance), -p.log_prob(x))


def test_learned_variance_interpolates_between_its_limits():
    t, s = double(0.5, 0.001, 1.0), double(0.499, 0.0, 0.999)
    *_, lower, upper = posterior_coefficients(Tabulated(), t, s)
    lower[1] = posterior_coefficients(Tabulated(), double(0.002), double(0.001))[2][
        0
    ]  # where the step ends at zero, the step before stands in
    for learnt, wanted in ((-1.0, lower.log()), (1.0, upper.log()), (0.0, (lower * upper).sqrt().log())):
        got = reverse_log_variance(Tabulated(), torch.full((3, 2), learnt, dtype=torch.float64), t, s)
        torch.testing.assert_close(got, wanted[:, None].expand(3, 2))


def test_variational_bound_of_a_perfect_model_is_the_entropy_of_the_data():
    """For unit-variance data E[x_0 | x_t] = alpha x_t and the reverse step has variance beta (r = 1), so the bound is tight.

    A term is quadratic in (x_0, eps), so four sign patterns give its mean exactly.
    """
    steps, schedule = 50, Cosine()
    t = (torch.arange(1, steps, dtype=torch.float64) / steps).repeat_interleave(4)  # time 1 has no signal at all
    signs = double(1, 1, -1, -1), double(1, -1, 1, -1)
    x0, eps = (sign.repeat(steps - 1)[:, None] for sign in signs)
    x = add_noise(schedule, x0, eps, t)
    estimate = schedule.coefficients(t)[0][:, None] * x
    terms = variational_bound(schedule, x0, estimate, torch.ones_like(x), x, t, num_steps=steps)
    last_sigma = schedule.coefficients(t[-1:])[1]
    prior = -last_sigma.log2().item()
    entropy = math.log2(2 * math.pi * math.e) / 2
    assert terms.sum().item() / 4 + prior == pytest.approx(entropy, abs=1e-9)


def test_variational_bound_trains_the_variance_and_not_the_mean():
    t = torch.tensor([0.0005, 0.001, 0.0010001, 0.002, 0.5, 1.0])
    x0, eps, estimate = torch.randn(3, 6, 4)
    learnt = torch.zeros(6, 4, requires_grad=True)
    estimate.requires_grad_()
    bound = variational_bound(Tabulated(), x0, estimate, learnt, add_noise(Tabulated(), x0, eps, t), t)
    bound.sum().backward()
    assert bound.isfinite().all()
    assert estimate.grad is None
    assert learnt.grad.isfinite().all()
    assert (learnt.grad != 0).any(1).all()


def test_variational_bound_prefers_a_large_variance_for_a_poor_estimate():
    t = torch.tensor([0.3])
    x0, eps = torch.randn(2, 1, 64)
    x = add_noise(Tabulated(), x0, eps, t)

    def bound(estimate, learnt):
        return variational_bound(Tabulated(), x0, estimate, torch.full_like(x, learnt), x, t)

    assert bound(x0, -1.0) < bound(x0, 1.0)
    poor = x0 + 30 * torch.randn_like(x0)
    assert bound(poor, -1.0) > bound(poor, 1.0)
