"""Pearson correlation of each unit between two sites, under rows of weights over samples.

    r = cov(x[:, s, u], x[:, t, u]) / sqrt(var(x[:, s, u]) var(x[:, t, u]))

`numpy.corrcoef` and `scipy.stats.pearsonr` take no weights. A bootstrap over texts is a matrix of
weights `(draw, sample)`, so all draws of one site cost three matrix products
(draw, sample) x (sample, unit). Accumulated in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats, centered, check_weights, warn_undefined

# Cancellation leaves about this share of the mean square as variance of a constant unit.
VARIANCE_FLOOR = 1e-12
UNVARYING = "a unit does not vary over the samples"


class SiteMoments(NamedTuple):
    """States of one site and their weighted moments.

    Attributes:
        values: `(sample, unit)`.
        mean: `(draw, unit)`.
        variance: `(draw, unit)`; NaN where it vanishes.
    """

    values: Floats
    mean: Floats
    variance: Floats


def require_steps(shape: tuple[int, ...]) -> None:
    """Check that a shape is `(sample, site, unit)` with at least two sites.

    Raises:
        InputError: the shape has another number of axes, or fewer than two sites.
    """
    if len(shape) != 3 or shape[1] < 2:
        raise InputError(
            f"got states of shape {shape}; steps take (sample, site, unit) with at least two sites"
            ", as in recording.sel(site=['0.pre_attn', '0.pre_mlp'])"
        )


def site_moments(columns: Floats, weights: Floats) -> SiteMoments:
    """Compute weighted mean and variance `(draw, unit)` of centered states `(sample, unit)`."""
    with np.errstate(invalid="ignore", over="ignore"):
        mean = weights @ columns
        square = weights @ (columns * columns)
        variance = square - mean * mean
        variance[~(variance > VARIANCE_FLOOR * square)] = np.nan
    return SiteMoments(columns, mean, variance)


def moment_correlation(first: SiteMoments, second: SiteMoments, weights: Floats) -> Floats:
    """Compute the weighted correlation `(draw, unit)` of two sites."""
    with np.errstate(invalid="ignore", over="ignore"):
        covariance = weights @ (first.values * second.values)
        covariance -= first.mean * second.mean
        # One root of the product gives exactly 1 for a unit that does not change.
        covariance /= np.sqrt(first.variance * second.variance)
    return np.clip(covariance, -1.0, 1.0, out=covariance)


def correlate_steps(
    site_values: Callable[[int], Floats], n_sites: int, weights: Floats | None
) -> Floats:
    """Compute the correlation `(draw, step, unit)` of neighboring sites, two sites in memory.

    Args:
        site_values: function from the index of a site to its centered states `(sample, unit)`.
        n_sites: number of sites.
        weights: `(draw, sample)`, or None for the plain mean.
    """
    columns = site_values(0)
    weights = check_weights(weights, len(columns))
    result = np.empty((len(weights), n_sites - 1, columns.shape[1]))
    previous = site_moments(columns, weights)
    for step in range(n_sites - 1):
        current = site_moments(site_values(step + 1), weights)
        result[:, step] = moment_correlation(previous, current, weights)
        previous = current
    return result


def adjacent_correlation(values: NDArray[Any], weights: Floats | None = None) -> Floats:
    """Compute the correlation of each unit between neighboring sites for each row of weights.

    Args:
        values: states `(sample, site, unit)`, at least two sites.
        weights: `(draw, sample)`, rows that sum to one, for example bootstrap draws of texts; by
            default one row of 1/N.

    Returns:
        `(draw, step, unit)`, dimensionless. Exactly 1 where a unit does not change between the two
        sites; NaN, with one `UndefinedWarning`, where it does not vary over the samples.

    Raises:
        InputError: `values` or `weights` have the wrong shape, or a row does not sum to one.

    >>> values = np.array([[[0.0], [1.0]], [[1.0], [3.0]], [[2.0], [2.0]]])
    >>> adjacent_correlation(values)
    array([[[0.5]]])
    """
    require_steps(values.shape)
    result = correlate_steps(lambda site: centered(values[:, site]), values.shape[1], weights)
    warn_undefined({"correlation": result}, UNVARYING, stacklevel=2)
    return result
