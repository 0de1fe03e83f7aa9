"""Pearson correlation of each unit between two sites, under rows of weights over samples.

    r = cov(x[:, s, u], x[:, t, u]) / sqrt(var(x[:, s, u]) var(x[:, t, u]))

`numpy.corrcoef` and `scipy.stats.pearsonr` take no weights. A bootstrap over texts is a matrix of
weights `(draw, sample)`, so all draws of one site cost three matrix products
(draw, sample) x (sample, unit). Accumulated in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import (
    Floats,
    centered,
    check_weights,
    defined_mean,
    warn_counts,
    warn_undefined,
)
from transformer_dynamics.numerics.blocks import Blockwise, unit_sets
from transformer_dynamics.numerics.weighting import SampleWeights

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


def site_moments(columns: Floats, weights: SampleWeights) -> SiteMoments:
    """Compute weighted mean and variance `(draw, unit)` of centered states `(sample, unit)`."""
    with np.errstate(invalid="ignore", over="ignore"):
        mean = weights.means(columns)
        square = weights.means(columns * columns)
        variance = square - mean * mean
        variance[~(variance > VARIANCE_FLOOR * square)] = np.nan
    return SiteMoments(columns, mean, variance)


def moment_correlation(first: SiteMoments, second: SiteMoments, weights: SampleWeights) -> Floats:
    """Compute the weighted correlation `(draw, unit)` of two sites."""
    with np.errstate(invalid="ignore", over="ignore"):
        covariance = weights.means(first.values * second.values)
        covariance -= first.mean * second.mean
        # One root of the product gives exactly 1 for a unit that does not change.
        covariance /= np.sqrt(first.variance * second.variance)
    return np.clip(covariance, -1.0, 1.0, out=covariance)


def step_correlations(
    site_values: Callable[[int], Floats], n_sites: int, weights: Floats | None
) -> Iterator[Floats]:
    """Iterate over the correlations `(draw, unit)` of neighboring sites, two sites in memory.

    Args:
        site_values: function from the index of a site to its centered states `(sample, unit)`.
        n_sites: number of sites.
        weights: `(draw, sample)`, or None for the plain mean.
    """
    columns = site_values(0)
    rows = SampleWeights(check_weights(weights, len(columns)))
    previous = site_moments(columns, rows)
    for step in range(n_sites - 1):
        current = site_moments(site_values(step + 1), rows)
        yield moment_correlation(previous, current, rows)
        previous = current


def correlate_steps(
    site_values: Callable[[int], Floats], n_sites: int, weights: Floats | None
) -> Floats:
    """Compute the correlations of all steps, `(draw, step, unit)`; see `step_correlations`."""
    return np.stack(list(step_correlations(site_values, n_sites, weights)), axis=1)


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


def mean_adjacent_correlation(values: NDArray[Any], weights: Floats | None = None) -> Floats:
    """Compute the mean of `adjacent_correlation` over the units where it is defined.

    The arguments, errors and warnings are the same; one step is in memory at a time.

    Returns:
        `(draw, step)`, dimensionless.
    """
    require_steps(values.shape)
    rows = check_weights(weights, len(values))
    n_sites, n_undefined = values.shape[1], 0
    means = np.empty((len(rows), n_sites - 1))
    steps = step_correlations(lambda site: centered(values[:, site]), n_sites, rows)
    for step, correlation in enumerate(steps):
        means[:, step] = defined_mean(correlation)
        n_undefined += int(np.count_nonzero(np.isnan(correlation)))
    total = means.size * values.shape[2]
    warn_counts({"correlation": (n_undefined, total)}, UNVARYING, stacklevel=2)
    return means


def mean_step_correlation(recording: Blockwise, weights: Floats) -> Floats:
    """Compute the mean over units of the correlation between neighboring sites, `(draw, step)`.

    The result is that of `mean_adjacent_correlation`, up to rounding for a recording on disk, of
    which sums of products are kept for some units at a time. They are of deviations from the first
    sample, so a constant unit stays exactly constant. NaN, with one `UndefinedWarning`, where no
    unit varies.

    Args:
        recording: states `(sample, site, unit)`, at least two sites.
        weights: `(draw, sample)`, rows that sum to one.

    Raises:
        InputError: too few sites, or weights of another shape or sum.
    """
    if recording.in_memory:
        return mean_adjacent_correlation(recording.values, weights)
    require_steps(recording.shape)
    rows = check_weights(weights, recording.shape[0])
    n_sites, n_units = recording.shape[1:]
    total = np.zeros((len(rows), n_sites - 1))
    count = np.zeros(total.shape)
    for units in unit_sets(n_units, 3 * 8 * len(rows) * n_sites):
        correlation = _of_units(recording, rows, units)
        total += np.nansum(correlation, axis=-1)
        count += np.isfinite(correlation).sum(axis=-1)
    size = total.size * n_units
    warn_counts({"correlation": (int(size - count.sum()), size)}, UNVARYING, stacklevel=2)
    with np.errstate(invalid="ignore"):
        mean: Floats = total / count
    return mean


def _of_units(recording: Blockwise, weights: Floats, units: slice) -> Floats:
    """Correlations of some units, `(draw, step, unit)`; NaN where a unit does not vary."""
    n_sites, n_units = recording.shape[1], units.stop - units.start
    shape = len(weights), n_sites, n_units
    mean, square = np.zeros((2, *shape))
    product = np.zeros((shape[0], n_sites - 1, n_units))
    first = None
    for rows, states in recording.blocks():
        block = states[:, :, units].astype(np.float64)
        first = block[0].copy() if first is None else first
        block -= first
        drawn = weights[:, rows]
        mean += _summed(drawn, block)
        product += _summed(drawn, block[:, :-1] * block[:, 1:])
        square += _summed(drawn, np.square(block, out=block))
    with np.errstate(invalid="ignore", over="ignore"):
        variance = square - mean * mean
        variance[~(variance > VARIANCE_FLOOR * square)] = np.nan
        product -= mean[:, :-1] * mean[:, 1:]
        product /= np.sqrt(variance[:, :-1] * variance[:, 1:])
    return np.clip(product, -1.0, 1.0, out=product)


def _summed(weights: Floats, values: Floats) -> Floats:
    sums: Floats = weights @ values.reshape(len(values), -1)
    return sums.reshape(len(weights), *values.shape[1:])
