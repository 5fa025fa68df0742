"""The Fréchet distance of two sets of features, each modelled as a Gaussian: the basis of FVD, FAD and FD.

    |m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr (S1 S2)^(1/2)                                            (Dowson & Landau 1982, eq. 4)

With S = F F^T the last trace is the sum of the singular values of F1^T F2. This needs no `sqrtm`, is exact for singular
covariances too, and neither discards an imaginary part nor adds a constant to the diagonals.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Shaped
from scipy import linalg

from sonovid.metrics.rows import check_row_pair, check_rows

# The most that rounding may take the distance below zero, as a share of the traces and of the distance of the means.
ROUNDING = 1e-4


@dataclass
class Moments:
    """Running count, mean [d] and scatter [d d] (the sum of outer products about the mean) of rows.

    Sums about the mean are merged (Chan, Golub & LeVeque 1983, eq. 2.1), because sums of squares lose precision if means are
    large. Start with `Moments()` and `add` rows; `merge` combines the moments of several sets.
    """

    count: int = 0
    mean: np.ndarray | None = None
    scatter: np.ndarray | None = None

    @classmethod
    def of(cls, rows: Shaped[np.ndarray, "n d"], name: str = "features") -> "Moments":
        """The moments of these rows."""
        return cls().add(rows, name)

    @classmethod
    def from_covariance(
        cls, count: int, mean: Float[np.ndarray, "d"], covariance: Float[np.ndarray, "_ _"], ddof: int = 1
    ) -> "Moments":
        """Moments from published statistics, where `covariance` was divided by count - ddof."""
        mean, covariance = check_rows(np.asarray(mean)[None], "mean", 1)[0], check_rows(covariance, "covariance", 1)
        if covariance.shape != (len(mean), len(mean)) or count <= ddof:
            raise ValueError(
                f"got a covariance of shape {covariance.shape}, a mean of {len(mean)} values and count={count}; "
                f"expected [d d], [d] and a count over {ddof}"
            )
        return cls(int(count), mean.copy(), (covariance + covariance.T) / 2 * (count - ddof))

    def add(self, rows: Shaped[np.ndarray, "n d"], name: str = "features") -> "Moments":
        """Add rows, and return self. The rows are neither stored nor changed.

        Raises:
            ValueError: the rows have another width, or contain NaN or infinity.
        """
        rows = check_rows(rows, name, least=0)
        if len(rows) == 0:
            return self
        mean = rows.mean(0)
        centred = rows - mean
        return self.merge(Moments(len(rows), mean, centred.T @ centred))

    def merge(self, other: "Moments") -> "Moments":
        """Add the moments of another set, and return self."""
        if other.mean is None or other.scatter is None:
            return self
        if self.mean is None or self.scatter is None:
            self.count, self.mean, self.scatter = other.count, other.mean.copy(), other.scatter.copy()
            return self
        if self.mean.shape != other.mean.shape:
            raise ValueError(f"features are {len(other.mean)} wide; expected {len(self.mean)}, as those before")
        total, shift = self.count + other.count, other.mean - self.mean
        self.scatter = self.scatter + other.scatter + np.outer(shift, shift) * (self.count * other.count / total)
        self.mean = self.mean + shift * (other.count / total)
        self.count = total
        return self

    def covariance(self, ddof: int = 1) -> Float64[np.ndarray, "d d"]:
        """The covariance, divided by count - ddof.

        Raises:
            ValueError: fewer than two rows were seen.
        """
        if self.scatter is None or self.count < 2:
            raise ValueError(f"features: got {self.count} row{'s' if self.count != 1 else ''}; expected at least 2")
        return self.scatter / (self.count - ddof)


def frechet(
    generated: Shaped[np.ndarray, "n d"] | Moments, reference: Shaped[np.ndarray, "m _"] | Moments, *, ddof: int = 1
) -> float:
    """The Fréchet distance of two sets of rows, or of their moments; never below zero.

    From rows the covariances are not formed, so that the result is exact for fewer rows than columns too. From moments,
    eigenvalues within rounding of zero are dropped.

    Args:
        generated, reference: rows of features, or their moments.
        ddof: 1 as in TATS, MM-Diffusion, fadtk and audioldm_eval; 0 as in StyleGAN-V and cd-fvd.

    Raises:
        ValueError: fewer than two rows, NaN or infinity, or different widths.
    """
    if isinstance(generated, Moments) != isinstance(reference, Moments):
        generated = generated if isinstance(generated, Moments) else Moments.of(generated, "generated")
        reference = reference if isinstance(reference, Moments) else Moments.of(reference, "reference")
    if isinstance(generated, Moments) and isinstance(reference, Moments):
        pair = (_from_moments(generated, ddof), _from_moments(reference, ddof))
    else:
        rows = check_row_pair(generated, reference)  # type: ignore[arg-type]
        pair = (_from_rows(rows[0], ddof), _from_rows(rows[1], ddof))
    (mean1, factor1), (mean2, factor2) = pair
    if mean1.shape != mean2.shape:
        raise ValueError(f"features of different widths: {len(mean1)} and {len(mean2)}; both sides must come from one extractor")
    cross = linalg.svdvals(factor1 @ factor2.T).sum()
    return _distance(mean1 - mean2, (factor1**2).sum(), (factor2**2).sum(), cross)


def per_clip(
    clips: Sequence[Shaped[np.ndarray, "_ _"]], reference: Moments | Shaped[np.ndarray, "m _"], *, ddof: int = 1
) -> Float64[np.ndarray, "c"]:
    """The Fréchet distance of each clip's own chunks from the reference (per-sample FAD, Gui et al. 2024, section 3.3).

    The covariance of k chunks has rank k - 1, so its part of the trace is computed from a matrix of that size. For two chunks
    this is the closed form |m_i - m|^2 + tr S + v'v - 2 sqrt(v' S v) with v = (x1 - x2) / sqrt 2.

    Args:
        clips: the rows of each clip.
        reference: rows of the reference, or their moments.
        ddof: of the covariances.

    Raises:
        ValueError: a clip has fewer than two chunks. Cut clips into overlapping chunks.
    """
    reference = reference if isinstance(reference, Moments) else Moments.of(check_rows(reference, "reference"))
    covariance, mean = reference.covariance(ddof), reference.mean
    assert mean is not None
    trace = np.trace(covariance)
    values = np.empty(len(clips))
    for i, chunks in enumerate(clips):
        rows, _ = check_row_pair(chunks, mean[None].repeat(2, 0), (f"clip {i}", "reference"))
        # Helmert's rows are orthonormal and orthogonal to the mean: they centre the rows and drop the null dimension.
        factor = _reduce_factor(linalg.helmert(len(rows)) @ rows / np.sqrt(len(rows) - ddof))
        roots = np.sqrt(np.maximum(np.linalg.eigvalsh(factor @ covariance @ factor.T), 0))
        values[i] = _distance(rows.mean(0) - mean, (factor**2).sum(), trace, roots.sum())
    return values


def _distance(shift: np.ndarray, trace1: float, trace2: float, cross: float) -> float:
    """Combine the terms, and clip rounding errors below zero."""
    value, scale = float(shift @ shift + trace1 + trace2 - 2 * cross), float(shift @ shift + trace1 + trace2)
    assert value >= -ROUNDING * scale, f"a squared distance of {value}, on a scale of {scale}"
    return max(value, 0.0)


def _from_rows(rows: np.ndarray, ddof: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean, and F^T [r d] with covariance F F^T and r <= d."""
    mean = rows.mean(0)
    return mean, _reduce_factor((rows - mean) / np.sqrt(len(rows) - ddof))


def _from_moments(moments: Moments, ddof: int) -> tuple[np.ndarray, np.ndarray]:
    """The same from moments: eigenvectors times the square roots of their eigenvalues."""
    values, vectors = np.linalg.eigh(moments.covariance(ddof))
    kept = values > len(values) * np.finfo(np.float64).eps * max(values[-1], 0.0)
    assert moments.mean is not None
    return moments.mean, np.sqrt(values[kept])[:, None] * vectors[:, kept].T


def _reduce_factor(factor: np.ndarray) -> np.ndarray:
    """An equivalent factor with no more rows than columns."""
    return np.asarray(np.linalg.qr(factor, mode="r")) if len(factor) > factor.shape[1] else factor
