"""Leading principal components of states `(sample, site, unit)`.

The center is the mean over samples and sites unless another one is given. The covariance is summed
site by site in float64, so that states on disk or in float16 are never copied as a whole, which
`sklearn.decomposition.PCA` would do. Cost: one pass for the mean, one for the covariance (N S D^2),
and the leading eigenvectors of one D x D matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats, require_sites, site_states
from transformer_dynamics.numerics.linalg.eigenvectors import leading_eigenvectors

BLOCK_ROWS = 2048


@dataclass(frozen=True)
class PrincipalAxes:
    """Leading principal components of a set of states.

    Attributes:
        mean: center `(unit)`, in stream units.
        components: unit vectors `(component, unit)`, in descending order of variance; the loading
            of largest magnitude is positive in each.
        variance: mean square along each component, `(component)`, in stream units squared; the
            denominator is the number of states.
        total_variance: mean square over all directions, same unit and denominator.
    """

    mean: Floats
    components: Floats
    variance: Floats
    total_variance: float

    def project(self, values: NDArray[Any]) -> Floats:
        """Compute scores `(..., component)` of states `(..., unit)`, in stream units, float64."""
        rows = np.reshape(values, (-1, self.mean.size))
        scores = np.empty((len(rows), len(self.components)))
        for start in range(0, len(rows), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            scores[block] = (rows[block] - self.mean) @ self.components.T
        return scores.reshape(*np.shape(values)[:-1], len(self.components))


def principal_axes(
    values: NDArray[Any], n_components: int, *, center: NDArray[Any] | None = None
) -> PrincipalAxes:
    """Compute the leading principal components, pooled over samples and sites.

    Args:
        values: states `(sample, site, unit)`.
        n_components: number of components, at most min(units, samples times sites).
        center: origin of the deviations, `(unit)`; by default the mean over samples and sites.

    Raises:
        InputError: `values` or `center` have the wrong shape or are not finite, or
            `n_components` is out of range.

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
    """Raise an `InputError` unless the states and units allow this number of components."""
    most = min(n_states, n_units)
    if not 1 <= n_components <= most:
        raise InputError(
            f"got n_components={n_components}; {n_states} states of {n_units} units have 1 to "
            f"{most} components: n_components={min(3, most)}"
        )


def require_finite(per_unit: Floats) -> None:
    """Raise an `InputError` unless all sums over states, `(unit)`, are finite."""
    if not np.isfinite(per_unit).all():
        raise InputError(
            "got states that are not finite; principal components need finite states: "
            "recording.isel(sample=np.isfinite(recording.values).all(axis=(1, 2)))"
        )


def pooled_mean(values: NDArray[Any]) -> Floats:
    """Compute the mean over samples and sites, `(unit)`; exact where all states are equal."""
    first = values[0, 0].astype(np.float64)
    total = np.zeros(values.shape[2])
    with np.errstate(invalid="ignore"):
        for states in site_states(values):
            total += (states - first).sum(axis=0)
        mean: Floats = first + total / (values.shape[0] * values.shape[1])
    require_finite(mean)
    return mean


def summed_products(values: NDArray[Any], mean: Floats) -> Floats:
    """Sum the products of deviations from `mean` over samples and sites, `(unit, unit)`."""
    total = np.zeros((mean.size, mean.size))
    with np.errstate(invalid="ignore"):
        for states in site_states(values):
            states -= mean
            total += states.T @ states
    require_finite(np.diag(total))
    return total


def leading_axes(covariance: Floats, mean: Floats, n_components: int) -> PrincipalAxes:
    """Compute the principal axes of a covariance matrix.

    Args:
        covariance: symmetric matrix `(unit, unit)`, in stream units squared.
        mean: center of the axes, `(unit)`.
        n_components: number of components.
    """
    variance, components = leading_eigenvectors(covariance, n_components)
    largest = np.abs(components).argmax(axis=1)
    signs = np.sign(components[np.arange(n_components), largest])
    return PrincipalAxes(
        mean=mean,
        components=components * signs[:, np.newaxis],
        variance=np.maximum(variance, 0.0),
        total_variance=float(np.trace(covariance)),
    )
