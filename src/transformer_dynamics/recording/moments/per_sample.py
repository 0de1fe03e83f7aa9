"""Mean and spread over samples of measures that take one sample at a time, mergeable.

A measure registered with `per_sample=True` runs on each block of samples. Of each variable `x`
along `sample` the mean is kept, with `x_squares`, the sum of squared deviations from it, and
`x_count`, the number of samples where it is defined.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics import registry
from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.recording.recording import Recording


def block_statistics(block: Recording) -> Iterator[tuple[str, xr.Dataset]]:
    """Average over samples every measure that takes one sample at a time."""
    for name, measure in registry.MEASURES.all().items():
        if not measure.per_sample:
            continue
        # Unwrapped: the stamp of a result would hash every block.
        function = inspect.unwrap(measure.function)
        with warnings.catch_warnings():
            # Undefined values are counted; `Moments.means` warns of them.
            warnings.simplefilter("ignore", UndefinedWarning)
            try:
                result = function(block)
            except InputError:  # too few sites for this measure
                continue
        variables: dict[str, Any] = {}
        for variable, values in result.data_vars.items():
            if "sample" in values.dims:
                variables |= _summed(str(variable), values.astype(np.float64))
        yield name, xr.Dataset(variables).drop_vars("sample", errors="ignore")


def _summed(name: str, values: xr.DataArray) -> dict[str, xr.DataArray]:
    counts = values.notnull().sum("sample")
    mean = (values.sum("sample") / counts.where(counts > 0)).fillna(0.0)
    squares = ((values - mean) ** 2).sum("sample")
    return {
        name: mean.assign_attrs(values.attrs),
        f"{name}_squares": squares,
        f"{name}_count": counts,
    }


def means_and_deviations(gathered: xr.Dataset, n_samples: int) -> tuple[xr.Dataset, int]:
    """Convert sums to means and standard deviations over the defined samples.

    Args:
        gathered: Variables `x`, `x_squares` and `x_count`.
        n_samples: Number of samples in all.

    Returns:
        Variables `x`, `x_sd` and `x_count`, NaN where the count is 0, and the number of undefined
        values.
    """
    variables: dict[str, Any] = {}
    n_undefined = 0
    for name in _averaged(gathered):
        counts = gathered[f"{name}_count"]
        n_undefined += n_samples * counts.size - int(counts.sum())
        attrs = {"units": gathered[name].attrs.get("units", ""), "over": "defined samples"}
        variance = gathered[f"{name}_squares"] / counts.where(counts > 0)
        variables[name] = gathered[name].where(counts > 0)
        variables[f"{name}_sd"] = (variance**0.5).assign_attrs(attrs)
        variables[f"{name}_count"] = counts
    return xr.Dataset(variables), n_undefined


def _averaged(gathered: xr.Dataset) -> list[str]:
    """Names of the averaged variables, without their squares and counts."""
    suffix = "_count"
    return [str(name)[: -len(suffix)] for name in gathered if str(name).endswith(suffix)]


def merge_statistics(one: xr.Dataset, two: xr.Dataset) -> xr.Dataset:
    """Merge the statistics of two sets of samples, which have the same coordinates."""
    # Variables without their coordinates: aligning those takes ten times as long as the sums.
    own, other = one.variables, two.variables
    merged: dict[str, xr.Variable] = {}
    for name in _averaged(one):
        n, m = own[f"{name}_count"], other[f"{name}_count"]
        total = n + m
        shift = other[name] - own[name]
        part = (m / total.where(total > 0)).fillna(0.0)
        merged[name] = own[name] + shift * part
        merged[name].attrs = own[name].attrs
        merged[f"{name}_squares"] = (
            own[f"{name}_squares"] + other[f"{name}_squares"] + shift**2 * n * part
        )
        merged[f"{name}_count"] = total
    return one.assign(merged)
