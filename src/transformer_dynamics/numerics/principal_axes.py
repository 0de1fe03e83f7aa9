"""The leading principal components of states, as an array kernel.

The center is one mean over samples and sites unless another is given. Cost: one pass for the mean,
one for the covariance (N S D^2), a site in float64 at a time; leading eigenvectors of one D x D
matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats, require_sites, site_states

BLOCK_ROWS = 2048
# Eigenvalues below this share of the largest are rounding, and their vectors arbitrary.
RANK_TOLERANCE = 1e-12


@dataclass(frozen=True)
class PrincipalAxes:
    """The leading principal components of a set of states.

    Attributes:
        mean: the center, `(unit)`, in stream units.
        components: unit vectors in rows, `(component, unit)`, by falling variance; the loading of
            the largest magnitude is positive in each.
        variance: mean square along each component, `(component)`, in stream units squared; the
            denominator is the number of states.
        total_variance: the same over all directions.
    """

    mean: Floats
    components: Floats
    variance: Floats
    total_variance: float

    def project(self, values: NDArray[Any]) -> Floats:
        """Scores of states: `(..., unit)` to `(..., component)`, in stream units, float64."""
        rows = np.reshape(values, (-1, self.mean.size))
        scores = np.empty((len(rows), len(self.components)))
        for start in range(0, len(rows), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            scores[block] = (rows[block] - self.mean) @ self.components.T
        return scores.reshape(*np.shape(values)[:-1], len(self.components))


def principal_axes(
    values: NDArray[Any], n_components: int, *, center: NDArray[Any] | None = None
) -> PrincipalAxes:
    """The leading principal components, pooled over samples and sites about one mean.

    Args:
        values: states `(sample, site, unit)`.
        n_components: how many components, at most min(units, samples times sites).
        center: `(unit)`, what to take deviations from; by default the mean over samples and sites.

    Raises:
        InputError: `values` or `center` have another shape or are not finite, or there are not
            `n_components` components.

    >>> axes = principal_axes(np.array([[[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]]]), 1)
    >>> axes.components, axes.variance / axes.total_variance
    (array([[0.6, 0.8]]), array([1.]))
    """
    require_sites(values, 1)
    require_components(n_components, values.shape[0] * values.shape[1], values.shape[2])
    mean = pooled_mean(values) if center is None else np.asarray(center, dtype=np.float64)
    if mean.shape != values.shape[2:]:
        raise InputError(
            f"got a center of shape {mean.shape} for {values.shape[2]} units; it is (unit), as in "
            "center=recording.values[:, 0].mean(axis=0)"
        )
    return leading_axes(
        summed_products(values, mean) / (values.shape[0] * values.shape[1]), mean, n_components
    )


def require_components(n_components: int, n_states: int, n_units: int) -> None:
    """Refuse a number of components that so many states of so many units do not have."""
    most = min(n_states, n_units)
    if not 1 <= n_components <= most:
        raise InputError(
            f"got n_components={n_components}; {n_states} states of {n_units} units have 1 to "
            f"{most} components: n_components={min(3, most)}"
        )


def require_finite(per_unit: Floats) -> None:
    """Refuse states whose sums `(unit)` are not finite."""
    if not np.isfinite(per_unit).all():
        raise InputError(
            "got states that are not finite; principal components need finite ones: "
            "recording.isel(sample=np.isfinite(recording.values).all(axis=(1, 2)))"
        )


def pooled_mean(values: NDArray[Any]) -> Floats:
    """Mean over samples and sites, `(unit)`; exactly the common state where all are the same."""
    first = values[0, 0].astype(np.float64)
    total = np.zeros(values.shape[2])
    with np.errstate(invalid="ignore"):
        for states in site_states(values):
            total += (states - first).sum(axis=0)
        mean: Floats = first + total / (values.shape[0] * values.shape[1])
    require_finite(mean)
    return mean


def summed_products(values: NDArray[Any], mean: Floats) -> Floats:
    """Sum over samples and sites of the products of deviations from `mean`, `(unit, unit)`."""
    total = np.zeros((mean.size, mean.size))
    with np.errstate(invalid="ignore"):
        for states in site_states(values):
            states -= mean
            total += states.T @ states
    require_finite(np.diag(total))
    return total


def leading_axes(covariance: Floats, mean: Floats, n_components: int) -> PrincipalAxes:
    """The principal axes of a covariance `(unit, unit)`."""
    leading = [mean.size - n_components, mean.size - 1]
    variance, vectors = scipy.linalg.eigh(covariance, subset_by_index=leading)
    components: Floats = vectors.T[::-1]
    largest = np.abs(components).argmax(axis=1)
    signs = np.sign(components[np.arange(n_components), largest])
    return PrincipalAxes(
        mean=mean,
        components=components * signs[:, np.newaxis],
        variance=np.maximum(variance[::-1], 0.0),
        total_variance=float(np.trace(covariance)),
    )


def leading_directions(deviations: Floats, n_components: int) -> Floats:
    """The directions of most variance, `(unit, component)`, of `(sample, unit)`."""
    n_samples, n_units = deviations.shape
    wide = n_samples < n_units
    product = deviations @ deviations.T if wide else deviations.T @ deviations
    last = len(product) - 1
    chosen = [last - min(n_components, last + 1) + 1, last]
    vectors = scipy.linalg.eigh(product, subset_by_index=chosen)[1][:, ::-1]
    if not wide:
        return np.asarray(vectors)
    # Orthonormal also where samples repeat each other and some variance is zero.
    return np.linalg.qr(deviations.T @ vectors)[0]


def _directions_of(product: Floats, n_directions: int, rows: Floats | None = None) -> Floats:
    """Leading directions of a scatter `(unit, unit)`, or of products of `rows`, `(row, row)`."""
    leading = [len(product) - n_directions, len(product) - 1]
    variance, vectors = scipy.linalg.eigh(product, subset_by_index=leading, check_finite=False)
    variance, directions = variance[::-1], vectors.T[::-1]
    real = variance > RANK_TOLERANCE * max(variance[0], 0.0)
    if rows is not None:
        directions = (directions @ rows) / np.sqrt(np.where(real, variance, 1.0))[:, np.newaxis]
    return np.where(real[:, np.newaxis], directions, 0.0)
