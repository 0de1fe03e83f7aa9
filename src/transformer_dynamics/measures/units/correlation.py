"""Continuity of single units over depth: the correlation of a unit with itself at another site.

Estimates Pearson's r over samples of unit u between two sites s and t,

    r = cov(x[:, s, u], x[:, t, u]) / sqrt(var(x[:, s, u]) var(x[:, t, u])),

for neighboring sites, for all pairs of sites, and as a function of their distance. A plain random
walk over depth reaches sqrt(s/(s+1)) at its step s = 1, 2, ... without having learned anything, so
the drawings show that curve.

Source: arXiv 2502.12131 (adjacent pairs in its Results, all pairs in its Methods).

Cost: neighboring sites take one pass over the states, and under bootstrap weights three matrix
products (draw, sample) x (sample, unit) per site; all pairs take one product (site, sample) x
(sample, site) per unit. Accumulated in float64.

Not handled: dependence that is not linear (see `information`), and samples that are not
independent: an interval needs weights drawn over texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import (
    Floats,
    band,
    centered,
    check_weights,
    defined_mean,
    warn_where_undefined,
)
from transformer_dynamics.recording.moments.moments import Moments
from transformer_dynamics.recording.moments.products import Products
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure

SOURCE = "arXiv 2502.12131"
# What cancellation leaves of the variance of a unit that is constant where the weights are.
VARIANCE_FLOOR = 1e-12
PAIR_BYTES = 256 * 2**20
BLOCK_BYTES = 32 * 2**20
OVER_UNITS = {"units": "1", "denominator": "units where the correlation is defined"}
STEP_LABEL = "step (index of the site it starts from)"


class SiteMoments(NamedTuple):
    """States of one site and their weighted moments.

    values: (sample, unit); mean and variance: (draw, unit), the variance NaN where it vanishes.
    """

    values: Floats
    mean: Floats
    variance: Floats


def adjacent_correlation(values: NDArray[Any], weights: Floats | None = None) -> Floats:
    """Pearson correlation of each unit between neighboring sites, under each row of weights.

    Args:
        values: states `(sample, site, unit)`, at least two sites.
        weights: `(draw, sample)`, rows that sum to one, as a bootstrap over texts draws them; by
            default one row of 1/N.

    Returns:
        `(draw, step, unit)`, dimensionless. Exactly 1 where a unit does not change at all; NaN,
        with one `UndefinedWarning`, where it does not vary over the samples.

    Raises:
        InputError: `values` or `weights` have another shape, or a row does not sum to one.

    >>> values = np.array([[[0.0], [1.0]], [[1.0], [3.0]], [[2.0], [2.0]]])
    >>> adjacent_correlation(values)
    array([[[0.5]]])
    """
    check_states(values)
    result = correlate_steps(lambda site: centered(values[:, site]), values.shape[1], weights)
    warn_where_undefined(result, "correlations", stacklevel=2)
    return result


def check_states(values: NDArray[Any]) -> None:
    """Refuse what is not `(sample, site, unit)` with two sites or more."""
    require_steps(values.shape)


def require_steps(shape: tuple[int, ...]) -> None:
    """Refuse a shape that is not `(sample, site, unit)` with two sites or more."""
    if len(shape) != 3 or shape[1] < 2:
        raise InputError(
            f"got states of shape {shape}; steps take (sample, site, unit) with two sites "
            "or more, as in recording.sel(site=['0.pre_attn', '0.pre_mlp'])"
        )


def site_moments(columns: Floats, weights: Floats) -> SiteMoments:
    """Weighted mean and variance `(draw, unit)` of centered states `(sample, unit)`."""
    with np.errstate(invalid="ignore", over="ignore"):
        mean = weights @ columns
        square = weights @ (columns * columns)
        variance = square - mean * mean
        variance[~(variance > VARIANCE_FLOOR * square)] = np.nan
    return SiteMoments(columns, mean, variance)


def moment_correlation(first: SiteMoments, second: SiteMoments, weights: Floats) -> Floats:
    """Weighted correlation `(draw, unit)` of two sites."""
    with np.errstate(invalid="ignore", over="ignore"):
        covariance = weights @ (first.values * second.values)
        covariance -= first.mean * second.mean
        # One root of the product: it gives exactly 1 for a unit that does not change.
        covariance /= np.sqrt(first.variance * second.variance)
    return np.clip(covariance, -1.0, 1.0, out=covariance)


def correlate_steps(
    site_values: Callable[[int], Floats], n_sites: int, weights: Floats | None
) -> Floats:
    """Correlation `(draw, step, unit)` of neighboring sites, holding two sites at a time.

    Args:
        site_values: index of a site to its centered states `(sample, unit)`.
        n_sites: the number of sites.
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


@measure(
    "units.correlation",
    title="Unit correlation of neighboring sites",
    source=SOURCE,
    of_moments=True,
)
def correlation(recording: Recording | Moments) -> xr.Dataset:
    """Correlation over samples of each unit between neighboring sites.

    Args:
        recording: states, or their moments.

    Returns:
        `correlation` `(step, unit)`, dimensionless; `mean` `(step)` over the units where it is
        defined; `n_defined` `(step)`, the number of those units.

    Raises:
        InputError: the recording has one site only.

    >>> states = np.random.default_rng(0).standard_normal((500, 10, 50)).cumsum(axis=1)
    >>> result = correlation(Recording.from_array(states))
    >>> result["mean"].values[[0, 8]].round(2)
    array([0.71, 0.95])
    """
    require_steps(recording.shape)
    plain = _plain_correlation(recording)
    warn_where_undefined(plain, "correlations", stacklevel=3)
    attrs = {"units": "1", "denominator": f"{recording.shape[0]} samples"}
    return xr.Dataset(
        {
            "correlation": (("step", "unit"), plain, attrs),
            "mean": ("step", defined_mean(plain), OVER_UNITS),
            "n_defined": ("step", (~np.isnan(plain)).sum(axis=1), {"units": "units"}),
        },
        coords=recording.step_coords,
    )


