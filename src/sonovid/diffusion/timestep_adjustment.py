"""Timestep adjustment: how two schedules are brought into step, read from the losses of a trained model (SVG, Sec. III-B).

Two base models with schedules of their own do not lose their data at the same pace. The paper shows it by the loss over time,
normalised by its value at t = 0 (Fig. 2), and bends the streams' times apart by one number, gamma (eq. 9), which it sets by hand
and whose choice it leaves to future work. Here it is the number that brings the two curves nearest to each other.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize_scalar
from torch import Tensor

from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.diffusion.schedule import PredictionType, Schedule, add_noise, broadcast_like, to_x0

# The range in which gamma is sought: beyond, the times of one stream crowd at one end.
GAMMA_MIN, GAMMA_MAX = 1 / 4, 4.0
GRID = np.linspace(0, 1, 201)
# A model that has learnt its noise errs less in it the more of it there is: by this much at least, from the first fifth of the
# time to the last.
MIN_DECREASE = 0.2


@dataclass(frozen=True)
class LossCurve:
    """Loss over time, divided by its value at the smallest time: times rise in [0, 1]."""

    times: np.ndarray
    loss: np.ndarray

    def __call__(self, t: np.ndarray | float) -> np.ndarray:
        """Interpolated between the times, held at the ends."""
        return np.asarray(np.interp(t, self.times, self.loss))


def loss_curve(times: Float[np.ndarray, "n"], losses: Float[np.ndarray, "n"], bins: int = 20) -> LossCurve:
    """The mean loss in each of `bins` equal stretches of time; stretches without a sample are left out.

    Raises:
        ValueError: fewer than two stretches have a sample, or the loss vanishes at the smallest time.
    """
    which = np.clip((times * bins).astype(int), 0, bins - 1)
    filled = [b for b in range(bins) if (which == b).any()]
    if len(filled) < 2:
        raise ValueError(
            f"loss curve: {len(times)} losses fall into {len(filled)} of {bins} stretches of time; expected two or more"
        )
    centre = np.array([times[which == b].mean() for b in filled])
    mean = np.array([losses[which == b].mean() for b in filled])
    if mean[0] <= 0:
        raise ValueError("loss curve: the loss vanishes at the smallest times, so that nothing can be divided by it")
    return LossCurve(centre, mean / mean[0])


def curve_gap(curves: AV, gamma: float | int) -> float:
    """Mean distance of the two curves over the global time, each at its local time (eq. 9)."""
    return float(np.abs(curves.video(GRID**gamma**0.5) - curves.audio(GRID**gamma**-0.5)).mean())


@dataclass(frozen=True)
class GammaEstimate:
    """A gamma that was chosen: with its 95 % interval over clips, and how far apart the curves are there."""

    gamma: float
    low: float
    high: float
    gap: float


def minimize_gap(curves: AV) -> float:
    """The gamma in [1/4, 4] that brings the curves nearest to each other, whatever the curves are; see `choice`.

    The gap may have several minima where curves are noisy: the best of a grid is refined.
    """
    grid = np.linspace(np.log(GAMMA_MIN), np.log(GAMMA_MAX), 81)
    best = int(np.argmin([curve_gap(curves, float(np.exp(g))) for g in grid]))
    bounds = float(grid[max(0, best - 1)]), float(grid[min(len(grid) - 1, best + 1)])
    found = minimize_scalar(lambda g: curve_gap(curves, float(np.exp(g))), bounds=bounds, method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x))


def estimate_gamma(losses: AV, draws: int, *, resamples: int = 200, seed: int = 0) -> GammaEstimate:
    """The gamma that losses ask for, where they ask for one.

    Args:
        losses: of each stream (times, losses), as `losses_over_time` gives them, and beside them, where known, the losses of the
            guess by the noise's level alone (`uninformed`). draws: so many of them in a row are of one clip.
        resamples: bootstrap samples of clips, for the interval. seed: of these.

    Raises:
        ValueError: a stream's noise is guessed no better than by its level alone, its loss does not fall with the time, or the
            gap is smallest at an end of the range.
    """
    for name, one in zip(AV._fields, losses, strict=True):
        if len(one) > 2 and not one[1].mean() < one[2].mean():
            raise ValueError(
                f"no gamma can be chosen: the noise of {name} is guessed no better than by its level alone (loss "
                f"{one[1].mean():.2f}, by the level {one[2].mean():.2f}): train longer, or set gamma by hand"
            )
    losses = losses.map(lambda one: one[:2])
    curves = AV(*(loss_curve(*pair) for pair in losses))
    for name, one in zip(AV._fields, curves, strict=True):
        if not (fall := relative_decrease(one)) >= MIN_DECREASE:
            raise ValueError(
                f"no gamma can be chosen: the loss of the noise of {name} falls by {fall:.2f} of its beginning over the time, "
                f"and that of a trained model by at least {MIN_DECREASE}; train longer, or set gamma by hand"
            )
    best = minimize_gap(curves)
    if at_range_end(best):
        raise ValueError(
            f"no gamma can be chosen: the curves come nearer to each other up to {best:.2f}, an end of the range from {GAMMA_MIN:g} "
            f"to {GAMMA_MAX:g}; set gamma by hand, and look at the curves (--figure)"
        )
    clips, rng = len(losses.video[0]) // draws, np.random.default_rng(seed)
    found = []
    for _ in range(resamples if clips > 1 else 0):
        chosen = (rng.integers(0, clips, clips)[:, None] * draws + np.arange(draws)).ravel()
        found.append(minimize_gap(AV(*(loss_curve(times[chosen], values[chosen]) for times, values in losses))))
    low, high = np.percentile(found, [2.5, 97.5]) if found else (GAMMA_MIN, GAMMA_MAX)
    return GammaEstimate(best, min(float(low), best), max(float(high), best), curve_gap(curves, best))


def uninformed_losses(schedule: Schedule, times: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """The loss of the noise of unit data under the best guess that knows its level alone: alpha^2 / (alpha^2 + sigma^2)."""
    alpha, sigma = schedule.coefficients(torch.from_numpy(times).double())
    return (alpha**2 / (alpha**2 + sigma**2)).numpy()


def relative_decrease(one: LossCurve) -> float:
    """By how much of its first fifth a curve falls to its last fifth."""
    first, last = (float(one(part).mean()) for part in (GRID[GRID <= 0.2], GRID[GRID >= 0.8]))
    return (first - last) / first


def at_range_end(gamma: float) -> bool:
    """Whether a gamma is as good as an end of the range."""
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
    """What a joint model errs in the noise of each stream: an AV of pairs (times, losses), arrays over all samples.

    batches: final latents and their conditions. times: of each batch, an AV of [b]; zero is left out, since there is no noise.
    The error is that of the noise whatever the model predicts, as the paper's models predict noise.
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
    """The noise in x if its data are x0; t is above zero."""
    alpha, sigma = schedule.coefficients(broadcast_like(t, x))
    return (x - alpha * x0) / sigma
