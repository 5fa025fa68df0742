"""Reference for these tests: a correlated Gaussian pair of numbers, whose perfect denoiser is known and linear.

With a linear denoiser the whole sampling loop is a matrix, which is computed from basis vectors without random draws.
"""

from dataclasses import dataclass

import torch

from sonovid.core.av import AV
from sonovid.core.condition import Condition

CORRELATION = 0.8
COVARIANCE = torch.tensor([[1.0, CORRELATION], [CORRELATION, 1.0]], dtype=torch.float64)


@dataclass(frozen=True)
class NetworkOutput:
    """The part of a network's output that diffusion uses."""

    prediction: AV
    variance: AV | None = None


def condition(b, words=3):
    return Condition(torch.zeros(b, words, 2), torch.ones(b, words, dtype=torch.bool), AV(None, None))


def gain(schedule, t):
    """C A (A C A + S^2)^-1: the matrix of E[x_0 | x_t] for x_t = A x_0 + S eps, with t a pair of numbers."""
    pairs = schedule.map(lambda sch, u: sch.coefficients(torch.tensor([float(u)], dtype=torch.float64)), t)
    a, s = (torch.diag(torch.cat(c)) for c in zip(*pairs, strict=True))
    return COVARIANCE @ a @ torch.linalg.inv(a @ COVARIANCE @ a + s @ s)


def perfect_denoiser(schedule):
    """(x, t, previous) to E[x_0 | x_t], for x of [b 1] each and one time for all samples."""

    def denoise(x, t, previous=None):
        clean = torch.cat(x, dim=1) @ gain(schedule, t.map(lambda u: u[0])).T
        return AV(clean[:, :1], clean[:, 1:])

    return denoise


def basis(n):
    """n unit vectors, from which the columns of the loop's matrix are computed."""
    return torch.eye(n, dtype=torch.float64).split(1, dim=1)
