"""Diffusion losses, one value per sample: squared error, min-SNR weights and the variational bound."""

import math

import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor

from sonovid.core import renamed
from sonovid.diffusion.schedule import PredictionType, Schedule, broadcast_like, error_gain


def mean_squared_error(prediction: Float[Tensor, "b *axes"], target: Float[Tensor, "b *axes"]) -> Float[Tensor, "b"]:
    """Mean squared error of each sample, computed in the precision of `target`."""
    return reduce((prediction.to(target.dtype) - target).square(), "b ... -> b", "mean")


def min_snr_weights(
    schedule: Schedule, predict: PredictionType, t: Float[Tensor, "b"], gamma: float | int = 5.0
) -> Float[Tensor, "b"]:
    """Min-SNR-gamma loss weights (Hang et al. 2023, section 3.4).

    The weight of the squared error of x_0 is min(SNR, gamma). For eps this becomes min(SNR, gamma) / SNR, and for v
    min(SNR, gamma) / (SNR + 1).

    Args:
        schedule: noise schedule.
        predict: prediction type of the network.
        t: times above zero.
        gamma: upper limit of the weight.
    """
    alpha, sigma = schedule.coefficients(t)
    return (alpha / sigma).square().clamp(max=gamma) / error_gain(schedule, predict, t).square()


def posterior_coefficients(
    schedule: Schedule, t: Float[Tensor, "b *frames"], s: Float[Tensor, "b *frames"]
) -> tuple[Float[Tensor, "b *frames"], Float[Tensor, "b *frames"], Float[Tensor, "b *frames"], Float[Tensor, "b *frames"]]:
    """Coefficients of the posterior q(x_s | x_t, x_0) for s < t (Nichol & Dhariwal 2021, eqs 10 and 11).

    The equations are extended to continuous time and to any alpha and sigma.

    Args:
        schedule: noise schedule.
        t: current times.
        s: earlier times, of the same shape.

    Returns:
        The weight of x_t in the posterior mean, the weight of x_0 in it, the posterior variance, and beta, the variance of
        q(x_t | x_s). The posterior variance is the lower limit of the reverse step's variance, and beta the upper.
    """
    alpha_t, sigma_t = schedule.coefficients(t)
    alpha_s, sigma_s = schedule.coefficients(s)
    scale = alpha_t / alpha_s
    share = (sigma_s / sigma_t).square()
    # beta = sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2 as a product: the difference of squares cancels in single precision.
    beta = (sigma_t - scale * sigma_s) * (sigma_t + scale * sigma_s)
    return scale * share, alpha_s * beta / sigma_t.square(), beta * share, beta


def reverse_log_variance(
    schedule: Schedule, output: Float[Tensor, "b *axes"], t: Float[Tensor, "b *frames"], s: Float[Tensor, "b *frames"]
) -> Float[Tensor, "b *axes"]:
    """Learned log-variance of the reverse step from t to s (Nichol & Dhariwal 2021, eq. 15).

    The log-variance is interpolated between that of the posterior q(x_s | x_t, x_0) and log beta.

    Args:
        schedule: noise schedule.
        output: the network's variance output r, [b ...]. The interpolation weight is v = (r + 1) / 2, as in the authors' code and
            in the heads of PixArt, so r = 0 is halfway.
        t: current times.
        s: earlier times. At s = 0 the lower limit would be log 0; as in the authors' code, the limit of the preceding step is
            used instead.
    """
    lower_s = torch.where(s > 0, s, t - s)
    lower_t = torch.where(s > 0, t, 2 * (t - s)).clamp(max=1)
    lower = posterior_coefficients(schedule, lower_t, lower_s)[2].log()
    upper = posterior_coefficients(schedule, t, s)[3].log()
    v = (output.to(upper.dtype) + 1) / 2
    return v * broadcast_like(upper, output) + (1 - v) * broadcast_like(lower, output)


def gaussian_kl(mean: Tensor, log_variance: Tensor, other_mean: Tensor, other_log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(other_mean, other_variance)) in nats, elementwise."""
    difference = (mean - other_mean).square() * (-other_log_variance).exp()
    return (other_log_variance - log_variance + (log_variance - other_log_variance).exp() + difference - 1) / 2


def gaussian_nll(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """-log N(x; mean, variance) in nats, elementwise."""
    return (math.log(2 * math.pi) + log_variance + (x - mean).square() * (-log_variance).exp()) / 2


def variational_bound(
    schedule: Schedule,
    x0: Float[Tensor, "b *axes"],
    estimate: Float[Tensor, "b *axes"],
    variance_output: Float[Tensor, "b *axes"],
    x: Float[Tensor, "b *axes"],
    t: Float[Tensor, "b"],
    num_steps: int = 1000,
) -> Float[Tensor, "b"]:
    """One term of the variational bound, in bits per dimension (Nichol & Dhariwal 2021, eqs 4-6, 15 and 16).

    The term is that of the step from t to t - 1 / num_steps. Weighted by num_steps / 1000 it is the bound's part of L_hybrid.

    Args:
        schedule: noise schedule.
        x0: clean latents, [b ...].
        estimate: the network's estimate of x_0. It is detached, so only the variance is trained (section 3.1).
        variance_output: the network's variance output, see `reverse_log_variance`.
        x: noisy latents at time t.
        t: times above zero, [b].
        num_steps: number of steps of the chain.

    Deviation: latents are continuous, so the last step (to t = 0) is the density -log N(x_0; mean, variance) instead of the
    likelihood of one of 256 grey levels. It can be negative, and is bounded below while the variance keeps to its limits.
    """
    # Between entries of the table a step would end just above zero, where the limits of the variance diverge.
    s = torch.where(t < 1.5 / num_steps, 0.0, t - 1 / num_steps)
    of_x, of_x0, variance, _ = posterior_coefficients(schedule, t, s)
    mean = broadcast_like(of_x, x) * x + broadcast_like(of_x0, x) * x0
    model_mean = broadcast_like(of_x, x) * x + broadcast_like(of_x0, x) * estimate.detach()
    log_variance = reverse_log_variance(schedule, variance_output, t, s)
    last = broadcast_like(s, x) <= 0
    # A posterior variance of zero is replaced before its logarithm is taken, so that no infinity enters the unused branch.
    true_log_variance = broadcast_like(torch.where(s > 0, variance, 1.0).log(), x).expand_as(x)
    term = torch.where(
        last, gaussian_nll(x0, model_mean, log_variance), gaussian_kl(mean, true_log_variance, model_mean, log_variance)
    )
    return reduce(term, "b ... -> b", "mean") / math.log(2)


__getattr__ = renamed.attributes(
    __name__,
    {"mean_square": "mean_squared_error", "min_snr": "min_snr_weights", "posterior": "posterior_coefficients"},
)