def _plain_correlation(recording: Recording | Moments) -> Floats:
    """Correlation `(step, unit)` without weights; one pass over states on disk."""
    if isinstance(recording, Moments):
        return recording.products.unit_correlation()
    if recording.in_memory:
        values = recording.values
        n_sites = values.shape[1]
        plain: Floats = correlate_steps(lambda site: centered(values[:, site]), n_sites, None)[0]
        return plain
    return Products.over(recording.blocks(), full=False).unit_correlation()


def _pair_blocks(values: NDArray[Any]) -> Iterator[tuple[slice, Floats]]:
    """Correlation of all pairs of sites, `(unit, site, other_site)`, for some units at a time."""
    n_samples, n_sites, n_units = values.shape
    width = max(1, BLOCK_BYTES // (n_samples * n_sites * 8))
    for start in range(0, n_units, width):
        chosen = slice(start, min(start + width, n_units))
        rows = values[:, :, chosen].transpose(2, 1, 0).astype(np.float64, order="C")
        with np.errstate(invalid="ignore", over="ignore"):
            rows -= rows[:, :, :1].copy()
            rows -= rows.mean(axis=2, keepdims=True)
            length = np.sqrt(np.einsum("usn,usn->us", rows, rows))[:, :, np.newaxis]
            length[length == 0] = np.nan
            rows /= length
            product = rows @ rows.transpose(0, 2, 1)
        yield chosen, np.clip(product, -1.0, 1.0, out=product)


@measure(
    "units.correlation_pairs",
    title="Unit correlation of all pairs of sites",
    source=SOURCE,
)
def correlation_pairs(recording: Recording) -> xr.Dataset:
    """Correlation over samples of each unit between all pairs of sites.

    Returns:
        `correlation` `(site, other_site, unit)`, dimensionless, in float32 where float64 would take
        more than 256 MiB; `mean` `(site, other_site)` over the units where it is defined. NaN,
        with one `UndefinedWarning`, where a unit does not vary over the samples.

    Raises:
        InputError: the recording has one site only.
    """
    require_steps(recording.shape)
    n_samples, n_sites, n_units = recording.shape
    dtype = np.float32 if n_sites**2 * n_units * 8 > PAIR_BYTES else np.float64
    pairs = np.empty((n_sites, n_sites, n_units), dtype=dtype)
    for units, values in recording.unit_blocks():
        for chosen, block in _pair_blocks(values):
            pairs[:, :, units][:, :, chosen] = block.transpose(1, 2, 0)
        del values
    warn_where_undefined(pairs, "correlations", stacklevel=3)
    attrs = {"units": "1", "denominator": f"{n_samples} samples"}
    return xr.Dataset(
        {
            "correlation": (("site", "other_site", "unit"), pairs, attrs),
            "mean": (("site", "other_site"), defined_mean(pairs), OVER_UNITS),
        },
        coords={
            **recording.site_coords,
            "other_site": ("other_site", np.array(recording.sites, dtype=object)),
        },
    )


def _lag_means(values: NDArray[Any]) -> Floats:
    """Each unit's mean correlation over the pairs of sites at each lag, `(lag, unit)`."""
    n_sites, n_units = values.shape[1:]
    means = np.empty((n_sites - 1, n_units))
    for chosen, block in _pair_blocks(values):
        for lag in range(1, n_sites):
            diagonal = np.diagonal(block, offset=lag, axis1=1, axis2=2)
            means[lag - 1, chosen] = defined_mean(diagonal)
    return means


@measure(
    "units.correlation_by_lag",
    title="Unit correlation by lag",
    source=SOURCE,
)
def correlation_by_lag(recording: Recording) -> xr.Dataset:
    """Correlation over samples of a unit with itself, as a function of the distance of the sites.

    A unit's value at a lag is the mean over the pairs of sites that far apart where its correlation
    is defined.

    Returns:
        `mean`, `low`, `high` `(lag)`, dimensionless: mean, 5 % and 95 % quantile over units. Lags
        run from 1 to the number of sites less one. NaN at a lag where no unit is defined.

    Raises:
        InputError: the recording has one site only.
    """
    require_steps(recording.shape)
    blocks = []
    for _, values in recording.unit_blocks():
        blocks.append(_lag_means(values))
        del values
    means = np.concatenate(blocks, axis=1)
    warn_where_undefined(means, "mean correlations (lag, unit)", stacklevel=3)
    attrs = {"units": "1", "denominator": "units; each a mean over the pairs of sites at that lag"}
    low, high = band(means)
    return xr.Dataset(
        {
            "mean": ("lag", defined_mean(means), attrs),
            "low": ("lag", low, attrs),
            "high": ("lag", high, attrs),
        },
        coords={"lag": ("lag", np.arange(1, recording.shape[1]), {"units": "sites"})},
    )
