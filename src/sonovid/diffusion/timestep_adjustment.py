"""Timestep adjustment (SVG, section III-B): choose gamma, which aligns the schedules of two streams, from a model's losses.

Two base models with different schedules lose their data at different rates. The paper shows this by the loss over time, divided
by its value at t = 0 (fig. 2), and adjusts the times of the streams by one number, gamma (eq. 9). It sets gamma by hand and
leaves its choice to future work. Here gamma minimises the distance between the two loss curves.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize_scalar
from torch import Tensor

from sonovid.core import renamed
from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.diffusion.schedule import PredictionType, Schedule, add_noise, broadcast_like, to_x0

# Search range of gamma: beyond it, the times of one stream crowd at one end.
GAMMA_MIN, GAMMA_MAX = 1 / 4, 4.0
GRID = np.linspace(0, 1, 201)
# The noise prediction loss of a trained model falls with time. Its relative decrease from the first fifth of the time to the last
# is at least this.
MIN_DECREASE = 0.2


@dataclass(frozen=True)
class LossCurve:
    """Loss over time, divided by its value at the smallest time.

    Args:
        times: increasing times in [0, 1].
        loss: relative loss at these times.
    """

    times: np.ndarray
    loss: np.ndarray

    def __call__(self, t: np.ndarray | float) -> np.ndarray:
        """The loss at time t: linear interpolation, constant beyond the ends."""
        return np.asarray(np.interp(t, self.times, self.loss))


def loss_curve(times: Float[np.ndarray, "n"], losses: Float[np.ndarray, "n"], bins: int = 20) -> LossCurve:
    """The mean loss in equal bins of time. Empty bins are left out.

    Args:
        times: time of each sample, in [0, 1].
        losses: loss of each sample.
        bins: number of bins.

    Raises:
        ValueError: fewer than two bins have a sample, or the loss is zero at the smallest time.
    """
    which = np.clip((times * bins).astype(int), 0, bins - 1)
    filled = [b for b in range(bins) if (which == b).any()]
    if len(filled) < 2:
        raise ValueError(
            f"loss curve: {len(times)} losses fall into {len(filled)} of {bins} time bins; expected samples in two or more"
        )
    centre = np.array([times[which == b].mean() for b in filled])
    mean = np.array([losses[which == b].mean() for b in filled])
    if mean[0] <= 0:
        raise ValueError("loss curve: the loss is zero at the smallest times, so the curve cannot be normalised")
    return LossCurve(centre, mean / mean[0])


def curve_gap(curves: AV, gamma: float | int) -> float:
    """Mean absolute distance of the two curves over the global time, each at its local time (eq. 9)."""
    return float(np.abs(curves.video(GRID**gamma**0.5) - curves.audio(GRID**gamma**-0.5)).mean())


@dataclass(frozen=True)
class GammaEstimate:
    """An estimate of gamma.

    Args:
        gamma: the estimate.
        low, high: its 95 % bootstrap interval over clips.
        gap: distance of the loss curves at gamma, see `curve_gap`.
    """

    gamma: float
    low: float
    high: float
    gap: float


def minimize_gap(curves: AV) -> float:
    """The gamma in [1/4, 4] that minimises `curve_gap`, without any check of the curves; see `estimate_gamma`.

    Noisy curves may give several local minima, so the best point of a grid is refined.
    """
    grid = np.linspace(np.log(GAMMA_MIN), np.log(GAMMA_MAX), 81)
    best = int(np.argmin([curve_gap(curves, float(np.exp(g))) for g in grid]))
    bounds = float(grid[max(0, best - 1)]), float(grid[min(len(grid) - 1, best + 1)])
    found = minimize_scalar(
        lambda g: curve_gap(curves, float(np.exp(g))), bounds=bounds, method="bounded", options={"xatol": 1e-3}
    )
    return float(np.exp(found.x))


def estimate_gamma(losses: AV, draws_per_clip: int, *, resamples: int = 200, seed: int = 0) -> GammaEstimate:
    """Estimate gamma from the losses of a trained model, with a bootstrap interval over clips.

    Args:
        losses: for each stream (times, losses), as `measure_losses` returns them, optionally followed by the losses of the
            uninformed prediction (`uninformed_losses`).
        draws_per_clip: number of consecutive samples that belong to one clip.
        resamples: bootstrap samples of clips.
        seed: of the bootstrap.

    Raises:
        ValueError: the model predicts a stream's noise no better than the uninformed prediction, its loss does not fall with
            time, or the gap is smallest at an end of the range of gamma.
    """
    for name, one in zip(AV._fields, losses, strict=True):
        if len(one) > 2 and not one[1].mean() < one[2].mean():
            raise ValueError(
                f"no gamma can be chosen: the model predicts the noise of {name} no better than from the noise level alone (loss "
                f"{one[1].mean():.2f}, from the level {one[2].mean():.2f}): train longer, or set gamma by hand"
            )
    losses = losses.map(lambda one: one[:2])
    curves = AV(*(loss_curve(*pair) for pair in losses))
    for name, one in zip(AV._fields, curves, strict=True):
        if not (decrease := relative_decrease(one)) >= MIN_DECREASE:
            raise ValueError(
                f"no gamma can be chosen: the noise prediction loss of {name} falls over time by {decrease:.2f} of its initial "
                f"value; a trained model reaches at least {MIN_DECREASE}. Train longer, or set gamma by hand"
            )
    best = minimize_gap(curves)
    if at_range_end(best):
        raise ValueError(
            f"no gamma can be chosen: the gap of the curves is smallest at {best:.2f}, an end of the range from {GAMMA_MIN:g} to "
            f"{GAMMA_MAX:g}; set gamma by hand, and look at the curves (--figure)"
        )
    clips, rng = len(losses.video[0]) // draws_per_clip, np.random.default_rng(seed)
    found = []
    for _ in range(resamples if clips > 1 else 0):
        chosen = (rng.integers(0, clips, clips)[:, None] * draws_per_clip + np.arange(draws_per_clip)).ravel()
        found.append(minimize_gap(AV(*(loss_curve(times[chosen], values[chosen]) for times, values in losses))))
    low, high = np.percentile(found, [2.5, 97.5]) if found else (GAMMA_MIN, GAMMA_MAX)
    return GammaEstimate(best, min(float(low), best), max(float(high), best), curve_gap(curves, best))


def uninformed_losses(schedule: Schedule, times: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Noise prediction loss of the best linear estimate for unit-variance data: alpha^2 / (alpha^2 + sigma^2).

    This estimate knows the noise level and nothing else about the data.
    """
    alpha, sigma = schedule.coefficients(torch.from_numpy(times).double())
    return (alpha**2 / (alpha**2 + sigma**2)).numpy()


