"""The Gaussian of greatest entropy with given covariances across sites and across units.

For states x (sample, site, unit) with mean m over samples, the two marginal covariances

    across sites   A[s, t] = sum over u of cov(x[s, u], x[t, u])    = sum_i a_i e_i e_i^T
    across units   B[u, v] = sum over s of cov(x[s, u], x[s, v])    = sum_j b_j f_j f_j^T

say how alike the sites are and how alike the units. Of all distributions with these two and the
mean, the one of greatest entropy is Gaussian with the covariance

    sum over i, j of l_ij (e_i f_j)(e_i f_j)^T,    l_ij = 1 / (p_i + q_j),

p and q such that sum_j l_ij = a_i and sum_i l_ij = b_j. They minimize the convex function
p . a + q . b - sum ln(p_i + q_j), found by Newton's method in some ten steps. Nothing about which
unit leads and which follows is left in it: cov(x[s, u], x[t, v]) = cov(x[t, u], x[s, v]).

Source: Elsayed and Cunningham 2017 (tensor maximum entropy), with two modes and samples drawn
independently of each other; the solver is ours.

Cost, for N samples, S sites, D units: N S D (S + D) for the covariances and again per draw;
(S + D)^3 for eigenvectors.

Not handled: moments beyond the second, and dependence between samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import linalg

from transformer_dynamics.numerics.arrays import Floats

BLOCK_SAMPLES = 32
# An eigenvalue below this share of the largest is rounding, and its direction has no variance.
RANK = 1e-12
MOST_STEPS = 100
TOLERANCE = 1e-9


@dataclass(frozen=True)
class MatchedGaussian:
    """A Gaussian over states `(site, unit)` that is made from its two marginal covariances.

    Attributes:
        mean: `(site, unit)`.
        site_axes: unit vectors, `(site, i)`.
        unit_axes: unit vectors, `(unit, j)`.
        variance: along each product of a site axis and a unit axis, `(i, j)`.
    """

    mean: Floats
    site_axes: Floats
    unit_axes: Floats
    variance: Floats

    def draw(
        self, n_samples: int, rng: np.random.Generator, *, dtype: DTypeLike = np.float64
    ) -> NDArray[Any]:
        """Samples whose mean is the given one exactly, up to rounding, and not on average only.

        Args:
            n_samples: how many; the sample covariances, with denominator n_samples - 1, are the
                given ones in expectation.
            rng: where the random numbers come from.
            dtype: float32 or float64, of the numbers and the products.

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
    """The Gaussian with the mean and both marginal covariances of some states.

    Args:
        states: `(sample, site, unit)`, finite; covariances have the denominator samples - 1, and
            one sample has none.

    >>> turning = np.random.default_rng(0).standard_normal((50, 4, 3)).cumsum(axis=1)
    >>> gaussian = matched_gaussian(turning)
    >>> gaussian.variance.shape, gaussian.draw(2, np.random.default_rng(0)).shape
    ((4, 3), (2, 4, 3))
    """
    n_samples, n_sites, n_units = states.shape
    # The first sample goes first: samples that agree deviate by exactly zero.
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
    some = values > RANK * max(values[-1], 0.0)
    return values[some], vectors[:, some]


def _greatest_entropy(rows: Floats, columns: Floats) -> Floats:
    """The table l_ij = 1 / (p_i + q_j) with given sums of rows and columns, all positive.

    Newton's method with halved steps, on p and q scaled by the curvature along each.
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
            there = _negative_entropy(*moved, rows, columns)
            if there <= value + 1e-4 * share * descent or share < 1e-9:
                break
            share /= 2
        (p, q), value = moved, there
    return 1 / (p[:, np.newaxis] + q)


def _negative_entropy(p: Floats, q: Floats, rows: Floats, columns: Floats) -> float:
    precision = p[:, np.newaxis] + q
    if precision.min() <= 0:
        return np.inf
    return float(p @ rows + q @ columns - np.log(precision).sum())


def _newton_step(table: Floats, slope_p: Floats, slope_q: Floats) -> tuple[Floats, Floats]:
    """Solve the curvature's equations with the larger block eliminated."""
    squares = table**2
    scale_p, scale_q = np.sqrt(squares.sum(axis=1)), np.sqrt(squares.sum(axis=0))
    coupling = squares / scale_p[:, np.newaxis] / scale_q
    # A constant may pass from p to q without a change; this fixes it.
    free = scale_p / np.linalg.norm(scale_p)
    reduced = np.eye(len(table)) - coupling @ coupling.T + np.outer(free, free)
    step_p = linalg.solve(
        reduced, coupling @ (slope_q / scale_q) - slope_p / scale_p, assume_a="pos"
    )
    step_q = -slope_q / scale_q - coupling.T @ step_p
    return step_p / scale_p, step_q / scale_q
