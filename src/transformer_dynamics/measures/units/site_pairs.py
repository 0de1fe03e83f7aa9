"""Correlation of each unit between all pairs of sites, and as a function of their distance.

Source: arXiv 2502.12131, which reports neighboring pairs in its Results and all pairs in its
Methods. Cost: one product (site, sample) x (sample, site) per unit, in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.measures.units.correlation import OVER_UNITS, SOURCE
from transformer_dynamics.measures.units.weighted_correlation import UNVARYING, require_steps
from transformer_dynamics.numerics.arrays import Floats, band, defined_mean, warn_undefined
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure

# Above this size of the result in float64 it is stored in float32.
PAIR_BYTES = 256 * 2**20
BLOCK_BYTES = 32 * 2**20


def _pair_blocks(values: NDArray[Any]) -> Iterator[tuple[slice, Floats]]:
    """Iterate over blocks of units: correlation of all pairs of sites, `(unit, site, other)`."""
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
        InputError: the recording has only one site.
    """
    require_steps(recording.shape)
    n_samples, n_sites, n_units = recording.shape
    dtype = np.float32 if n_sites**2 * n_units * 8 > PAIR_BYTES else np.float64
    pairs = np.empty((n_sites, n_sites, n_units), dtype=dtype)
    for units, values in recording.unit_blocks():
        for chosen, block in _pair_blocks(values):
            pairs[:, :, units][:, :, chosen] = block.transpose(1, 2, 0)
        del values
    warn_undefined({"correlation": pairs}, UNVARYING, stacklevel=3)
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
    """Average each unit's correlation over the pairs of sites at each lag, `(lag, unit)`."""
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
    """Correlation over samples of each unit between sites at each distance.

    The value of a unit at a lag is the mean over all pairs of sites at that distance where its
    correlation is defined.

    Returns:
        `mean`, `low`, `high` `(lag)`, dimensionless: mean, 5 % and 95 % quantile over units. Lags
        run from 1 to the number of sites less one. NaN at a lag where no unit is defined.

    Raises:
        InputError: the recording has only one site.
    """
    require_steps(recording.shape)
    blocks = []
    for _, values in recording.unit_blocks():
        blocks.append(_lag_means(values))
        del values
    means = np.concatenate(blocks, axis=1)
    warn_undefined({"mean correlation (lag, unit)": means}, UNVARYING, stacklevel=3)
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
