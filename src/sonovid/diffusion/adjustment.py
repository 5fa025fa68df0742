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

from sonovid.av import AV
from sonovid.condition import Condition
from sonovid.diffusion.schedule import Predict, Schedule, diffuse, like, to_x0

# The range in which gamma is sought: beyond, the times of one stream crowd at one end.
LEAST, MOST = 1 / 4, 4.0
GRID = np.linspace(0, 1, 201)


@dataclass(frozen=True)
class Curve:
    """Loss over time, divided by its value at the smallest time: times rise in [0, 1]."""

    times: np.ndarray
    loss: np.ndarray

    def __call__(self, t: np.ndarray | float) -> np.ndarray:
        """Interpolated between the times, held at the ends."""
        return np.asarray(np.interp(t, self.times, self.loss))


def curve(times: Float[np.ndarray, "n"], losses: Float[np.ndarray, "n"], bins: int = 20) -> Curve:
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
    return Curve(centre, mean / mean[0])


def gap(curves: AV, gamma: float | int) -> float:
    """Mean distance of the two curves over the global time, each at its local time (eq. 9)."""
    return float(np.abs(curves.video(GRID**gamma**0.5) - curves.audio(GRID**gamma**-0.5)).mean())


def choose_gamma(curves: AV) -> float:
    """The gamma in [1/4, 4] that brings the curves nearest to each other.

    The gap may have several minima where curves are noisy: the best of a grid is refined.
    """
    grid = np.linspace(np.log(LEAST), np.log(MOST), 81)
    best = int(np.argmin([gap(curves, float(np.exp(g))) for g in grid]))
    bounds = float(grid[max(0, best - 1)]), float(grid[min(len(grid) - 1, best + 1)])
    found = minimize_scalar(lambda g: gap(curves, float(np.exp(g))), bounds=bounds, method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x))


@torch.no_grad()
def losses_over_time(
    model: Callable[..., Any],
    schedule: AV,
    predict: Predict,
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
        x = schedule.map(diffuse, x0, eps, t)
        output = model(x, t, condition, x.map(torch.zeros_like)).prediction
        for i in range(2):
            estimate = to_x0(schedule[i], predict, output[i].to(x[i].dtype), x[i], t[i])
            error = (noise_of(schedule[i], x[i], estimate, t[i]) - eps[i]).square().flatten(1).mean(1)
            found[i][0].append(t[i].cpu().numpy())
            found[i][1].append(error.float().cpu().numpy())
    return found.map(lambda pair: tuple(np.concatenate(part) for part in pair))


def noise_of(schedule: Schedule, x: Tensor, x0: Tensor, t: Float[Tensor, "b"]) -> Tensor:
    """The noise in x if its data are x0; t is above zero."""
    alpha, sigma = schedule.coefficients(like(t, x))
    return (x - alpha * x0) / sigma
