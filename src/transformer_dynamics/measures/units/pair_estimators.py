"""Mutual information of one pair of variables: nearest neighbors (KSG), kernel densities (KDE).

    ksg  psi(k) + psi(N) - <psi(n_x + 1) + psi(n_y + 1)>, k nearest neighbors in the maximum norm
         (estimator 1 of Kraskov et al., arXiv cond-mat/0305641); where the k-th neighbor coincides
         with the point, the discrete limit of arXiv 1709.06212
    kde  <ln p(x, y) / (p(x) p(y))> over the samples themselves, with Gaussian kernel densities of
         Scott's width, as in arXiv 2502.12131

Both loop over units in Python. `sklearn.feature_selection.mutual_info_regression` breaks ties with
noise instead of the discrete limit; `scipy.stats.gaussian_kde` recomputes the marginal densities
for every pair.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import digamma

from transformer_dynamics.numerics.arrays import Floats, centered

# Rows of the kernel matrix in memory: with 1000 samples they stay in the processor's cache.
KERNEL_ROWS = 100


def z_scores(columns: NDArray[Any]) -> Floats:
    """Scale each unit of `(sample, unit)` to mean 0 and sample variance 1 (denominator N - 1).

    `scipy.stats.zscore` would leave rounding errors instead of NaN in some constant units.

    Returns:
        `(sample, unit)`, float64, dimensionless; NaN for a constant unit.
    """
    result = centered(columns)
    with np.errstate(invalid="ignore", over="ignore"):
        deviation = np.sqrt(np.einsum("nu,nu->u", result, result) / max(1, len(result) - 1))
        deviation[deviation == 0] = np.nan
        result /= deviation
    return result


def over_units(pair: Callable[[Floats, Floats], float], first: Floats, second: Floats) -> Floats:
    """Apply an estimator of one pair `(..., sample)` unit by unit; NaN where a unit is NaN."""
    rows, other_rows = np.ascontiguousarray(first.T), np.ascontiguousarray(second.T)
    result = np.full(len(rows), np.nan)
    for unit, (row, other) in enumerate(zip(rows, other_rows, strict=True)):
        if np.isfinite(row).all() and np.isfinite(other).all():
            result[unit] = pair(row.T, other.T)
    return result


def ksg_pair(x: Floats, y: Floats, *, neighbors: int) -> float:
    """Estimate the information of one pair, `(sample,)` each, by Kraskov's first estimator."""
    points = np.column_stack([x, y])
    tree = cKDTree(points)
    distance = np.ravel(tree.query(points, k=[neighbors + 1], p=np.inf)[0])
    k = np.full(x.size, float(neighbors))
    coincident = distance == 0
    if coincident.any():
        k[coincident] = tree.query_ball_point(points[coincident], 0.0, return_length=True)
    within = digamma(_marginal_count(x, distance)) + digamma(_marginal_count(y, distance))
    return float(digamma(x.size) + np.mean(digamma(k) - within))


def _marginal_count(x: Floats, distance: Floats) -> Floats:
    """Count the entries nearer than `distance`, itself included; at distance 0, equal ones."""
    ascending = np.sort(x)
    # The margin for rounding of x +- distance excludes the neighbor at exactly that distance.
    reach = np.maximum(distance - 4 * np.spacing(np.abs(x) + distance), 0.0)
    below = np.searchsorted(ascending, x - reach, side="left")
    return np.asarray(np.searchsorted(ascending, x + reach, side="right") - below, np.float64)


def prepare_kde(columns: NDArray[Any]) -> Floats:
    """Stack the z-scores of one site and the log of their marginal density, `(2, sample, unit)`."""
    states = z_scores(columns)
    log_density = np.full(states.shape, np.nan)
    width = len(states) ** (-1 / 5)
    for unit in np.flatnonzero(np.isfinite(states).all(axis=0)):
        log_density[:, unit] = _log_kernel_mean(states[:, [unit]] / width)
    return np.stack([states, log_density - np.log(width) - 0.5 * np.log(2 * np.pi)])


def kde_pair(first: Floats, second: Floats) -> float:
    """Compute the plug-in information of one pair of z-scores and log densities, `(2, sample)`."""
    (x, log_x), (y, log_y) = first, second
    r = float(x @ y) / (x.size - 1)
    rest = 1 - r * r
    if rest <= np.finfo(np.float64).eps * x.size:
        return np.inf
    width = x.size ** (-1 / 6)
    whitened = np.column_stack([x, (y - r * x) / np.sqrt(rest)]) / width
    log_joint = _log_kernel_mean(whitened) - np.log(2 * np.pi * width**2 * np.sqrt(rest))
    return float(np.mean(log_joint - log_x - log_y))


def _log_kernel_mean(points: Floats) -> Floats:
    """Compute the log of the mean over j of exp(-|points[i] - points[j]|^2 / 2), `(sample,)`."""
    half_square = -0.5 * np.einsum("nd,nd->n", points, points)
    ones = np.ones(len(points))
    left = np.column_stack([points, half_square, ones])
    right = np.vstack([points.T, ones, half_square])
    total = np.empty(len(points))
    for start in range(0, len(points), KERNEL_ROWS):
        chosen = slice(start, start + KERNEL_ROWS)
        exponent = left[chosen] @ right
        total[chosen] = np.exp(exponent, out=exponent).sum(axis=1)
    return np.log(total / len(points))