def relative_decrease(curve: LossCurve) -> float:
    """Relative decrease of the mean loss from the first fifth of the time to the last fifth."""
    first, last = (float(curve(part).mean()) for part in (GRID[GRID <= 0.2], GRID[GRID >= 0.8]))
    return (first - last) / first


def at_range_end(gamma: float) -> bool:
    """Whether gamma lies within 3 % of an end of its range."""
    return gamma < GAMMA_MIN * 1.03 or gamma > GAMMA_MAX / 1.03


@torch.no_grad()
def measure_losses(
    model: Callable[..., Any],
    schedule: AV,
    predict: PredictionType,
    batches: Iterable[tuple[AV, Condition]],
    times: Iterable[AV],
    generator: torch.Generator,
) -> AV:
    """Noise prediction losses of a joint model over time.

    The loss is the squared error of the noise whatever the model predicts, since the models of the paper predict noise.

    Args:
        model: the joint network.
        schedule: noise schedule of each stream.
        predict: prediction type of the model.
        batches: whitened latents and their conditions.
        times: for each batch an AV of times [b] above zero.
        generator: source of the noise.

    Returns:
        For each stream a pair (times, losses) of arrays over all samples.
    """
    found: AV = AV(([], []), ([], []))
    for (x0, condition), t in zip(batches, times, strict=True):
        eps = x0.map(lambda x: torch.randn(x.shape, generator=generator, device=generator.device).to(x))
        x = schedule.map(add_noise, x0, eps, t)
        output = model(x, t, condition, x.map(torch.zeros_like)).prediction
        for i in range(2):
            estimate = to_x0(schedule[i], predict, output[i].to(x[i].dtype), x[i], t[i])
            error = (to_eps(schedule[i], x[i], estimate, t[i]) - eps[i]).square().flatten(1).mean(1)
            found[i][0].append(t[i].cpu().numpy())
            found[i][1].append(error.float().cpu().numpy())
    return found.map(lambda pair: tuple(np.concatenate(part) for part in pair))


def to_eps(schedule: Schedule, x: Tensor, x0: Tensor, t: Float[Tensor, "b"]) -> Tensor:
    """The noise in `x`, given its clean sample; times are above zero."""
    alpha, sigma = schedule.coefficients(broadcast_like(t, x))
    return (x - alpha * x0) / sigma


__getattr__ = renamed.attributes(
    __name__,
    {
        "Choice": "GammaEstimate",
        "Curve": "LossCurve",
        "choice": "estimate_gamma",
        "choose_gamma": "minimize_gap",
        "curve": "loss_curve",
        "gap": "curve_gap",
        "losses_over_time": "measure_losses",
        "uninformed": "uninformed_losses",
    },
)
