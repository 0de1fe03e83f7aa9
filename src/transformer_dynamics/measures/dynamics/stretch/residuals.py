"""Variance and shape of residuals `(sample, unit)`, with references for isotropic noise.

Per unit: variance and excess kurtosis. Pooled over units, each over its standard deviation:
Kolmogorov distance to a normal distribution. Of the covariance C over units: participation ratio
(tr C)^2 / tr C^2 over the number of units, and the largest eigenvalue over the mean one. Ours and
not `scipy.stats.kurtosis` and `kstest`, since all share one standardized array and need no p-value.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse.linalg
import scipy.special

from transformer_dynamics.numerics.arrays import Floats

AVERAGES = ("geometric", "arithmetic")
SHAPES = ("excess_kurtosis", "normal_distance", "participation", "largest_eigenvalue")
# Largest number of residuals, evenly strided, in the distance to a normal distribution.
MOST_POOLED = 2**16


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


def log_variances(residual: Floats, weights: Floats, floor: float) -> tuple[Floats, Floats]:
    """Compute ln variance by each of `AVERAGES` over units.

    Args:
        residual: `(sample, unit)`.
        weights: bootstrap draws of the samples, `(draw, sample)`.
        floor: variance below which a unit's residual is rounding error.

    Returns:
        Of the sample `(average)`, and of each draw `(draw, average)`.
    """
    uniform = np.full((1, len(residual)), 1 / len(residual))
    shifted = residual - residual.mean(axis=0)
    squares = shifted**2
    logs = []
    for drawn in (uniform, weights):
        # A draw repeats texts, so its mean takes as many degrees of freedom as the sample's mean.
        variance = (drawn @ squares - (drawn @ shifted) ** 2) * len(residual)
        variance /= max(len(residual) - 1, 1)
        variance = np.where(variance > floor, variance, np.nan)
        is_defined = np.isfinite(variance)
        count = np.where(is_defined.any(axis=1), is_defined.sum(axis=1), np.nan)
        unit_logs = np.log(variance, where=is_defined, out=np.zeros_like(variance))
        mean = np.where(is_defined, variance, 0.0).sum(axis=1) / count
        logs.append(np.stack([unit_logs.sum(axis=1) / count, np.log(mean)], axis=1))
    return logs[0][0], logs[1]


def shape_statistics(residual: Floats, floor: float) -> Floats:
    """Compute each of `SHAPES` of a residual `(sample, unit)`; NaN where there is none."""
    centered = residual - residual.mean(axis=0)
    spread = centered.std(axis=0)
    varying = spread**2 > floor / residual.size
    if len(residual) < 4 or not varying.any():
        return np.full(len(SHAPES), np.nan)
    standard = centered[:, varying] / spread[varying]
    squares = standard**2
    n, moment = len(standard), float(np.mean(squares**2))
    kurtosis = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (moment - 3) + 6)
    pooled = np.sort(standard.ravel()[:: -(-standard.size // MOST_POOLED)])
    expected, steps = scipy.special.ndtr(pooled), np.arange(pooled.size + 1) / pooled.size
    distance = max(float((steps[1:] - expected).max()), float((expected - steps[:-1]).max()))
    n_samples, n_units = centered.shape
    gram = centered @ centered.T if n_samples < n_units else centered.T @ centered
    trace = float(np.trace(gram))
    participation = trace**2 / float(np.vdot(gram, gram)) / n_units
    return np.array([kurtosis, distance, participation, _largest(gram) * n_units / trace])


def _largest(gram: Floats) -> float:
    """Largest eigenvalue of a symmetric matrix."""
    if len(gram) < 3:
        return float(np.linalg.eigvalsh(gram)[-1])
    # A seeded start vector, so that the same matrix gives the same bits.
    start = np.random.default_rng(0).standard_normal(len(gram))
    values = scipy.sparse.linalg.eigsh(gram, k=1, v0=start, return_eigenvectors=False, tol=1e-6)
    return float(values[0])
