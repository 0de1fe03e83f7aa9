"""Mean and spread over samples of measures that take one sample at a time, mergeable.

A measure registered with `per_sample=True` runs on a block of samples as on a whole recording; of
each variable `x` along `sample` remain its mean, `x_squares`, the sum of squared deviations from
it, and `x_count`, the samples where it is defined.
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
    """Mean over samples of every measure that takes one sample at a time."""
    for name, measure in registry.MEASURES.all().items():
        if not measure.per_sample:
            continue
        # Without the stamp of a result, which would hash every block.
        function = inspect.unwrap(measure.function)
        with warnings.catch_warnings():
            # What is undefined is counted, and said when the means are asked for.
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


def averaged(gathered: xr.Dataset) -> list[str]:
    """The variables that were averaged, without those that say how."""
    suffix = "_count"
    return [str(name)[: -len(suffix)] for name in gathered if str(name).endswith(suffix)]


def merge_statistics(one: xr.Dataset, two: xr.Dataset) -> xr.Dataset:
    """The statistics of both sets of samples together."""
    variables: dict[str, xr.DataArray] = {}
    for name in averaged(one):
        n, m = one[f"{name}_count"], two[f"{name}_count"]
        total = n + m
        shift = two[name] - one[name]
        part = (m / total.where(total > 0)).fillna(0.0)
        variables[name] = (one[name] + shift * part).assign_attrs(one[name].attrs)
        variables[f"{name}_squares"] = (
            one[f"{name}_squares"] + two[f"{name}_squares"] + shift**2 * n * part
        )
        variables[f"{name}_count"] = total
    return xr.Dataset(variables)
