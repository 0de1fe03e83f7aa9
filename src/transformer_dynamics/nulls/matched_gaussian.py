"""The Gaussian of greatest entropy with given covariances across sites and across units.

For states x (sample, site, unit), with the sums over one axis of the covariances along the other,

    across sites   A[s, t] = sum over u of cov(x[s, u], x[t, u])    = sum_i a_i e_i e_i^T
    across units   B[u, v] = sum over s of cov(x[s, u], x[s, v])    = sum_j b_j f_j f_j^T

its covariance is sum_ij l_ij (e_i f_j)(e_i f_j)^T with l_ij = 1 / (p_i + q_j), sum_j l_ij = a_i and
sum_i l_ij = b_j. Source: Elsayed and Cunningham 2017 (tensor maximum entropy), with two modes and
independent samples; the solver (Newton) is ours. Cost: N S D (S + D) for the covariances and again
per draw; (S + D)^3 for eigenvectors. Derivation: docs/nulls/covariance_matched.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import linalg

from transformer_dynamics.numerics.arrays import Floats

BLOCK_SAMPLES = 32
# Eigenvalues below this share of the largest are rounding; their directions have no variance.
RANK = 1e-12
MOST_STEPS = 100
TOLERANCE = 1e-9


@dataclass(frozen=True)
class MatchedGaussian:
    """Gaussian over states `(site, unit)`, given by its two marginal covariances.

    Attributes:
        mean: `(site, unit)`.
        site_axes: unit vectors, `(site, i)`.
        unit_axes: unit vectors, `(unit, j)`.
        variance: variance along each product of a site axis and a unit axis, `(i, j)`.
    """

    mean: Floats
    site_axes: Floats
    unit_axes: Floats
    variance: Floats

    def draw(
        self, n_samples: int, rng: np.random.Generator, *, dtype: DTypeLike = np.float64
    ) -> NDArray[Any]:
        """Draw samples whose mean is the given one up to rounding, not on average only.

        Args:
            n_samples: number of samples; the sample covariances, with denominator n_samples - 1,
                are the given ones in expectation.
            rng: generator of the random numbers.
            dtype: dtype of the numbers and the products, float32 or float64.

        Returns:
            `(sample, site, unit)`.
        """
        real: Any = np.dtype(dtype).type
        site_axes, unit_axes = self.site_axes.astype(real), self.unit_axes.T.astype(real)
        scale = np.sqrt(self.variance).astype(real)
        states = np.empty((n_samples, *self.mean.shape), dtype=real)
        total = np.zeros(self.mean.shape)
        for start in range(0, n_samples, BLOCK_SAMPLES):
            block = states[start : start + BLOCK_SAMPLES]
            numbers = rng.standard_normal((len(block), *scale.shape), dtype=real)
            numbers *= scale
            np.matmul(site_axes, numbers @ unit_axes, out=block)
            total += block.sum(axis=0, dtype=np.float64)
        states += (self.mean - total / n_samples).astype(real)
        return states


def matched_gaussian(states: NDArray[Any]) -> MatchedGaussian:
    """Compute the Gaussian with the mean and both marginal covariances of states.

    Args:
        states: `(sample, site, unit)`, finite. Covariances have the denominator samples - 1; those
            of a single sample are zero.

    >>> turning = np.random.default_rng(0).standard_normal((50, 4, 3)).cumsum(axis=1)
    >>> gaussian = matched_gaussian(turning)
    >>> gaussian.variance.shape, gaussian.draw(2, np.random.default_rng(0)).shape
    ((4, 3), (2, 4, 3))
    """
    n_samples, n_sites, n_units = states.shape
    # The first sample is subtracted first: samples that agree deviate by exactly zero.
    first = states[0].astype(np.float64)
    offset = np.zeros((n_sites, n_units))
    for start in range(0, n_samples, BLOCK_SAMPLES):
        offset += (states[start : start + BLOCK_SAMPLES] - first).sum(axis=0)
    offset /= n_samples
    across_sites, across_units = np.zeros((n_sites, n_sites)), np.zeros((n_units, n_units))
    for start in range(0, n_samples, BLOCK_SAMPLES):
        deviations = states[start : start + BLOCK_SAMPLES] - first
        deviations -= offset
        stacked = deviations.reshape(-1, n_units)
        across_units += stacked.T @ stacked
        by_site = deviations.transpose(1, 0, 2).reshape(n_sites, -1)
        across_sites += by_site @ by_site.T
    degrees = max(1, n_samples - 1)
    site_variance, site_axes = _axes_with_variance(across_sites / degrees)
    unit_variance, unit_axes = _axes_with_variance(across_units / degrees)
    variance = _greatest_entropy(site_variance, unit_variance)
    return MatchedGaussian(first + offset, site_axes, unit_axes, variance)


def _axes_with_variance(covariance: Floats) -> tuple[Floats, Floats]:
    """Eigenvalues above rounding, and their eigenvectors in columns."""
    values, vectors = linalg.eigh(covariance)
    above_rounding = values > RANK * max(values[-1], 0.0)
    return values[above_rounding], vectors[:, above_rounding]


def _greatest_entropy(rows: Floats, columns: Floats) -> Floats:
    """Find the table l_ij = 1 / (p_i + q_j) with given positive sums of rows and columns.

    Newton's method with step halving, on p and q scaled by the curvature along each.
    """
    if not rows.size:
        return np.zeros((0, 0))
    columns = columns * (rows.sum() / columns.sum())
    p, q = columns.size / (2 * rows), rows.size / (2 * columns)
    value = _negative_entropy(p, q, rows, columns)
    for _ in range(MOST_STEPS):
        table = 1 / (p[:, np.newaxis] + q)
        slope_p, slope_q = rows - table.sum(axis=1), columns - table.sum(axis=0)
        if max(np.abs(slope_p / rows).max(), np.abs(slope_q / columns).max()) < TOLERANCE:
            break
        step_p, step_q = _newton_step(table, slope_p, slope_q)
        descent, share = slope_p @ step_p + slope_q @ step_q, 1.0
        while True:
            moved = p + share * step_p, q + share * step_q
            moved_value = _negative_entropy(*moved, rows, columns)
            if moved_value <= value + 1e-4 * share * descent or share < 1e-9:
                break
            share /= 2
        (p, q), value = moved, moved_value
    return 1 / (p[:, np.newaxis] + q)


def _negative_entropy(p: Floats, q: Floats, rows: Floats, columns: Floats) -> float:
    """Objective p . a + q . b - sum ln(p_i + q_j); infinite where a precision is not positive."""
    precision = p[:, np.newaxis] + q
    if precision.min() <= 0:
        return np.inf
    return float(p @ rows + q @ columns - np.log(precision).sum())


def _newton_step(table: Floats, slope_p: Floats, slope_q: Floats) -> tuple[Floats, Floats]:
    """Solve Newton's equations with the block of the columns eliminated."""
    squares = table**2
    scale_p, scale_q = np.sqrt(squares.sum(axis=1)), np.sqrt(squares.sum(axis=0))
    coupling = squares / scale_p[:, np.newaxis] / scale_q
    # The objective does not change when a constant moves from p to q; this fixes the constant.
    free = scale_p / np.linalg.norm(scale_p)
    reduced = np.eye(len(table)) - coupling @ coupling.T + np.outer(free, free)
    step_p = linalg.solve(
        reduced, coupling @ (slope_q / scale_q) - slope_p / scale_p, assume_a="pos"
    )
    step_q = -slope_q / scale_q - coupling.T @ step_p
    return step_p / scale_p, step_q / scale_q
