"""What is compared, and how: one value per sample throughout."""

import math

import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor

from sonovid.diffusion.schedule import PredictionType, Schedule, error_gain, broadcast_like


def mean_squared_error(prediction: Float[Tensor, "b *axes"], wanted: Float[Tensor, "b *axes"]) -> Float[Tensor, "b"]:
    """Mean squared error of each sample, in single precision at least."""
    return reduce((prediction.to(wanted.dtype) - wanted).square(), "b ... -> b", "mean")


def min_snr_weights(schedule: Schedule, predict: PredictionType, t: Float[Tensor, "b"], gamma: float | int = 5.0) -> Float[Tensor, "b"]:
    """Weights of the squared error that make it min(SNR, gamma) in units of x_0 (Hang et al. 2023, section 3.4).

    t: times above zero. For x0 that is the paper's weight; for the other predictions it is divided by the square of their gain,
    which for eps gives min(SNR, gamma) / SNR and for v min(SNR, gamma) / (SNR + 1).
    """
    alpha, sigma = schedule.coefficients(t)
    return (alpha / sigma).square().clamp(max=gamma) / error_gain(schedule, predict, t).square()


def posterior_coefficients(
    schedule: Schedule, t: Float[Tensor, "b *frames"], s: Float[Tensor, "b *frames"]
) -> tuple[Float[Tensor, "b *frames"], Float[Tensor, "b *frames"], Float[Tensor, "b *frames"], Float[Tensor, "b *frames"]]:
    """q(x_s | x_t, x_0) for s < t: the weights of x_t and x_0 in its mean, its variance, and beta, the variance of q(x_t | x_s).

    Nichol & Dhariwal 2021, eqs 10 and 11, on continuous time and for any alpha and sigma. Beta is the upper limit of what the
    reverse step's variance may be, the posterior's variance the lower.
    """
    alpha_t, sigma_t = schedule.coefficients(t)
    alpha_s, sigma_s = schedule.coefficients(s)
    scale = alpha_t / alpha_s
    share = (sigma_s / sigma_t).square()
    # beta = sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2, as a product: the difference of squares cancels in single precision.
    remainder = (sigma_t - scale * sigma_s) * (sigma_t + scale * sigma_s)
    return scale * share, alpha_s * remainder / sigma_t.square(), remainder * share, remainder


def reverse_log_variance(
    schedule: Schedule, learnt: Float[Tensor, "b *axes"], t: Float[Tensor, "b *frames"], s: Float[Tensor, "b *frames"]
) -> Float[Tensor, "b *axes"]:
    """The log-variance of the reverse step from t to s: from that of q(x_s | x_t, x_0) to beta (Nichol & Dhariwal 2021, eq. 15).

    learnt: the network's output r, standing for v = (r + 1) / 2 as in the authors' code and in the heads of PixArt, so that an
    output of zero is halfway. At s = 0 the lower limit would be log 0; as in that code, the limit of the step before stands in.
    """
    floor = torch.where(s > 0, s, t - s)
    ceiling = torch.where(s > 0, t, 2 * (t - s)).clamp(max=1)
    lower = posterior_coefficients(schedule, ceiling, floor)[2].log()
    upper = posterior_coefficients(schedule, t, s)[3].log()
    v = (learnt.to(upper.dtype) + 1) / 2
    return v * broadcast_like(upper, learnt) + (1 - v) * broadcast_like(lower, learnt)


def gaussian_kl(mean: Tensor, log_variance: Tensor, other_mean: Tensor, other_log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(other mean, other variance)) in nats, element by element."""
    difference = (mean - other_mean).square() * (-other_log_variance).exp()
    return (other_log_variance - log_variance + (log_variance - other_log_variance).exp() + difference - 1) / 2


def gaussian_nll(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """-log N(x; mean, variance) in nats, element by element."""
    return (math.log(2 * math.pi) + log_variance + (x - mean).square() * (-log_variance).exp()) / 2


def variational_bound(
    schedule: Schedule,
    x0: Float[Tensor, "b *axes"],
    estimate: Float[Tensor, "b *axes"],
    learnt: Float[Tensor, "b *axes"],
    x: Float[Tensor, "b *axes"],
    t: Float[Tensor, "b"],
    num_steps: int = 1000,
) -> Float[Tensor, "b"]:
    """One term of the variational bound, in bits per dimension, for the step from t down by 1 / num_steps (eqs 4-6, 15, 16).

    estimate: x_0 as the network has it; it is detached, so that only the variance learns from this (section 3.1). t: times above
    zero. Weighted by num_steps / 1000 this is the bound's share in L_hybrid.

    Deviation: latents are continuous, so the last step (to t = 0) is the density -log N(x_0; mean, variance) and not the
    likelihood of one of 256 grey levels. It can be negative, and is bounded below while the variance keeps to its limits.
    """
    # Between the table's entries a step would end at just above zero, where the limits of the variance fly apart.
    s = torch.where(t < 1.5 / num_steps, 0.0, t - 1 / num_steps)
    of_x, of_x0, variance, _ = posterior_coefficients(schedule, t, s)
    mean = broadcast_like(of_x, x) * x + broadcast_like(of_x0, x) * x0
    model_mean = broadcast_like(of_x, x) * x + broadcast_like(of_x0, x) * estimate.detach()
    log_variance = reverse_log_variance(schedule, learnt, t, s)
    last = broadcast_like(s, x) <= 0
    # Where the posterior has no width its logarithm is replaced before it is taken, so that no infinity enters the unused branch.
    true_log_variance = broadcast_like(torch.where(s > 0, variance, 1.0).log(), x).expand_as(x)
    term = torch.where(
        last, gaussian_nll(x0, model_mean, log_variance), gaussian_kl(mean, true_log_variance, model_mean, log_variance)
    )
    return reduce(term, "b ... -> b", "mean") / math.log(2)
