"""The Fréchet distance of two sets of features, each taken for a Gaussian: behind FVD, FAD and FD, without a matrix root.

    |m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr (S1 S2)^(1/2)                                            (Dowson & Landau 1982, eq. 4)

Written as S = F F^T, the last trace is the sum of the singular values of F1^T F2: exact for singular covariances too, with no
`sqrtm`, no imaginary part to throw away and nothing added to the diagonals.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Shaped
from scipy import linalg

from sonovid.metrics.rows import checked, checked_pair

# What rounding may at most take below zero, as a share of the traces and of the means' distance; more would be a fault of ours.
ROUNDING = 1e-4


@dataclass
class Moments:
    """Count, mean [d] and scatter [d d] (the sum of outer products about the mean) of rows that need not be kept.

    Sums about the mean are merged (Chan, Golub & LeVeque 1983, eq. 2.1), since sums of squares lose the digits that matter
    where means are large. Begin with `Moments()`, then `add` rows; sets made apart are put together by `merge`.
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
        """Moments from statistics that somebody published: `covariance` was divided by count - ddof."""
        mean, covariance = checked(np.asarray(mean)[None], "mean", 1)[0], checked(covariance, "covariance", 1)
        if covariance.shape != (len(mean), len(mean)) or count <= ddof:
            raise ValueError(
                f"got a covariance of shape {covariance.shape}, a mean of {len(mean)} values and count={count}; "
                f"expected [d d], [d] and a count over {ddof}"
            )
        return cls(int(count), mean.copy(), (covariance + covariance.T) / 2 * (count - ddof))

    def add(self, rows: Shaped[np.ndarray, "n d"], name: str = "features") -> "Moments":
        """Take rows in, and return itself; the rows are not kept or changed.

        Raises:
            ValueError: rows of another width, or with NaN or infinity.
        """
        rows = checked(rows, name, least=0)
        if len(rows) == 0:
            return self
        mean = rows.mean(0)
        centred = rows - mean
        return self.merge(Moments(len(rows), mean, centred.T @ centred))

    def merge(self, other: "Moments") -> "Moments":
        """Take in what another has seen, and return itself."""
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
    """The Fréchet distance of two sets of rows, or of their moments, never below zero.

    From rows it is exact also where there are fewer of them than columns: the covariances are never formed. From moments
    eigenvalues that rounding cannot tell from zero are left out. ddof: 1 as in TATS, MM-Diffusion, fadtk and audioldm_eval, 0 as
    in StyleGAN-V and cd-fvd.

    Raises:
        ValueError: fewer than two rows, NaN or infinity, or two widths.
    """
    if isinstance(generated, Moments) != isinstance(reference, Moments):
        generated = generated if isinstance(generated, Moments) else Moments.of(generated, "generated")
        reference = reference if isinstance(reference, Moments) else Moments.of(reference, "reference")
    if isinstance(generated, Moments) and isinstance(reference, Moments):
        pair = (_from_moments(generated, ddof), _from_moments(reference, ddof))
    else:
        rows = checked_pair(generated, reference)  # type: ignore[arg-type]
        pair = (_from_rows(rows[0], ddof), _from_rows(rows[1], ddof))
    (mean1, factor1), (mean2, factor2) = pair
    if mean1.shape != mean2.shape:
        raise ValueError(f"features of different widths: {len(mean1)} and {len(mean2)}; both sides must come from one extractor")
    cross = linalg.svdvals(factor1 @ factor2.T).sum()
    return _distance(mean1 - mean2, (factor1**2).sum(), (factor2**2).sum(), cross)


def per_clip(
    clips: Sequence[Shaped[np.ndarray, "_ _"]], reference: Moments | Shaped[np.ndarray, "m _"], *, ddof: int = 1
) -> Float64[np.ndarray, "c"]:
    """The distance of each clip's own chunks from the reference (per-sample FAD, Gui et al. 2024, section 3.3).

    A clip of k chunks has a covariance of rank k - 1, so that its part of the trace comes from a matrix of that size alone. Two
    chunks are the closed form |m_i - m|^2 + tr S + v'v - 2 sqrt(v' S v) with v = (x1 - x2) / sqrt 2.

    Raises:
        ValueError: a clip of fewer than two chunks, and which; cut clips into overlapping chunks.
    """
    reference = reference if isinstance(reference, Moments) else Moments.of(checked(reference, "reference"))
    covariance, mean = reference.covariance(ddof), reference.mean
    assert mean is not None
    trace = np.trace(covariance)
    values = np.empty(len(clips))
    for i, chunks in enumerate(clips):
        rows, _ = checked_pair(chunks, mean[None].repeat(2, 0), (f"clip {i}", "reference"))
        # Orthonormal rows across the mean: they centre, and take out the rank that centring leaves empty.
        factor = _narrowed(linalg.helmert(len(rows)) @ rows / np.sqrt(len(rows) - ddof))
        roots = np.sqrt(np.maximum(np.linalg.eigvalsh(factor @ covariance @ factor.T), 0))
        values[i] = _distance(rows.mean(0) - mean, (factor**2).sum(), trace, roots.sum())
    return values


def _distance(shift: np.ndarray, trace1: float, trace2: float, cross: float) -> float:
    """Put together, and lifted to zero where nothing but rounding is below it."""
    value, scale = float(shift @ shift + trace1 + trace2 - 2 * cross), float(shift @ shift + trace1 + trace2)
    assert value >= -ROUNDING * scale, f"a squared distance of {value}, on a scale of {scale}"
    return max(value, 0.0)


def _from_rows(rows: np.ndarray, ddof: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean, and F^T [r d] with F F^T the covariance; no larger than d by d."""
    mean = rows.mean(0)
    return mean, _narrowed((rows - mean) / np.sqrt(len(rows) - ddof))


def _from_moments(moments: Moments, ddof: int) -> tuple[np.ndarray, np.ndarray]:
    """The same from moments: eigenvectors by the roots of their eigenvalues."""
    values, vectors = np.linalg.eigh(moments.covariance(ddof))
    kept = values > len(values) * np.finfo(np.float64).eps * max(values[-1], 0.0)
    assert moments.mean is not None
    return moments.mean, np.sqrt(values[kept])[:, None] * vectors[:, kept].T


def _narrowed(factor: np.ndarray) -> np.ndarray:
    """The same F F^T by no more rows than columns."""
    return np.asarray(np.linalg.qr(factor, mode="r")) if len(factor) > factor.shape[1] else factor
