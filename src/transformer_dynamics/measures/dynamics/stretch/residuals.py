"""Variance and shape of residuals `(sample, unit)`, with references for isotropic noise.

Per unit: variance and excess kurtosis. Pooled over units, each over its standard deviation:
Kolmogorov distance to a normal distribution. Of the covariance C over units: participation ratio
(tr C)^2 / tr C^2 over the number of units, and the largest eigenvalue over the mean one. Ours and
not `scipy.stats.kurtosis` and `kstest`, since all share the sums over one residual, which is not
copied, and need no p-value.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse.linalg
import scipy.special
from numpy.typing import NDArray

from transformer_dynamics.numerics.arrays import Floats

AVERAGES = ("geometric", "arithmetic")
SHAPES = ("excess_kurtosis", "normal_distance", "participation", "largest_eigenvalue")
# Largest number of residuals, evenly strided, in the distance to a normal distribution.
MOST_POOLED = 2**16
# Numbers of samples, and of pooled residuals, that are taken together.
BLOCK_ROWS = 256
BLOCK_POOLED = 2**13


def isotropic_references(n_samples: int, n_units: int) -> tuple[float, float]:
    """Participation ratio over units and largest eigenvalue over the mean one, of isotropic noise.

    Expected for the covariance of `n_samples` about their mean; the second value is the upper edge
    of the Marchenko-Pastur distribution.

    >>> isotropic_references(101, 99)
    (0.5, 3.9799...)
    """
    freedom = max(n_samples - 1, 1)
    return (
        float(1 / (1 + (n_units + 1) / freedom)),
        float((1 + np.sqrt(n_units / freedom)) ** 2),
    )


class ResidualMoments:
    """Moments of a residual over samples, summed over blocks of samples.

    Args:
        residual: residual about its mean over samples, `(sample, unit)`.
        counts: number of times that each sample was drawn, `(draw, sample)`.
    """

    def __init__(self, residual: Floats, counts: NDArray[Any]) -> None:
        self._residual = residual
        n_samples, n_units = residual.shape
        self.squares, self.fourths = np.zeros((2, n_units))
        self._drawn, self._drawn_squares = np.zeros((2, len(counts), n_units))
        self._totals = counts.sum(axis=1, keepdims=True, dtype=np.int64)
        for start in range(0, n_samples, BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            block, drawn = residual[rows], counts[:, rows].astype(np.float64)
            squares = block**2
            self._drawn += drawn @ block
            self._drawn_squares += drawn @ squares
            self.squares += squares.sum(axis=0)
            squares *= squares
            self.fourths += squares.sum(axis=0)

    def log_variances(self, floor: float) -> tuple[Floats, Floats]:
        """Compute ln variance by each of `AVERAGES` over units.

        Args:
            floor: variance below which a unit's residual is rounding error.

        Returns:
            Of the sample `(average)`, and of each draw `(draw, average)`.
        """
        n_samples = len(self._residual)
        logs = []
        for squares in (
            self.squares[np.newaxis] / n_samples,
            self._drawn_squares / self._totals - (self._drawn / self._totals) ** 2,
        ):
            # A draw repeats texts, so its mean takes as many degrees of freedom as the sample's.
            variance = squares * n_samples / max(n_samples - 1, 1)
            variance = np.where(variance > floor, variance, np.nan)
            is_defined = np.isfinite(variance)
            count = np.where(is_defined.any(axis=1), is_defined.sum(axis=1), np.nan)
            unit_logs = np.log(variance, where=is_defined, out=np.zeros_like(variance))
            mean = np.where(is_defined, variance, 0.0).sum(axis=1) / count
            logs.append(np.stack([unit_logs.sum(axis=1) / count, np.log(mean)], axis=1))
        return logs[0][0], logs[1]

    def shape(self, floor: float) -> Floats:
        """Compute each of `SHAPES`; NaN where there is no residual.

        Args:
            floor: sum of squares over samples and units that is rounding error.
        """
        n, n_units = self._residual.shape
        variance = self.squares / n
        varying = np.flatnonzero(variance > floor / self._residual.size)
        if n < 4 or not varying.size:
            return np.full(len(SHAPES), np.nan)
        moment = float((self.fourths[varying] / variance[varying] ** 2).mean() / n)
        kurtosis = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (moment - 3) + 6)
        distance = _normal_distance(self._residual, varying, np.sqrt(variance[varying]))
        residual = self._residual
        gram = residual @ residual.T if n < n_units else residual.T @ residual
        trace = float(np.trace(gram))
        participation = trace**2 / float(np.vdot(gram, gram)) / n_units
        return np.array([kurtosis, distance, participation, _largest(gram) * n_units / trace])


def _normal_distance(residual: Floats, units: NDArray[np.int64], spread: Floats) -> float:
    """Kolmogorov distance of some units, each over its spread and pooled, to a normal one."""
    size = len(residual) * units.size
    places = np.arange(0, size, -(-size // MOST_POOLED))
    pooled = np.empty(places.size)
    for start in range(0, places.size, BLOCK_POOLED):
        part = slice(start, start + BLOCK_POOLED)
        rows, columns = np.divmod(places[part], units.size)
        pooled[part] = residual[rows, units[columns]] / spread[columns]
    pooled.sort()
    distance = 0.0
    for start in range(0, pooled.size, BLOCK_POOLED):
        expected = scipy.special.ndtr(pooled[start : start + BLOCK_POOLED])
        steps = np.arange(start, start + expected.size + 1) / pooled.size
        above, below = (steps[1:] - expected).max(), (expected - steps[:-1]).max()
        distance = max(distance, float(above), float(below))
    return distance


def _largest(gram: Floats) -> float:
    """Largest eigenvalue of a symmetric matrix."""
    if len(gram) < 3:
        return float(np.linalg.eigvalsh(gram)[-1])
    # A seeded start vector, so that the same matrix gives the same bits.
    start = np.random.default_rng(0).standard_normal(len(gram))
    values = scipy.sparse.linalg.eigsh(gram, k=1, v0=start, return_eigenvectors=False, tol=1e-6)
    return float(values[0])
